// engine.io 4, which pings with `2`, and ends who does not answer `3` within the timeout.
// The limit is both its interval and its timeout.
"use strict";
const http = require("http");
const engine = require("engine.io");
const peer = require("./peer.js");

const times = peer.limit ? { pingInterval: peer.limit, pingTimeout: peer.limit } : {};
const listener = http.createServer();
const server = engine.attach(listener, { ...times, transports: ["websocket"] });
server.on("connection", (socket) => {
  const connection = peer.number(socket);
  socket.on("message", (data) => {
    peer.heard(connection, String(data));
    socket.send(String(data));
  });
});
listener.listen(peer.port, peer.address, peer.ready);
