use tungstenite::Message;

/// A message that was not sent, given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no open connection now.
    #[error("the connection is not open")]
    Down(Message),
    /// Too much waits to be sent already.
    #[error("too much waits to be sent")]
    Full(Message),
    /// It can never be sent: a control frame of more than 125 bytes, which the
    /// peer would take for an attack, or more than tungstenite's
    /// `max_write_buffer_size`.
    #[error("the message is too long")]
    TooLong(Message),
}

impl SendError {
    /// The message.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            Self::Down(message) | Self::Full(message) | Self::TooLong(message) => message,
        }
    }
}
