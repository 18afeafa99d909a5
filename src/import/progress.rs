//! How far an import came, in a small file, so that the next run of the same import may begin behind it.
//!
//! The file says behind which document everything is settled. It is only ever an abbreviation: without it every document is looked at again, and those that have their
//! content are left alone. It is replaced as a whole, and removed when the import has come to its end. It belongs to the containers that were there, not to their names:
//! what it says of one that was deleted must not pass for what the next one of its name holds.
//!
//! It also counts what of the settled was left out or left alone, so that an import which was interrupted ends as one that was not.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};

/// The first one had no counts.
const FORMAT: u32 = 2;
/// Documents between two writes of the file.
const DOCUMENTS_BETWEEN: u64 = 500;
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 16;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    format: u32,
    /// What the import is told from others by: its input, where it goes, and how.
    import: String,
    #[serde(flatten)]
    behind: Behind,
}

/// Every file has it, whatever else there is in its format.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The documents from the first that are settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Behind {
    /// How many they are.
    pub(super) settled: u64,
    /// How many of them were left out.
    pub(super) left_out: u64,
    /// How many of them somebody changed at the same moment.
    pub(super) conflicts: u64,
}

impl Behind {
    fn count(&mut self, how: How) {
        self.settled += 1;
        match how {
            How::Done => {}
            How::LeftOut => self.left_out += 1,
            How::Conflict => self.conflicts += 1,
        }
    }
}

/// How a document was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// As the policy says.
    Done,
    /// The exports do not know what it was.
    LeftOut,
    /// It was left alone because somebody changed it at the same moment.
    Conflict,
}

/// What is settled.
pub(crate) struct Progress {
    path: PathBuf,
    import: String,
    behind: Behind,
    written: u64,
    /// Settled behind one that is not.
    ahead: BTreeMap<u64, How>,
    /// The first that this run cannot settle. Nothing behind it is remembered: the next run looks at all of that again.
    left: u64,
    /// Whether nothing may be written.
    dry_run: bool,
}

impl Progress {
    /// Begins, behind what the file says where it is of the same import. A file of another one is refused.
    pub(crate) fn begin(path: &Path, import: String, dry_run: bool) -> Result<Self, Failure> {
        let behind = match read(path)? {
            None => Behind::default(),
            Some(written) if written.import == import => written.behind,
            Some(_) => return Err(of_another(path)),
        };
        let path = path.to_owned();
        Ok(Self { path, import, behind, written: behind.settled, ahead: BTreeMap::new(), left: u64::MAX, dry_run })
    }

    /// Refuses a file that is there: an import whose containers are not all there has not begun, so it is of another one.
    pub(crate) fn require_none(path: &Path) -> Result<(), Failure> {
        read(path)?.map_or(Ok(()), |_| Err(of_another(path)))
    }

    /// The documents from the first that are settled.
    pub(super) fn behind(&self) -> Behind {
        self.behind
    }

    /// A document is settled. What is settled before it may be so in any order.
    pub(super) fn settle(&mut self, place: u64, how: How) -> Result<(), Failure> {
        if place < self.left {
            self.ahead.insert(place, how);
        }
        while let Some(how) = self.ahead.remove(&self.behind.settled) {
            self.behind.count(how);
        }
        if self.behind.settled >= self.written + DOCUMENTS_BETWEEN { self.save() } else { Ok(()) }
    }

    /// A document failed, or was not written because the import was cancelled: it is for the next run.
    pub(super) fn leave(&mut self, place: u64) {
        self.left = self.left.min(place);
        drop(self.ahead.split_off(&self.left));
    }

    /// Writes the file.
    pub(super) fn save(&mut self) -> Result<(), Failure> {
        if self.dry_run || self.behind.settled == self.written {
            return Ok(());
        }
        let written = Written { format: FORMAT, import: self.import.clone(), behind: self.behind };
        write(&self.path, &written).map_err(|error| unusable(&self.path, &error))?;
        self.written = self.behind.settled;
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
    let Format { format } = serde_json::from_slice(&text).map_err(|_| other(path))?;
    if format != FORMAT {
        let message = format!("{} has the format {format}, and this program writes {FORMAT}", path.display());
        return Err(Failure::new(Kind::Misconfigured, message)
            .remedy("remove it: every document is looked at again, and those that have their content are left alone"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(path: &Path) -> Progress {
        Progress::begin(path, "a".to_owned(), false).unwrap()
    }

    #[test]
    fn golden_progress_counts_what_was_left_out_or_left_alone_from_the_first_to_the_last_that_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.progress");
        let mut progress = begin(&path);
        for (place, how) in [(1, How::LeftOut), (0, How::Done), (2, How::Conflict), (4, How::LeftOut)] {
            progress.settle(place, how).unwrap();
        }
        progress.save().unwrap();
        let golden = "{\"format\":2,\"import\":\"a\",\"settled\":3,\"left_out\":1,\"conflicts\":1}\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), golden);
        let mut progress = begin(&path);
        assert_eq!(progress.behind(), Behind { settled: 3, left_out: 1, conflicts: 1 });
        // The one that was settled ahead of another is looked at again, and counted once.
        progress.settle(3, How::Done).unwrap();
        progress.settle(4, How::LeftOut).unwrap();
        assert_eq!(progress.behind(), Behind { settled: 5, left_out: 2, conflicts: 1 });
    }

    #[test]
    fn behind_a_document_that_failed_nothing_is_remembered_or_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.progress");
        let mut progress = begin(&path);
        for place in 2..100 {
            progress.settle(place, How::LeftOut).unwrap();
        }
        progress.leave(50);
        assert_eq!(progress.ahead.len(), 48);
        progress.leave(1);
        progress.leave(70);
        for place in 100..1_000 {
            progress.settle(place, How::LeftOut).unwrap();
        }
        assert!(progress.ahead.is_empty());
        progress.settle(0, How::Done).unwrap();
        progress.save().unwrap();
        assert_eq!(begin(&path).behind(), Behind { settled: 1, left_out: 0, conflicts: 0 });
    }

    #[test]
    fn a_file_of_another_format_or_import_or_of_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.progress");
        for (text, why) in [
            ("{\"format\":1,\"import\":\"a\",\"settled\":3}", "has the format 1"),
            ("{\"format\":3,\"import\":\"a\"}", "has the format 3"),
            ("{\"format\":2,\"import\":\"a\",\"settled\":3}", "is not the progress of an import"),
            ("{\"format\":2,\"import\":\"b\",\"settled\":3,\"left_out\":0,\"conflicts\":0}", "of another import"),
            ("x", "is not the progress of an import"),
        ] {
            std::fs::write(&path, text).unwrap();
            let refused = Progress::begin(&path, "a".to_owned(), false).err().unwrap();
            assert!(refused.to_string().contains(why), "{text}: {refused}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
