// An exchange's socket: a subscription first, trades all the time, and pings as messages,
// by `{"op":"ping"}` or by `{"id":1,"method":"ping"}`. It closes who did not ping for the
// limit, whatever else came; nothing but a ping counts.
"use strict";
const { WebSocketServer } = require("ws");
const peer = require("./peer.js");

const server = new WebSocketServer({ host: peer.address, port: peer.port }, peer.ready);
server.on("connection", (socket) => {
  const connection = peer.number(socket);
  const alive = peer.watch(socket, peer.limit, connection);
  const send = (value) => { if (!peer.isMuted()) socket.send(JSON.stringify(value)); };
  let timer;
  socket.on("close", () => clearInterval(timer));
  socket.on("message", (data) => {
    const { op, id, method, text } = JSON.parse(String(data));
    if (op === "ping") {
      alive();
      send({ success: true, op: "pong" });
    } else if (method === "ping") {
      alive();
      send({ id, result: "pong" });
    } else if (op === "subscribe") {
      timer ??= setInterval(() => send({ event: "trade", price: 100 }), 200);
      send({ event: "subscribed" });
    } else if (op === "order") {
      peer.heard(connection, text);
      send({ event: "order", text });
    }
  });
});
