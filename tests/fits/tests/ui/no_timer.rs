use keepalive::driver::Plain;
use keepalive::session::Session;
use keepalive::tokio::Dialer;
use keepalive::tungstenite::Tungstenite;
use keepalive::Config;

fn main() {
    let dialer = Dialer::new("ws://localhost:9001");
    let timer = tokio::time::sleep(std::time::Duration::ZERO);
    let _ = Session::client(Config::default(), 42, Tungstenite::new(), Plain, timer, dialer);
}
