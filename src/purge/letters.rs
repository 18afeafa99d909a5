//! The dead letters of one document, resolved ones included: each holds what could not be stored, and goes on holding it.
//!
//! A letter of which something is left is found, whatever that is: a purge that died, or that a policy stopped, leaves versions
//! without a current one.

use cosmirror_formats::PartitionKey;
use cosmirror_formats::records::DeadLetter;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Place;
use crate::failure::{Failure, Kind};
use crate::history::{dead_letter_version, key_definition};
use crate::records;
use crate::retry::persist;
use crate::store::{Head, Listing, VersionStore};

/// Dead letters looked through; a mirror with more needs its cause mended first.
const LETTERS_MAX: usize = 10_000;
/// Letters read at the same time.
const READS_AT_ONCE: usize = 16;

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
        let version = dead_letter_version(&record, definition.as_ref(), &place.mirror.identities);
        let version = version.map(|incoming| incoming.version);
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
    let reads = newest(store, &prefix).await?.into_iter().map(|head| async move {
        let read = persist(|| records::get_version::<DeadLetter>(store, &head.name, Some(&head.version))).await?;
        Ok::<_, Failure>(read.map(|(record, _)| (head.name, record)))
    });
    let mut found = stream::iter(reads).buffered(READS_AT_ONCE);
    while let Some(read) = found.try_next().await? {
        // Somebody else erased it just now.
        let Some((name, record)) = read else { continue };
        match whose(name, record) {
            Whose::This(name) => letters.names.push(name),
            Whose::Another => {}
            Whose::Unknown => letters.unknown += 1,
        }
    }
    Ok(letters)
}

/// The newest version that is left of each name under a prefix.
async fn newest(store: &dyn VersionStore, prefix: &str) -> Result<Vec<Head>, Failure> {
    let (mut newest, mut next): (Vec<Head>, _) = (Vec::new(), None);
    loop {
        let page = persist(|| store.list(prefix, Listing::Versions, next.clone())).await?;
        for head in page.heads {
            // Those of a name come one behind the other, oldest first.
            match newest.last_mut() {
                Some(last) if last.name == head.name => *last = head,
                _ => newest.push(head),
            }
        }
        if newest.len() > LETTERS_MAX {
            let message = format!("there are more than {LETTERS_MAX} dead letters under {prefix}");
            return Err(Failure::new(Kind::Internal, message).remedy("mend their cause and replay them first"));
        }
        next = page.next;
        if next.is_none() {
            return Ok(newest);
        }
    }
}
