// graphql-ws, with the query `echo`. With a limit it pings by the protocol's pings, and ends
// who does not answer for as long.
"use strict";
const { WebSocketServer } = require("ws");
const { useServer } = require("graphql-ws/use/ws");
const { buildSchema } = require("graphql");
const peer = require("./peer.js");

const numbers = new WeakMap();
const server = new WebSocketServer({ host: peer.address, port: peer.port }, peer.ready);
server.on("connection", (socket) => numbers.set(socket, peer.number(socket)));
useServer(
  {
    schema: buildSchema("type Query { echo(text: String!): String }"),
    context: (context) => ({ connection: numbers.get(context.extra.socket) }),
    roots: {
      query: {
        echo: ({ text }, { connection }) => {
          peer.heard(connection, text);
          return text;
        },
      },
    },
  },
  server,
  peer.limit ?? 0,
);
