//! Which versions of a document were written by a restore.
//!
//! A write is known by the etag it made, a delete by the etag it removed, which is the tombstone's `prev`.

use std::collections::HashMap;

use cosmirror_formats::restore_record::RestoreRecord;
use cosmirror_formats::{MirrorPaths, PartitionKey};

use super::Entry;
use crate::failure::Failure;
use crate::records;
use crate::store::VersionStore;

/// Files of restores looked through; one holds thousands of documents.
const FILES_MAX: usize = 100_000;

/// What restores did to one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    wrote: HashMap<String, String>,
    deleted: HashMap<String, String>,
}

impl Origins {
    /// `feed`, or the id of the restore that wrote this version.
    pub fn of(&self, entry: &Entry) -> &str {
        let restore = match &entry.version.etag {
            Some(etag) => self.wrote.get(etag),
            None => entry.version.prev.as_ref().and_then(|prev| self.deleted.get(prev)),
        };
        restore.map_or("feed", String::as_str)
    }
}

/// Reads the records of all restores for what they did to this document.
pub async fn origins(
    store: &dyn VersionStore,
    paths: &MirrorPaths,
    key: &PartitionKey,
    id: &str,
) -> Result<Origins, Failure> {
    let key = key.to_json();
    let keep = |_, record: RestoreRecord| {
        let mine = record.written.into_iter().filter(|written| written.id == id && written.partition_key == key);
        (record.id, mine.collect::<Vec<_>>())
    };
    let mut origins = Origins::default();
    for (restore, written) in records::all(store, &paths.restores(), FILES_MAX, keep).await? {
        for document in written {
            origins.wrote.extend(document.etag.map(|etag| (etag, restore.clone())));
            origins.deleted.extend(document.deleted.map(|etag| (etag, restore.clone())));
        }
    }
    Ok(origins)
}
