//! The TLS of the dialers: rustls with the feature of that name, none without it. The types
//! of the API are the same either way.
//!
//! rustls is driven here, and not by tokio-rustls and futures-rustls: Cargo cannot enable
//! those for `rustls` with `tokio`, and `rustls` with `smol`, but not for `rustls` with
//! `blocking`. Through the features of tokio-tungstenite and async-tungstenite it could,
//! but these only make a whole WebSocket, over streams whose types depend on the features.

#[cfg(feature = "blocking")]
mod blocking;
#[cfg(feature = "rustls")]
mod error;
#[cfg(feature = "rustls")]
mod session;
#[cfg(feature = "rustls")]
mod settings;
#[cfg(feature = "smol")]
mod smol;
mod stream;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(not(feature = "rustls"))]
mod without;

#[cfg(feature = "rustls")]
pub use error::TlsError;
#[cfg(feature = "rustls")]
pub(crate) use session::Session;
#[cfg(feature = "rustls")]
pub use settings::Tls;
pub use stream::MaybeTls;
#[cfg(not(feature = "rustls"))]
pub(crate) use without::{Session, Tls};
