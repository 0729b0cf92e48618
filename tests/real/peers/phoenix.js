// A Phoenix server's socket, by the second version of its serialiser. It joins who asks,
// answers `say` in a joined topic with the broadcast `said`, and closes who sent nothing
// for the limit (Phoenix's own is 60 s).
"use strict";
const { WebSocketServer } = require("ws");
const peer = require("./peer.js");

const server = new WebSocketServer({ host: peer.address, port: peer.port }, peer.ready);
server.on("connection", (socket) => {
  const connection = peer.number(socket);
  const alive = peer.watch(socket, peer.limit, connection);
  const joined = new Map();
  const send = (...fields) => { if (!peer.isMuted()) socket.send(JSON.stringify(fields)); };
  socket.on("message", (data) => {
    alive();
    const [joinRef, ref, topic, event, payload] = JSON.parse(String(data));
    const reply = (status, response) => send(joinRef, ref, topic, "phx_reply", { status, response });
    if (topic === "phoenix" && event === "heartbeat") return reply("ok", {});
    if (event === "phx_join") {
      joined.set(topic, joinRef);
      return reply("ok", {});
    }
    if (joined.get(topic) !== joinRef) return reply("error", { reason: "unmatched topic" });
    peer.heard(connection, payload.text);
    send(joinRef, null, topic, "said", payload);
  });
});
