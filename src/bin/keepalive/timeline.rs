//! The whole watch as a picture: round trips, phases and outages over time, as an SVG.
//! By hand: `plotters` would bring more than it takes over, as bands, marks and lists
//! are no charts of its.

mod picture;
mod record;
mod target;

use std::io;
use std::path::{Path, PathBuf};

use self::record::Record;
use self::target::Target;
use crate::watch::output::{Head, Now, Output, Summary};
use crate::watch::seen::Sighting;
use crate::watch::text;

/// Keeps what is drawn at the end.
pub(crate) struct Timeline {
    file: PathBuf,
    target: Target,
    record: Option<Record>,
}

impl Timeline {
    /// Fails where the file cannot be written.
    pub(crate) fn new(file: &Path) -> io::Result<Self> {
        let target = Target::new(file)?;
        Ok(Self {
            file: file.to_owned(),
            target,
            record: None,
        })
    }
}

impl Output for Timeline {
    fn head(&mut self, head: &Head<'_>) -> io::Result<()> {
        self.record = Some(Record::new(head.name, *head.config, head.started));
        Ok(())
    }

    fn sighting(&mut self, sighting: &Sighting, _: &Now<'_>) -> io::Result<()> {
        if let Some(record) = &mut self.record {
            record.note(sighting);
        }
        Ok(())
    }

    fn tick(&mut self, _: &Now<'_>) -> io::Result<()> {
        Ok(())
    }

    fn summary(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        let Some(record) = self.record.take() else {
            return Ok(());
        };
        let svg = record.svg(summary.lasted).map_err(io::Error::other)?;
        self.target.write(&svg).map_err(|error| {
            let why = format!("--svg {}: {}", self.file.display(), text::bare(&error));
            io::Error::new(error.kind(), why)
        })
    }
}

#[cfg(test)]
mod tests;
