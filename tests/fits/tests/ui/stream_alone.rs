use futures_util::stream;
use keepalive::driver::{NoFrames, Plain};
use keepalive::session::Session;
use keepalive::tokio::Timer;
use keepalive::Config;

fn main() {
    let socket = stream::iter([Ok::<_, std::io::Error>("a line")]);
    let _ = Session::accepted(Config::default(), 42, NoFrames::new(), Plain, Timer::new(), socket);
}
