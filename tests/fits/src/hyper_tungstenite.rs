//! hyper-tungstenite's WebSocket, a server's: tokio-tungstenite's own.

use hyper_tungstenite::HyperWebsocketStream;
use keepalive::session::{Accepted, Session};
use keepalive::tokio::Timer;
use keepalive::tungstenite::Tungstenite;
use keepalive::{Config, Plain, tokio};

/// Watches over an accepted socket.
pub fn accepted(
    config: Config,
    socket: HyperWebsocketStream,
) -> Session<Accepted<HyperWebsocketStream>, Timer, Tungstenite, Plain> {
    tokio::accepted(config, socket)
}
