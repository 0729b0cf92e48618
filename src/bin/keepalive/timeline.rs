//! The watch as a picture: `--svg FILE`.

use std::io;
use std::path::PathBuf;

use crate::watch::output::{Head, Now, Output, Summary};
use crate::watch::seen::Sighting;

/// Keeps what is drawn at the end.
pub(crate) struct Timeline {
    file: PathBuf,
}

impl Timeline {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file }
    }
}

impl Output for Timeline {
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
        let why = format!("{} is not drawn yet", self.file.display());
        Err(io::Error::other(why))
    }
}
