// The clients in JavaScript, by the Node package ws: NAME, URL, MODE, and what is the same
// for all subjects: interval, timeout, number of messages, time between them, size of the
// upload; times in ms.
"use strict";

const WS = require("ws");

const [name, url, mode, interval, timeout, messages, every, upload] = process.argv
  .slice(2)
  .map((word, at) => (at < 3 ? word : Number(word)));

const say = (event, line = {}) =>
  console.log(JSON.stringify({ t: Date.now(), event, ...line }));
const version = (module) => require(`${module}/package.json`).version;
const heard = ({ data }) =>
  say("message", typeof data === "string" ? { text: data } : { size: data.size ?? data.byteLength });

process.stdin.on("end", () => process.exit());
process.stdin.resume();
console.debug = console.error = console.warn = () => {};

// Sends when `send` says that it may: true if it was taken.
function application(send) {
  if (mode === "upload") send(Buffer.alloc(upload, 7));
  if (mode !== "messages") return;
  let number = 1;
  const timer = setInterval(() => {
    if (send(`m${number}`)) number += 1;
    if (number > messages) clearInterval(timer);
  }, every);
}

// reconnecting-websocket and partysocket have the same interface, and no heartbeat.
function reconnecting(Socket) {
  const socket = new Socket(url, [], { WebSocket: WS });
  let opened = false;
  socket.addEventListener("open", () => {
    say("open");
    if (opened) return;
    opened = true;
    application((data) => {
      socket.send(data); // queues while it is not open
      return true;
    });
    // The application's own detector has fired, whatever that is.
    if (mode === "reconnect") setTimeout(() => socket.reconnect(), 4000);
  });
  socket.addEventListener("close", ({ code }) => say("down", { why: `${code}` }));
  socket.addEventListener("message", heard);
}

// Written anew from the article's rules: after a silence the text "ping", after another one
// the socket is closed; an end, whatever kind, leads to a new one.
function article() {
  let socket, ping, end, opened = false, reconnecting = false;

  const stop = () => {
    clearTimeout(ping);
    clearTimeout(end);
  };
  const beat = () => {
    stop();
    ping = setTimeout(() => {
      socket.send("ping");
      end = setTimeout(() => {
        say("log", { why: "not received pong, close the websocket" });
        socket.close();
      }, timeout);
    }, interval);
  };
  const reconnect = () => {
    stop();
    if (reconnecting) return;
    reconnecting = true;
    setTimeout(() => {
      reconnecting = false;
      connect();
    }, 2000);
  };
  const connect = () => {
    socket = new WS(url);
    socket.onopen = () => {
      say("open");
      socket.send("Hello Server!");
      beat();
      if (opened) return;
      opened = true;
      application((data) => {
        if (socket.readyState !== WS.OPEN) return false;
        socket.send(data);
        return true;
      });
    };
    socket.onmessage = (event) => {
      if (event.data !== "pong") heard(event);
      beat();
    };
    socket.onclose = ({ code }) => {
      say("down", { why: `${code}` });
      reconnect();
    };
    socket.onerror = reconnect;
  };
  connect();
}

const subjects = {
  "reconnecting-websocket": () => [version("reconnecting-websocket"), () =>
    reconnecting(require("reconnecting-websocket"))],
  partysocket: () => [
    JSON.parse(require("fs").readFileSync(`${process.env.NODE_PATH}/partysocket/package.json`)).version,
    () => reconnecting(require("partysocket/ws").default)],
  article: () => [`ws ${version("ws")} on Node ${process.versions.node}`, article],
};
const [number, run] = subjects[name]();
say("start", { version: number });
run();
