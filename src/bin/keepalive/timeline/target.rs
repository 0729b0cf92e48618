//! The file that the picture is written to.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) struct Target {
    path: PathBuf,
    /// Something else is there than a file, such as a pipe: it is not replaced.
    is_special: bool,
}

impl Target {
    /// Fails where nothing can be written to.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let target = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if found.is_file() => {
                OpenOptions::new().append(true).open(path)?;
                Self::file(end_of_links(path)?)
            }
            // To open a pipe would wait for its reader.
            Ok(_) => Self {
                path: path.to_owned(),
                is_special: true,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::file(end_of_links(path)?)
            }
            Err(error) => return Err(error),
        };
        if !target.is_special {
            let draft = target.draft()?;
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&draft)?;
            fs::remove_file(draft)?;
        }
        Ok(target)
    }

    const fn file(path: PathBuf) -> Self {
        let is_special = false;
        Self { path, is_special }
    }

    /// The whole picture or none: whoever looks meanwhile sees the old one.
    pub(super) fn write(&self, svg: &str) -> io::Result<()> {
        if self.is_special {
            return fs::write(&self.path, svg);
        }
        let draft = self.draft()?;
        let result = Self::replace(&draft, &self.path, svg);
        if result.is_err() {
            // That it could not be written is the error to report.
            let _ = fs::remove_file(&draft);
        }
        result
    }

    fn replace(draft: &Path, path: &Path, svg: &str) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(draft)?;
        if let Ok(found) = fs::metadata(path) {
            file.set_permissions(found.permissions())?;
        }
        file.write_all(svg.as_bytes())?;
        file.sync_all()?;
        fs::rename(draft, path)
    }

    /// Next to it, as only there it can be renamed.
    fn draft(&self) -> io::Result<PathBuf> {
        let name = self.path.file_name();
        let mut name = name.ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        Ok(self.path.with_file_name(name))
    }
}

/// What a link leads to is replaced, not the link, even where nothing is there yet.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many as the system follows.
    for _ in 0..40 {
        let Ok(next) = fs::read_link(&path) else {
            return Ok(path);
        };
        path = path
            .parent()
            .map(|parent| parent.join(&next))
            .unwrap_or(next);
    }
    Err(io::Error::other("too many levels of symbolic links"))
}
