//! FNV-1a, 64 bits: the same everywhere, as the standard hashers need not be.

use core::fmt::{self, Debug, Display, Write};

pub struct Fnv(u64);

impl Fnv {
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub fn finish(&self) -> u64 {
        self.0
    }

    /// Numbers, and what consists of them.
    pub fn note(&mut self, value: impl Debug) {
        self.text(format_args!("{value:?}"));
    }

    pub fn text(&mut self, text: impl Display) {
        let _ = writeln!(self, "{text}");
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
