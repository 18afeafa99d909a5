//! The dead letters of one document, resolved ones included: each holds what could not be stored, and goes on holding it.

use cosmirror_formats::PartitionKey;
use cosmirror_formats::records::DeadLetter;

use super::Place;
use crate::failure::Failure;
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

/// Looks through all of a mirror's.
pub(super) async fn of(place: &Place, key: &PartitionKey, id: &str) -> Result<Letters, Failure> {
    let definition = key_definition(&place.mirror.record);
    let whose = |name: String, record: DeadLetter| {
        let recorded = record.partition_key.as_ref().and_then(PartitionKey::from_json).zip(record.id.clone());
        let parsed = || {
            let incoming = dead_letter_version(&record, definition.as_ref(), &place.mirror.identities)?;
            Some((incoming.version.pk, incoming.version.id))
        };
        match recorded.or_else(parsed) {
            Some((own_key, own_id)) if own_key == *key && own_id == id => Whose::This(name),
            Some(_) => Whose::Another,
            None => Whose::Unknown,
        }
    };
    let (store, prefix) = (place.mirror.store.as_ref(), place.mirror.paths.dead_letters());
    let mut letters = Letters { names: Vec::new(), unknown: 0 };
    for found in records::all(store, &prefix, LETTERS_MAX, whose).await? {
        match found {
            Whose::This(name) => letters.names.push(name),
            Whose::Another => {}
            Whose::Unknown => letters.unknown += 1,
        }
    }
    Ok(letters)
}
