//! Dead letters as part of their documents' histories.
//!
//! A change that could not be stored as a version is still known: its bytes are in its dead letter. One whose document is
//! known and that was not resolved takes its place in that document's source order; one that cannot even be parsed makes
//! the document's state unknown from its commit time on. A dead letter without identity belongs to no document: the mirror
//! records a gap for it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cosmirror_formats::feed_page::parse_change;
use cosmirror_formats::records::DeadLetter;
use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{KeyDefinition, MirrorPaths, Op, Operation, PartitionKey, Version};

use super::{Entry, Place, Unreadable};
use crate::failure::{Failure, Kind};
use crate::records;
use crate::store::VersionStore;

/// Dead letters looked through; a mirror with more needs its cause mended first.
const LETTERS_MAX: usize = 10_000;

/// One unresolved dead letter of a known document.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) key: PartitionKey,
    pub(crate) id: String,
    /// The change as a version, where it can be parsed.
    pub(crate) entry: Option<Entry>,
    name: String,
    ts: Option<i64>,
}

impl Letter {
    /// The letter as a change that cannot be read, if it is one.
    pub(crate) fn unreadable(&self) -> Option<Unreadable> {
        self.entry.is_none().then(|| Unreadable { ts: self.ts, name: self.name.clone() })
    }
}

/// The unresolved dead letters of a mirror, by the name of their document's blob.
pub(crate) type Letters = BTreeMap<String, Vec<Letter>>;

/// Reads them. Bodies are dropped again: a restore reads the ones it needs.
pub(crate) async fn letters(
    store: &dyn VersionStore,
    paths: &MirrorPaths,
    definition: Option<&KeyDefinition>,
) -> Result<Letters, Failure> {
    let mut letters = Letters::new();
    let keep = |name: String, record: DeadLetter| letter(name, &record, definition);
    for letter in records::all(store, &paths.dead_letters(), LETTERS_MAX, keep).await?.into_iter().flatten() {
        letters.entry(paths.document(&letter.key, &letter.id)).or_default().push(letter);
    }
    Ok(letters)
}

/// How many dead letters wait for replay, those of unknown documents included.
pub async fn unresolved(store: &dyn VersionStore, paths: &MirrorPaths) -> Result<usize, Failure> {
    let keep = |_, record: DeadLetter| !record.resolved;
    let waiting = records::all(store, &paths.dead_letters(), LETTERS_MAX, keep).await?;
    Ok(waiting.into_iter().filter(|waits| *waits).count())
}

fn letter(name: String, record: &DeadLetter, definition: Option<&KeyDefinition>) -> Option<Letter> {
    if record.resolved {
        return None;
    }
    let key = PartitionKey::from_json(record.partition_key.as_ref()?)?;
    let id = record.id.clone()?;
    let entry = content(record, definition).and_then(|content| entry(&name, record, &key, &id, &content));
    Some(Letter { key, id, entry, name, ts: record.ts })
}

/// What a dead letter holds: the document's text, and what the feed said of it.
struct Content {
    operation: Operation,
    lsn: Option<u64>,
    ts: Option<i64>,
    etag: Option<String>,
    id: String,
    pk: PartitionKey,
    document: Vec<u8>,
}

/// The mirror keeps the document alone where it understood the entry, else the entry; a delete has no document.
fn content(record: &DeadLetter, definition: Option<&KeyDefinition>) -> Option<Content> {
    let raw = STANDARD.decode(&record.raw_base64).ok()?;
    if raw.is_empty() {
        return Some(Content {
            operation: Operation::Delete,
            lsn: None,
            ts: record.ts,
            etag: None,
            id: record.id.clone()?,
            pk: PartitionKey::from_json(record.partition_key.as_ref()?)?,
            document: raw,
        });
    }
    let change = parse_change(&raw, definition?).ok()?;
    Some(Content {
        operation: change.operation,
        lsn: change.lsn,
        ts: record.ts.or(Some(change.ts)),
        etag: change.etag,
        id: change.id,
        pk: change.pk,
        document: change.document.as_bytes().to_vec(),
    })
}

fn entry(name: &str, record: &DeadLetter, key: &PartitionKey, id: &str, content: &Content) -> Option<Entry> {
    if content.id != id || content.pk != *key {
        return None;
    }
    let op = match content.operation {
        Operation::Create => Op::Create,
        Operation::Replace | Operation::Write => Op::Replace,
        Operation::Delete => Op::Delete,
        Operation::Expire => Op::Expire,
    };
    let version = Version {
        op,
        ts: content.ts?,
        lsn: Some(content.lsn.unwrap_or(record.lsn)),
        nth: None,
        lineage: record.lineage.clone(),
        etag: content.etag.clone(),
        rid: String::new(),
        id: id.to_owned(),
        pk: key.clone(),
        prev: None,
        after: None,
        sha256: sha256_hex(&content.document),
    };
    let length = content.document.len() as u64;
    Some(Entry { version, place: Place::DeadLetter { name: name.to_owned() }, length, current: false })
}

/// The document's text in a dead letter.
pub(crate) fn document(name: &str, record: &DeadLetter, definition: &KeyDefinition) -> Result<Vec<u8>, Failure> {
    let content = content(record, Some(definition));
    let document = content.map(|content| content.document);
    document.ok_or_else(|| Failure::new(Kind::Integrity, format!("the dead letter {name} cannot be parsed")))
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::EpkRange;
    use serde_json::json;

    use super::*;

    fn record(raw: &str) -> DeadLetter {
        DeadLetter {
            format: 1,
            reason: "refused".to_owned(),
            range: EpkRange::full(),
            lineage: "l".to_owned(),
            lsn: 7,
            page: "\"7\"".to_owned(),
            id: Some("d".to_owned()),
            partition_key: Some(json!(["p"])),
            ts: Some(20),
            raw_base64: STANDARD.encode(raw),
            resolved: false,
        }
    }

    fn read(record: &DeadLetter) -> Option<Letter> {
        letter("name".to_owned(), record, Some(&KeyDefinition::new(["/pk"])))
    }

    #[test]
    fn a_refused_document_stands_at_its_place_in_the_log() {
        let text = r#"{"id":"d","pk":"p","_rid":"r","_etag":"e","_ts":19}"#;
        let entry = read(&record(text)).unwrap().entry.unwrap();
        assert_eq!((entry.version.ts, entry.version.lsn, entry.version.etag.as_deref()), (20, Some(7), Some("e")));
        let definition = KeyDefinition::new(["/pk"]);
        assert_eq!(document("name", &record(text), &definition).unwrap(), text.as_bytes());
    }

    #[test]
    fn a_refused_delete_is_a_tombstone() {
        assert!(read(&record("")).unwrap().entry.unwrap().version.is_tombstone());
    }

    #[test]
    fn a_letter_that_cannot_be_parsed_is_known_to_exist() {
        let letter = read(&record("{")).unwrap();
        assert_eq!(letter.unreadable(), Some(Unreadable { ts: Some(20), name: "name".to_owned() }));
        let other = record(r#"{"id":"other","pk":"p","_rid":"r","_etag":"e","_ts":19}"#);
        assert!(read(&other).unwrap().unreadable().is_some());
    }

    #[test]
    fn resolved_letters_and_those_of_no_known_document_are_left_out() {
        assert!(read(&DeadLetter { resolved: true, ..record("") }).is_none());
        assert!(read(&DeadLetter { id: None, ..record("") }).is_none());
    }
}
