use super::Session;

/// The stream that a [`Dialer`](crate::Dialer) connects: plain, or TLS where the URL is
/// `wss://`, which takes the feature `rustls`. Its type is the same with and without.
#[derive(Debug)]
pub struct MaybeTls<S>(pub(super) Kind<S>);

#[derive(Debug)]
pub(super) enum Kind<S> {
    Plain(S),
    #[cfg(feature = "rustls")]
    Tls(Box<Secured<S>>),
}

#[cfg(feature = "rustls")]
#[derive(Debug)]
pub(super) struct Secured<S> {
    pub(super) stream: S,
    pub(super) session: Session,
}

impl<S> MaybeTls<S> {
    pub(crate) fn new(stream: S, session: Option<Session>) -> Self {
        Self(match session {
            None => Kind::Plain(stream),
            #[cfg(feature = "rustls")]
            Some(session) => Kind::Tls(Box::new(Secured { stream, session })),
        })
    }

    /// The stream below TLS, or the plain one.
    pub const fn get_ref(&self) -> &S {
        match &self.0 {
            Kind::Plain(stream) => stream,
            #[cfg(feature = "rustls")]
            Kind::Tls(secured) => &secured.stream,
        }
    }

    /// The TLS connection; `None` where it is plain. For the TLS version and the server's
    /// certificates, for example.
    #[cfg(feature = "rustls")]
    pub const fn tls(&self) -> Option<&rustls::ClientConnection> {
        match &self.0 {
            Kind::Plain(_) => None,
            Kind::Tls(secured) => Some(secured.session.tls()),
        }
    }
}

/// What an async stream makes of a call that would block.
#[cfg(all(feature = "rustls", any(feature = "smol", feature = "tokio")))]
pub(super) fn pending<T>(result: std::io::Result<T>) -> core::task::Poll<std::io::Result<T>> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => core::task::Poll::Pending,
        result => core::task::Poll::Ready(result),
    }
}
