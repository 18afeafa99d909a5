//! Storing a version: stage, claim, sync.
//!
//! The claim is a hard link from the staged file to the next sequence number. It fails where that number is taken, so
//! what was read before it is only a quick refusal; the link decides.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::names::{self, STAGING};
use super::{Shared, errors, file};
use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::store::{Condition, Put, Stored};

/// The directory in which versions are written before they get their place, and the next name in it.
#[derive(Debug)]
pub(super) struct Staging {
    directory: PathBuf,
    next: AtomicU64,
}

/// A staged file; gone when dropped.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

impl Staging {
    pub(super) fn new(root: &Path) -> Self {
        Self { directory: root.join(STAGING), next: AtomicU64::new(0) }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A new file of this process. Process numbers return (in containers each process is often number 1), so a name may
    /// be taken by a file of another, dead or alive; the next one is tried.
    pub(super) fn file(&self) -> Result<Staged, Failure> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let path = self.directory.join(format!("{}-{number}", std::process::id()));
            match create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(errors::writing(&path, &error)),
                Ok(file) => return Ok(Staged { path, file }),
            }
        }
    }
}

/// Makes a file for its owner only, which must not exist.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

impl Drop for Staged {
    fn drop(&mut self) {
        // A file that cannot be removed now is removed by a later `prepare`; the version it staged has its own link.
        let _ = fs::remove_file(&self.path);
    }
}

impl Shared {
    pub(super) fn put(&self, put: Put) -> Result<Stored, Failure> {
        let directory = names::object_directory(&self.root, &put.name)?;
        let header = file::header_line(put.body.len() as u64, lower_case_names(put.metadata)?)?;
        let Some(sequence) = self.next_sequence(&directory, &put.condition)? else {
            return Err(self.conflict(&put.name, &directory));
        };

        let staged = self.staging.file()?;
        file::write(&staged.file, &header, &put.body)
            .and_then(|()| staged.file.sync_all())
            .map_err(|error| errors::writing(&staged.path, &error))?;
        self.synced.create(&directory)?;

        let place = directory.join(names::version_file(sequence));
        crash_point!("version-staged");
        match fs::hard_link(&staged.path, &place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.conflict(&put.name, &directory));
            }
            linked => linked.map_err(|error| errors::writing(&place, &error))?,
        }
        crash_point!("version-linked");
        // Should this fail, the version is there but perhaps not on disk: unknown to the caller, who looks.
        self.synced.sync(&directory)?;
        Ok(Stored { etag: sequence.to_string(), version: sequence.to_string() })
    }

    /// The sequence number to claim; none if the condition does not hold.
    fn next_sequence(&self, directory: &Path, condition: &Condition) -> Result<Option<u64>, Failure> {
        match condition {
            Condition::Absent => Ok(if self.sequences(directory)?.is_empty() { Some(1) } else { None }),
            Condition::Matches(etag) => {
                let Ok(current) = etag.parse::<u64>() else { return Ok(None) };
                let Some(next) = current.checked_add(1) else { return Ok(None) };
                let exists = |sequence| directory.join(names::version_file(sequence)).exists();
                Ok((exists(current) && !exists(next)).then_some(next))
            }
        }
    }

    /// The caller will look at what is there and may count it as stored, so it is brought to disk first.
    fn conflict(&self, name: &str, directory: &Path) -> Failure {
        if directory.is_dir()
            && let Err(failure) = self.synced.sync(directory)
        {
            return failure;
        }
        Failure::new(Kind::Conflict, format!("{name:?} is not in the state this version was to follow"))
    }
}

/// Names of metadata are compared without case, here by keeping them in lower case.
fn lower_case_names(metadata: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> {
    let given = metadata.len();
    let lower: BTreeMap<_, _> = metadata.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    if lower.len() < given {
        return Err(Failure::new(Kind::Refused, "two names of metadata differ only by case"));
    }
    Ok(lower)
}
