// What the peers in Node share: `node SCRIPT ADDRESS PORT [LIMIT_MS]`.
//
// Each prints `ready`, `heard CONNECTION TEXT` for each data message of the
// application's, and `end CONNECTION CODE`. SIGUSR2 mutes it: it says nothing more on any
// connection, and reads on; SIGHUP ends that.
"use strict";

const [address, port, limit] = process.argv.slice(2);
let muted = false;
let connections = 0;
process.on("SIGUSR2", () => { muted = true; });
process.on("SIGHUP", () => { muted = false; });

const say = (...words) => process.stdout.write(words.join(" ") + "\n");

module.exports = {
  address,
  port: Number(port),
  // The server's own limit, or nothing.
  limit: limit ? Number(limit) : undefined,
  isMuted: () => muted,
  ready: () => say("ready"),
  heard: (connection, text) => say("heard", connection, text.slice(0, 100)),

  // Numbers a connection, and calls back as often as something comes in.
  number(socket) {
    const connection = connections++;
    say("open", connection);
    socket.on("close", (code) => say("end", connection, code));
    socket.on("error", () => {});
    return connection;
  },

  // Ends the connection when `alive` was not called for so long.
  watch(socket, milliseconds, connection) {
    if (!milliseconds) return () => {};
    let last = process.hrtime.bigint();
    const timer = setInterval(() => {
      if (Number(process.hrtime.bigint() - last) / 1e6 < milliseconds) return;
      say("cut", connection);
      socket.terminate();
    }, milliseconds / 10);
    socket.on("close", () => clearInterval(timer));
    return () => { last = process.hrtime.bigint(); };
  },
};
