//! What is the same in every adapter, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use keepalive::blocking::Dial;
use keepalive::{Config, Handle, ReconfigureError, blocking, smol, tokio};
use tungstenite::Message;

const URL: &str = "ws://127.0.0.1:1/";

fn confirming() -> Config {
    let settings = Config::builder().confirm_within(Some(Duration::from_secs(1)));
    settings.build().unwrap()
}

fn is_refused(handle: &Handle<Message>) {
    handle.reconfigure(confirming()).unwrap();
    let error = handle.reconfigure(Config::default()).unwrap_err();
    assert!(matches!(error, ReconfigureError::Keeping(_)), "{error:?}");
    assert!(error.to_string().contains("confirm_within"), "{error}");
}

#[test]
fn what_keeps_copies_refuses_settings_without_confirm_within() {
    // However early the handle is taken.
    let mut session = tokio::client(confirming(), |_| tokio::connect(URL));
    let early = session.handle();
    early.reconfigure(Config::default()).unwrap();
    let mut session = session.keeping(1000).unwrap();
    is_refused(&early);
    is_refused(&session.handle());

    let session = smol::client(confirming(), |_| smol::connect(URL));
    is_refused(&session.keeping(1000).unwrap().handle());

    let mut session = blocking::Session::client(confirming(), |dial: &Dial| dial.connect(URL));
    let early = session.handle();
    early.reconfigure(Config::default()).unwrap();
    let mut session = session.keeping(1000).unwrap();
    is_refused(&early);
    is_refused(&session.handle());
}
