// `ws`, which echoes. With a limit it pings by the protocol, and ends who does not answer
// before the next ping, as its README shows. With `mute` it has `autoPong` off, and answers
// no ping until SIGHUP.
"use strict";
const { WebSocketServer } = require("ws");
const peer = require("./peer.js");

const autoPong = process.argv[5] !== "mute";
if (!autoPong) process.emit("SIGUSR2");
const server = new WebSocketServer({ host: peer.address, port: peer.port, autoPong }, peer.ready);
server.on("connection", (socket) => {
  const connection = peer.number(socket);
  if (!autoPong) socket.on("ping", (data) => { if (!peer.isMuted()) socket.pong(data); });
  socket.on("message", (data) => {
    peer.heard(connection, String(data));
    if (!peer.isMuted()) socket.send(String(data));
  });
  if (!peer.limit) return;
  let isAlive = true;
  socket.on("pong", () => { isAlive = true; });
  const timer = setInterval(() => {
    if (!isAlive) return socket.terminate();
    isAlive = false;
    socket.ping();
  }, peer.limit);
  socket.on("close", () => clearInterval(timer));
});
