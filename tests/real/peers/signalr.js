// A SignalR hub, by the JSON protocol: the handshake, records that end with 0x1E, pings of
// type 6 on both sides that nobody answers. With a limit it pings six times in it
// (SignalR's own KeepAliveInterval is 15 s), and closes who sent nothing for all of it
// (ClientTimeoutInterval, 30 s). Anything ahead of the handshake is an error.
"use strict";
const { WebSocketServer } = require("ws");
const peer = require("./peer.js");

const END = "\x1e";
const server = new WebSocketServer({ host: peer.address, port: peer.port }, peer.ready);
server.on("connection", (socket) => {
  const connection = peer.number(socket);
  const alive = peer.watch(socket, peer.limit, connection);
  const send = (record) => { if (!peer.isMuted()) socket.send(JSON.stringify(record) + END); };
  let isShaken = false;
  const timer = setInterval(() => { if (isShaken) send({ type: 6 }); }, peer.limit ? peer.limit / 6 : 15000);
  socket.on("close", () => clearInterval(timer));
  socket.on("message", (data) => {
    alive();
    for (const text of String(data).split(END).slice(0, -1)) {
      const record = JSON.parse(text);
      if (!isShaken) {
        if (record.protocol !== "json" || record.version !== 1) {
          send({ error: "the handshake comes first" });
          return socket.close();
        }
        isShaken = true;
        send({});
      } else if (record.type === 1) {
        peer.heard(connection, record.arguments[0]);
        send({ type: 1, target: "said", arguments: record.arguments });
      }
    }
  });
});
