//! Reading one object: its newest version's head, or the content of a version.

use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::{Shared, errors, file, head_of, names};
use crate::failure::Failure;
use crate::store::Head;

impl Shared {
    pub(super) fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        let directory = names::object_directory(&self.root, name)?;
        let Some(sequence) = self.newest(&directory)? else { return Ok(None) };
        self.synced.sync(&directory)?;
        let described = file::describe(&directory.join(names::version_file(sequence)))?;
        Ok(described.map(|d| head_of(name, sequence, true, d.length, d.metadata)))
    }

    pub(super) fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        let directory = names::object_directory(&self.root, name)?;
        let Some(newest) = self.newest(&directory)? else { return Ok(None) };
        let sequence = match version.map(str::parse) {
            None => newest,
            Some(Ok(sequence)) => sequence,
            Some(Err(_)) => return Ok(None),
        };
        let read = file::read(&directory.join(names::version_file(sequence)))?;
        Ok(read.map(|(d, body)| (head_of(name, sequence, sequence == newest, d.length, d.metadata), Bytes::from(body))))
    }

    fn newest(&self, directory: &Path) -> Result<Option<u64>, Failure> {
        Ok(self.sequences(directory)?.into_iter().max())
    }

    /// The sequence numbers of an object's versions, in no order; none where there is no such object.
    pub(super) fn sequences(&self, directory: &Path) -> Result<Vec<u64>, Failure> {
        let mut sequences = Vec::new();
        for_each_entry(directory, |name, kind| {
            if kind.is_file() {
                sequences.extend(names::sequence_of(name));
            }
        })?
        .map_or_else(|| self.check_root(), Ok)?;
        Ok(sequences)
    }

    /// An object that is missing is an answer; a root that is missing is an unmounted disk.
    pub(super) fn check_root(&self) -> Result<(), Failure> {
        match fs::metadata(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(errors::no_root(&self.root)),
            found => found.map(drop).map_err(|error| errors::reading(&self.root, &error)),
        }
    }
}

/// Calls `found` for every entry whose name is text, in no order; none if there is no such directory.
pub(super) fn for_each_entry(
    directory: &Path,
    mut found: impl FnMut(&str, fs::FileType),
) -> Result<Option<()>, Failure> {
    let failed = |error: io::Error| errors::reading(directory, &error);
    let entries = match fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if let Some(name) = entry.file_name().to_str() {
            found(name, entry.file_type().map_err(failed)?);
        }
    }
    Ok(Some(()))
}
