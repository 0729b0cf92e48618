//! The live view, on a terminal.

use std::io;

use crate::watch::output::{Head, Now, Output, Summary};
use crate::watch::run::Interrupt;
use crate::watch::seen::Sighting;

pub(crate) const IS_THERE: bool = false;

pub(crate) struct View {
    #[expect(dead_code)]
    interrupt: Interrupt,
}

impl View {
    /// Draws from here on; `interrupt` is for its keys, which include Ctrl-C.
    #[expect(clippy::unnecessary_wraps)]
    pub(crate) fn new(interrupt: Interrupt) -> io::Result<Self> {
        Ok(Self { interrupt })
    }
}

impl Output for View {
    fn head(&mut self, _: &Head<'_>) -> io::Result<()> {
        Ok(())
    }

    fn sighting(&mut self, _: &Sighting, _: &Now<'_>) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, _: &Now<'_>) -> io::Result<()> {
        Ok(())
    }

    fn summary(&mut self, _: &Summary<'_>) -> io::Result<()> {
        Ok(())
    }
}
