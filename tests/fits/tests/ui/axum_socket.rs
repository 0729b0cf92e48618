use axum::extract::ws::WebSocket;
use keepalive::Config;
use keepalive::tokio::accepted;

fn upgraded(socket: WebSocket) {
    let _ = accepted(Config::default(), socket);
}

fn main() {}
