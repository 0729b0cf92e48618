// socket.io 4, on engine.io 4: the event `say` is answered with the event `said`.
"use strict";
const http = require("http");
const { Server } = require("socket.io");
const peer = require("./peer.js");

const times = peer.limit ? { pingInterval: peer.limit, pingTimeout: peer.limit } : {};
const listener = http.createServer();
const server = new Server(listener, { ...times, transports: ["websocket"] });
server.on("connection", (socket) => {
  const connection = peer.number(socket.conn);
  socket.on("say", (text) => {
    peer.heard(connection, String(text));
    socket.emit("said", text);
  });
});
listener.listen(peer.port, peer.address, peer.ready);
