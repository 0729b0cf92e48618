use keepalive::Config;
use keepalive::tokio::client;
use tokio_tungstenite::connect_async;

fn main() {
    let _ = client(Config::default(), |_attempt| async {
        let socket = connect_async("ws://localhost:9001").await?;
        Ok(socket)
    });
    let _ = client(Config::default(), |_attempt| connect_async("ws://localhost:9001"));
}
