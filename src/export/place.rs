//! Where an export lies.
//!
//! A place holds files by name. `keep` and `put` make a file durable before they return, whole or not at all, and take the place of what an interrupted
//! run left under that name. A file that has its name does not change any more, but for the manifest of an unfinished export.

use std::fs::File;
use std::io::{Read, Write};

use async_trait::async_trait;
use tempfile::NamedTempFile;

use crate::failure::Failure;

mod blobs;
mod directory;
mod named;

pub(crate) use blobs::Blobs;
pub(crate) use directory::Directory;
pub(crate) use named::ExportPlace;

/// A file that has no name in its place yet. It is gone when it is dropped, and an unnamed one however the process ends.
#[derive(Debug)]
pub(crate) enum Staged {
    /// Beside its name.
    Beside(NamedTempFile),
    /// Nowhere.
    Unnamed(File),
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Beside(file) => file.write(bytes),
            Self::Unnamed(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Beside(file) => file.flush(),
            Self::Unnamed(file) => file.flush(),
        }
    }
}

/// A place for one export.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    /// What messages call a file in it; without a name the place itself.
    fn describe(&self, name: &str) -> String;

    /// The names of all that is in it; nothing where there is no such place yet.
    async fn names(&self) -> Result<Vec<String>, Failure>;

    /// Makes it, and keeps others from writing to it until this is dropped: `Kind::Held` where another process does.
    async fn claim(&mut self) -> Result<(), Failure>;

    /// A file to write to, for `keep` of the same place.
    fn stage(&self) -> Result<Staged, Failure>;

    /// Gives a staged file its name.
    async fn keep(&self, name: &str, staged: Staged) -> Result<(), Failure>;

    /// Writes a small file.
    async fn put(&self, name: &str, text: &str) -> Result<(), Failure>;

    /// Removes a file where that is possible; it may be gone.
    async fn remove(&self, name: &str) -> Result<(), Failure>;

    /// Opens a file; none where it is not there.
    async fn open(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, Failure>;
}
