//! Directories whose entries are on disk.
//!
//! A new file is safe only when every directory above it has been synced since it, or the next directory down, was made in
//! it. A process knows what it has synced; it cannot know what another one did before it died. So an object's own
//! directory is synced each time, and those above it once in each process.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::errors;
use crate::failure::Failure;

/// Directories remembered; past it all are forgotten, and synced again when met.
const REMEMBERED_MAX: usize = 20_000;

/// The directories whose entry in their parent this process has brought to disk.
#[derive(Debug)]
pub(super) struct Synced {
    root: PathBuf,
    directories: Mutex<HashSet<PathBuf>>,
}

impl Synced {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), directories: Mutex::default() }
    }

    /// Makes `directory` and what is missing above it, below the root.
    pub(super) fn create(&self, directory: &Path) -> Result<(), Failure> {
        match make(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match directory.parent() {
                Some(parent) if directory != self.root => {
                    self.create(parent)?;
                    make(directory).map_err(|error| errors::writing(directory, &error))
                }
                _ => Err(errors::no_root(&self.root)),
            },
            made => made.map_err(|error| errors::writing(directory, &error)),
        }
    }

    /// Syncs an object's directory, and the ones above it that this process has not synced yet.
    pub(super) fn sync(&self, object: &Path) -> Result<(), Failure> {
        sync_directory(object)?;
        let mut entry = object;
        while entry != self.root
            && let Some(parent) = entry.parent()
        {
            if !self.knows(entry) {
                sync_directory(parent)?;
                self.remember(entry);
            }
            entry = parent;
        }
        Ok(())
    }

    fn knows(&self, entry: &Path) -> bool {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner).contains(entry)
    }

    fn remember(&self, entry: &Path) {
        let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        if directories.len() >= REMEMBERED_MAX {
            directories.clear();
        }
        directories.insert(entry.to_path_buf());
    }
}

/// Makes one directory for its owner only; it may exist.
pub(super) fn make(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        made => made,
    }
}

/// Brings a directory's entries to disk.
pub(super) fn sync_directory(directory: &Path) -> Result<(), Failure> {
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(|error| errors::writing(directory, &error))
}
