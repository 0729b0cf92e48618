use std::convert::Infallible;
use std::io;

use tungstenite::http::Uri;

/// No TLS: who begins a dial has refused `wss://`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls(());

pub(crate) type Session = Infallible;

impl Tls {
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(crate) fn session(&self, _: &Uri) -> io::Result<Option<Session>> {
        Ok(None)
    }
}
