use alloc::string::String;

use crate::event::CloseCode;

/// What to say to the peer when a connection is closed: a close code and words.
///
/// ```
/// use keepalive::{CloseCode, Goodbye};
///
/// let goodbye = Goodbye::new(CloseCode(4000), "moved to another device")?;
/// assert_eq!(goodbye.code(), CloseCode(4000));
/// assert_eq!(goodbye.words(), "moved to another device");
///
/// let error = Goodbye::new(CloseCode(1006), "").unwrap_err();
/// assert_eq!(error.field(), "code");
/// assert_eq!(
///     error.to_string(),
///     "code is 1006, but must be 1000-1003, 1007-1014 or 3000-4999"
/// );
/// # Ok::<(), keepalive::GoodbyeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Goodbye {
    code: CloseCode,
    words: String,
}

impl Goodbye {
    /// The greatest number of bytes that the words may have: a control frame carries
    /// 125, and the code takes two of them (RFC 6455 section 5.5).
    pub const MAX_WORDS: usize = 123;

    /// A goodbye with this code and these words, which may be empty.
    ///
    /// # Errors
    ///
    /// Fails for a code that must not be sent (RFC 6455 section 7.4: anything but
    /// 1000-1003, 1007-1014 and 3000-4999), and for words of more than 123 bytes of
    /// UTF-8. Browsers send only 1000 and 3000-4999.
    pub fn new(code: CloseCode, words: impl Into<String>) -> Result<Self, GoodbyeError> {
        if !matches!(code.0, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return Err(GoodbyeError::Code { value: code });
        }
        let words = words.into();
        if words.len() > Self::MAX_WORDS {
            return Err(GoodbyeError::Words {
                size: words.len(),
                limit: Self::MAX_WORDS,
            });
        }
        Ok(Self { code, words })
    }

    /// The close code.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        self.code
    }

    /// The words, for people to read.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.words
    }
}

/// A [`Goodbye`] that cannot be sent: what is wrong with it, its value, and the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GoodbyeError {
    /// A code that must not be sent.
    #[error("code is {value}, but must be 1000-1003, 1007-1014 or 3000-4999")]
    Code {
        /// The code.
        value: CloseCode,
    },
    /// Words that do not fit.
    #[error("words has {size} bytes, but must have at most {limit}")]
    Words {
        /// Bytes of the words, in UTF-8.
        size: usize,
        /// The most bytes that they may have.
        limit: usize,
    },
}

impl GoodbyeError {
    /// The name of what is wrong: `code` or `words`.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Code { .. } => "code",
            Self::Words { .. } => "words",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_every_code_that_may_be_sent_and_no_other() {
        let is_taken = |code: &u16| Goodbye::new(CloseCode(*code), "").is_ok();
        let edges = [
            0, 999, 1000, 1003, 1004, 1006, 1007, 1014, 1015, 2999, 3000, 4999, 5000,
        ];
        let taken: Vec<_> = edges.into_iter().filter(is_taken).collect();
        assert_eq!(taken, [1000, 1003, 1007, 1014, 3000, 4999]);
        assert_eq!((0..=u16::MAX).filter(is_taken).count(), 4 + 8 + 2000);
        let value = CloseCode(1005);
        let error = Goodbye::new(value, "").unwrap_err();
        assert_eq!(error, GoodbyeError::Code { value });
    }

    #[test]
    fn counts_the_words_in_bytes() {
        // Three bytes each.
        let words = "€".repeat(41);
        let goodbye = Goodbye::new(CloseCode(4001), words.clone()).unwrap();
        assert_eq!(
            (goodbye.code(), goodbye.words()),
            (CloseCode(4001), &*words)
        );
        let error = Goodbye::new(CloseCode::NORMAL, "€".repeat(42)).unwrap_err();
        assert_eq!(error.field(), "words");
        assert_eq!(
            error.to_string(),
            "words has 126 bytes, but must have at most 123"
        );
    }
}
