//! Lines that cannot be used: told with their place, and collected in a file where that was asked for.
//!
//! The file appears under its name when it is whole, and never takes the place of another one; one with the same bytes is that of an earlier run of the same
//! import. It holds the text of the lines, so only its owner can read it.

use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;

use super::NOTES_MAX;
use crate::failure::{CommandError, Exit, Failure, Kind};

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BadLine {
    pub(super) file: String,
    /// From 1.
    pub(super) line: u64,
    /// Why, without anything of its content.
    pub(super) reason: String,
    /// The line itself.
    pub(super) text: String,
}

/// What becomes of lines that cannot be used.
pub(crate) struct BadLines {
    count: u64,
    told: Vec<String>,
    file: Option<(PathBuf, BufWriter<NamedTempFile>)>,
}

impl BadLines {
    /// They make the import fail.
    pub(crate) fn refused() -> Self {
        Self { count: 0, told: Vec::new(), file: None }
    }

    /// They go into this file.
    pub(crate) fn collected(path: &Path) -> Result<Self, Failure> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".import-").suffix(".unfinished").tempfile_in(folder);
        let file = file.map_err(|error| unwritable(path, &error))?;
        Ok(Self { count: 0, told: Vec::new(), file: Some((path.to_owned(), BufWriter::new(file))) })
    }

    /// Takes one.
    pub(crate) fn add(&mut self, bad: &BadLine) -> Result<(), Failure> {
        self.count += 1;
        if self.told.len() < NOTES_MAX {
            self.told.push(format!("{}:{}: {}", bad.file, bad.line, bad.reason));
        }
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let written = serde_json::to_writer(&mut *file, bad).map_err(std::io::Error::from);
        written.and_then(|()| file.write_all(b"\n")).map_err(|error| unwritable(path, &error))
    }

    /// How many there were. They are an error, unless they were collected; then their file gets its name if there is one.
    pub(crate) fn finish(self) -> Result<u64, CommandError> {
        let Some((path, file)) = self.file else {
            return if self.count == 0 { Ok(0) } else { Err(refused(self.count, self.told)) };
        };
        if self.count == 0 {
            return Ok(0);
        }
        for told in &self.told {
            tracing::warn!("{told}");
        }
        keep(&path, file)?;
        Ok(self.count)
    }
}

fn keep(path: &Path, file: BufWriter<NamedTempFile>) -> Result<(), Failure> {
    let file = file.into_inner().map_err(|error| unwritable(path, error.error()))?;
    file.as_file().sync_all().map_err(|error| unwritable(path, &error))?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            if is_same(path, error.file.path()).map_err(|error| unwritable(path, &error))? {
                return Ok(());
            }
            let message = format!("{} exists already", path.display());
            Err(Failure::new(Kind::Misconfigured, message).remedy("name another file with --skip-bad"))
        }
        Err(error) => Err(unwritable(path, &error.error)),
    }
}

fn is_same(one: &Path, other: &Path) -> std::io::Result<bool> {
    let [mut one, mut other] = [std::fs::File::open(one)?, std::fs::File::open(other)?];
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let [mut left, mut right] = [vec![0; 64 << 10], vec![0; 64 << 10]];
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..read])?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

fn refused(count: u64, mut told: Vec<String>) -> CommandError {
    let more = count - told.len() as u64;
    if more > 0 {
        told.push(format!("and {more} more lines that cannot be used"));
    }
    let remedy = "mend these lines, or pass --skip-bad FILE to collect them and import the others; nothing was written";
    CommandError::new(Exit::Integrity, told.join("\n"), remedy)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Internal, format!("cannot write {}: {error}", path.display()))
        .remedy("make room, or name another file with --skip-bad")
}
