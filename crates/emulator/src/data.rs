//! The folder in which an emulator keeps its state: one journal per service, and a lock against a second emulator.
//!
//! What a client was told is done is in the folder, so that an emulator killed at any moment comes back with it (see
//! [`crate::journal`] for what a power failure may take). The files only grow; what expired is forgotten when it is read.
//! Fault rules, counters and the feed's oddities are not kept.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::journal::JournalError;

/// A folder of an emulator that no other emulator uses.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Held for as long as the emulator lives.
    _lock: File,
}

/// Kept state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder cannot be made, opened or locked.
    #[error("cannot use the folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// Another emulator uses the folder.
    #[error("the folder {path} is in use by another emulator")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A journal is damaged, foreign or cannot be read.
    #[error("{0}")]
    Journal(String),
}

impl From<JournalError> for DataError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error.to_string())
    }
}

impl DataFolder {
    /// Makes the folder if it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let refuse = |source| DataError::Folder { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(refuse)?;
        let lock = File::create(path.join("lock")).map_err(refuse)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(refuse(source)),
        }
    }

    /// The path of a service's journal.
    pub(crate) fn journal(&self, service: &str) -> PathBuf {
        self.path.join(format!("{service}.journal"))
    }
}
