use keepalive::Config;
use keepalive::tokio::{Dialer, client, connect};

fn main() {
    let _ = client(Config::default(), || async { connect("ws://localhost:9001").await });
    let _ = client(Config::default(), |_attempt| "ws://localhost:9001");
    let _ = client(Config::default(), "ws://localhost:9001");
    let _ = client(Config::default(), Dialer::new("ws://localhost:9001").connect());
}
