use keepalive::Config;
use keepalive::tokio::accepted;
use tokio_tungstenite::connect_async;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let socket = connect_async("ws://localhost:9001").await?;
    let _ = accepted(Config::default(), socket);
    Ok(())
}
