//! The dead letters of one document, resolved ones included: each holds what could not be stored, and goes on holding it.
//!
//! A letter of which something is left is found, whatever that is: a purge that died, or that a policy stopped, leaves versions
//! without a current one.

use cosmirror_formats::PartitionKey;
use cosmirror_formats::records::DeadLetter;

use super::Place;
use crate::failure::{Failure, Kind};
use crate::history::{dead_letter_version, key_definition};
use crate::records;

/// Dead letters looked through; a mirror with more needs its cause mended first.
const LETTERS_MAX: usize = 10_000;

/// What was found.
pub(super) struct Letters {
    /// The document's.
    pub(super) names: Vec<String>,
    /// How many are of no document that can be told.
    pub(super) unknown: u64,
}

enum Whose {
    This(String),
    Another,
    Unknown,
}

/// Looks through all of a mirror's for those of the document's changes that were committed up to a second, or nobody knows when.
pub(super) async fn of(place: &Place, key: &PartitionKey, id: &str, until: i64) -> Result<Letters, Failure> {
    let definition = key_definition(&place.mirror.record);
    let whose = |name: String, record: DeadLetter| {
        let recorded = record.partition_key.as_ref().and_then(PartitionKey::from_json).zip(record.id.clone());
        let parsed = || dead_letter_version(&record, definition.as_ref(), &place.mirror.identities);
        let is_told = recorded.is_some() && record.ts.is_some();
        let version = if is_told { None } else { parsed().map(|incoming| incoming.version) };
        let ts = record.ts.or_else(|| version.as_ref().map(|version| version.ts));
        match recorded.or_else(|| version.map(|version| (version.pk, version.id))) {
            Some((own_key, own_id)) if own_key == *key && own_id == id && ts.is_none_or(|ts| ts <= until) => {
                Whose::This(name)
            }
            Some(_) => Whose::Another,
            None => Whose::Unknown,
        }
    };
    let (store, prefix) = (place.mirror.store.as_ref(), place.mirror.paths.dead_letters());
    let mut letters = Letters { names: Vec::new(), unknown: 0 };
    let too_many = |failure: Failure| match failure.kind {
        Kind::Internal => failure.remedy("mend their cause and replay them first"),
        _ => failure,
    };
    // One that is not there any more was erased by somebody else just now.
    for found in records::all_left(store, &prefix, LETTERS_MAX, whose).await.map_err(too_many)? {
        match found {
            Whose::This(name) => letters.names.push(name),
            Whose::Another => {}
            Whose::Unknown => letters.unknown += 1,
        }
    }
    Ok(letters)
}
