//! The adapter for blocking tungstenite: one thread reads, ticks, pings, closes
//! and dials.

mod connection;
mod dial;
mod error;
mod session;
mod wire;

pub use crate::tungstenite::{ProtocolPings, TextPings};
pub use dial::{Dial, accept};
pub use error::SendError;
pub use session::{Notice, Session};
pub use wire::{Link, Socket, Wire};
