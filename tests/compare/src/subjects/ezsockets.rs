//! As its documentation shows. Its `timeout` counts from the last message, so it is given
//! interval and timeout together.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ezsockets::client::ClientCloseMode;
use ezsockets::{
    Bytes, Client, ClientConfig, ClientExt, CloseFrame, Error, SocketConfig, Utf8Bytes,
};
use ezsockets::{MessageSignal, MessageStatus};
use tokio::time::sleep;

use super::{
    INTERVAL, MESSAGES, MESSAGES_EVERY, Mode, TIMEOUT, message, say_doubt, say_down, say_large,
    say_message, say_open, upload,
};

struct Application;

#[async_trait]
impl ClientExt for Application {
    type Call = ();

    async fn on_text(&mut self, text: Utf8Bytes) -> Result<(), Error> {
        say_message(&text);
        Ok(())
    }

    async fn on_binary(&mut self, bytes: Bytes) -> Result<(), Error> {
        say_large(bytes.len());
        Ok(())
    }

    async fn on_call(&mut self, (): ()) -> Result<(), Error> {
        Ok(())
    }

    async fn on_connect(&mut self) -> Result<(), Error> {
        say_open();
        Ok(())
    }

    async fn on_close(&mut self, frame: Option<CloseFrame>) -> Result<ClientCloseMode, Error> {
        say_down(format!("{frame:?}"));
        Ok(ClientCloseMode::Reconnect)
    }

    async fn on_disconnect(&mut self) -> Result<ClientCloseMode, Error> {
        say_down("disconnected");
        Ok(ClientCloseMode::Reconnect)
    }
}

pub(super) async fn run(url: String, mode: Mode) {
    let config = ClientConfig::new(url.as_str()).socket_config(SocketConfig {
        heartbeat: INTERVAL,
        timeout: INTERVAL + TIMEOUT,
        ..SocketConfig::default()
    });
    let (client, end) = ezsockets::connect(|_| Application, config).await;
    tokio::spawn(application(client, mode));
    let _ = end.await;
    say_down("ended");
}

async fn application(client: Client<Application>, mode: Mode) {
    match mode {
        Mode::Listen => {}
        Mode::Upload => drop(client.binary(upload()).unwrap()),
        Mode::Messages => {
            let signals = Arc::<Mutex<Vec<MessageSignal>>>::default();
            tokio::spawn(watch(Arc::clone(&signals)));
            for number in 1..=MESSAGES {
                signals
                    .lock()
                    .unwrap()
                    .push(client.text(message(number)).unwrap());
                sleep(MESSAGES_EVERY).await;
            }
        }
    }
    std::future::pending::<()>().await;
}

async fn watch(signals: Arc<Mutex<Vec<MessageSignal>>>) {
    loop {
        signals.lock().unwrap().retain(|signal| {
            let has_failed = signal.status() == MessageStatus::Failed;
            say_doubt(u64::from(has_failed));
            !has_failed
        });
        sleep(MESSAGES_EVERY).await;
    }
}
