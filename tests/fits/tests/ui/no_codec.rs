use keepalive::Config;
use keepalive::tokio::{Dialer, client_with};
use tokio_tungstenite::tungstenite::Message;

struct Orders;

fn main() {
    let dialer = || Dialer::new("ws://localhost:9001");
    let _ = client_with(Config::default(), Orders, dialer());
    let _ = client_with(Config::default(), |message: Message| message.to_string(), dialer());
}
