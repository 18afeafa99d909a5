//! How far an import came, in a small file, so that the next run of the same import may begin behind it.
//!
//! The file says behind which document everything is settled. It is only ever an abbreviation: without it every document is looked at again, and those that have their
//! content are left alone. It is replaced as a whole, and removed when the import has come to its end. It belongs to the containers that were there, not to their names:
//! what it says of one that was deleted must not pass for what the next one of its name holds.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};

const FORMAT: u32 = 1;
/// Documents between two writes of the file.
const DOCUMENTS_BETWEEN: u64 = 500;
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    format: u32,
    /// What the import is told from others by: its input, where it goes, and how.
    import: String,
    /// Documents from the first that are settled.
    settled: u64,
}

/// What is settled.
pub(crate) struct Progress {
    path: PathBuf,
    import: String,
    settled: u64,
    written: u64,
    /// Settled behind one that is not.
    ahead: BTreeSet<u64>,
    /// Whether nothing may be written.
    dry_run: bool,
}

impl Progress {
    /// Begins, behind what the file says where it is of the same import. A file of another one is refused.
    pub(crate) fn begin(path: &Path, import: String, dry_run: bool) -> Result<Self, Failure> {
        let settled = match read(path)? {
            None => 0,
            Some(written) if written.import == import && written.format == FORMAT => written.settled,
            Some(_) => return Err(of_another(path)),
        };
        let path = path.to_owned();
        Ok(Self { path, import, settled, written: settled, ahead: BTreeSet::new(), dry_run })
    }

    /// Refuses a file that is there: an import whose containers are not all there has not begun, so it is of another one.
    pub(crate) fn require_none(path: &Path) -> Result<(), Failure> {
        read(path)?.map_or(Ok(()), |_| Err(of_another(path)))
    }

    /// Documents from the first that are settled.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// A document is settled. What is settled before it may be so in any order.
    pub(super) fn settle(&mut self, place: u64) -> Result<(), Failure> {
        self.ahead.insert(place);
        while self.ahead.remove(&self.settled) {
            self.settled += 1;
        }
        if self.settled >= self.written + DOCUMENTS_BETWEEN { self.save() } else { Ok(()) }
    }

    /// Writes the file.
    pub(super) fn save(&mut self) -> Result<(), Failure> {
        if self.dry_run || self.settled == self.written {
            return Ok(());
        }
        let written = Written { format: FORMAT, import: self.import.clone(), settled: self.settled };
        write(&self.path, &written).map_err(|error| unusable(&self.path, &error))?;
        self.written = self.settled;
        Ok(())
    }

    /// Removes the file: nothing is left to do.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        if self.dry_run {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(&self.path, &error)),
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> Result<Option<Written>, Failure> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, &error)),
        Ok(found) if found.len() > FILE_BYTES_MAX => return Err(other(path)),
        Ok(_) => {}
    }
    let text = std::fs::read(path).map_err(|error| unusable(path, &error))?;
    serde_json::from_slice(&text).map(Some).map_err(|_| other(path))
}

fn write(path: &Path, written: &Written) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".import-").suffix(".unfinished").tempfile_in(folder)?;
    serde_json::to_writer(&mut file, written)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn of_another(path: &Path) -> Failure {
    Failure::new(Kind::Misconfigured, format!("{} is the progress of another import", path.display()))
        .remedy("name another file with --progress, or remove it if that import is not to go on")
}

fn other(path: &Path) -> Failure {
    Failure::new(Kind::Misconfigured, format!("{} is not the progress of an import", path.display()))
        .remedy("name another file with --progress")
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Internal, format!("cannot use {}: {error}", path.display()))
        .remedy("make room, or name another file with --progress")
}
