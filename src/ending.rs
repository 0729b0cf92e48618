use crate::event::{Closed, Refused};

/// How a connection or a dial ended, as its error says; see
/// `Session::with_endings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// In an orderly way.
    Closed(Closed),
    /// The server answered the dial with a refusal.
    Refused(Refused),
    /// It failed.
    Failed,
}
