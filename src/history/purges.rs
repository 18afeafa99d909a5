//! Which documents' histories were erased, for whoever is about to bring one back: what undoes a restore, a plan, an export.
//!
//! The mirror's own writers need none of this: they meet the mark at the document's place.

use std::collections::HashMap;

use cosmirror_formats::purge::PurgeRecord;
use cosmirror_formats::records::DeadLetter;
use cosmirror_formats::{MirrorPaths, PartitionKey};

use crate::failure::Failure;
use crate::records;
use crate::store::VersionStore;

/// Records read; a mirror in which a million documents were erased one by one takes a minute to ask.
const RECORDS_MAX: usize = 1_000_000;

/// The purges of one mirror.
#[derive(Debug, Clone, Default)]
pub struct Purges {
    paths: Option<MirrorPaths>,
    /// Up to when, by what the record calls the document.
    until: HashMap<String, i64>,
}

impl Purges {
    /// Reads them.
    pub async fn read(store: &dyn VersionStore, paths: &MirrorPaths) -> Result<Self, Failure> {
        let keep = |name: String, record: PurgeRecord| (name, record.until);
        let found = records::all(store, &paths.purges(), RECORDS_MAX, keep).await?;
        let prefix = paths.purges();
        let id = |name: &str| name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".json")).map(str::to_owned);
        let until = found.into_iter().filter_map(|(name, until)| Some((id(&name)?, until))).collect();
        Ok(Self { paths: Some(paths.clone()), until })
    }

    /// Those of the document alone that a dead letter says it is of. One attempt.
    pub(crate) async fn of_letter(
        store: &dyn VersionStore,
        paths: &MirrorPaths,
        letter: &DeadLetter,
    ) -> Result<Self, Failure> {
        let Some((key, id)) = document_of(letter) else { return Ok(Self::default()) };
        let document = paths.document(&key, id);
        let found = records::get::<PurgeRecord>(store, &paths.purge(&document)).await?;
        let until = found.map(|(record, _)| (paths.purge_id(&document), record.until)).into_iter().collect();
        Ok(Self { paths: Some(paths.clone()), until })
    }

    /// Whether a dead letter that says whose it is holds content that is to stay away.
    pub(crate) fn cover_letter(&self, letter: &DeadLetter) -> bool {
        document_of(letter).is_some_and(|(key, id)| self.cover(&key, id, letter.ts))
    }

    /// Whether a document's content that was committed then is to stay away; where it is not known when, it is.
    pub fn cover(&self, key: &PartitionKey, id: &str, ts: Option<i64>) -> bool {
        let Some(paths) = self.paths.as_ref().filter(|_| !self.until.is_empty()) else { return false };
        let until = self.until.get(&paths.purge_id(&paths.document(key, id)));
        until.is_some_and(|until| ts.is_none_or(|ts| ts <= *until))
    }
}

fn document_of(letter: &DeadLetter) -> Option<(PartitionKey, &String)> {
    letter.partition_key.as_ref().and_then(PartitionKey::from_json).zip(letter.id.as_ref())
}
