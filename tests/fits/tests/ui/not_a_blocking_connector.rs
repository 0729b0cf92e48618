use keepalive::Config;
use keepalive::blocking::client;

fn main() {
    let _ = client(Config::default(), "ws://localhost:9001");
    let _ = client(Config::default(), |_dial: &_| {
        tokio_tungstenite::tungstenite::connect("ws://localhost:9001")
    });
}
