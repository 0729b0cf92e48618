use keepalive::driver::Plain;
use keepalive::session::Session;
use keepalive::tokio::{Dialer, Timer};
use keepalive::Config;

struct Texts;

fn main() {
    let dialer = Dialer::new("ws://localhost:9001");
    let _ = Session::client(Config::default(), 42, Texts, Plain, Timer::new(), dialer);
}
