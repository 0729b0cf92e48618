//! The adapter for blocking tungstenite: one thread reads, ticks, pings, closes
//! and dials.

mod connection;
mod dial;
mod error;
#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
#[path = "../../tests/support/peer.rs"]
mod peer;
mod session;
mod wire;

pub use crate::tungstenite::{ProtocolPings, TextPings};
pub use dial::{Dial, accept};
pub use error::SendError;
pub use session::{Notice, Session};
pub use wire::{Link, Socket, Wire};
