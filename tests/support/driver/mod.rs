//! A driver in virtual time: a transport that does what a script says, an application,
//! and an oracle that watches what goes into and comes out of [`Driver::run`] and over
//! the transport, and knows nothing of the driver's insides.
//!
//! [`Driver::run`]: keepalive::driver::Driver::run

#![allow(dead_code, unreachable_pub)] // Each test takes what it needs.
#![allow(clippy::large_enum_variant)] // Settings are copied all the time.

pub mod net;
pub mod oracle;
pub mod story;
pub mod world;
