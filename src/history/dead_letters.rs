//! Dead letters as part of their documents' histories.
//!
//! A change that could not be stored as a version is still known: its bytes are in its dead letter. One whose document is
//! known takes its place in that document's source order, unless it was stored as a version since; one that cannot even be
//! parsed makes the document's state unknown from its commit time on. A dead letter without identity belongs to no document.
//!
//! The bytes of an encrypted letter stay as they are stored: as a version's, with metadata that say so. Only an entry that was not
//! understood has to be opened to find its document.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cosmirror_formats::feed_page::parse_change;
use cosmirror_formats::records::{DeadLetter, RESOLVED, Resolution};
use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{Encryption, KeyDefinition, MirrorPaths, Op, Operation, PartitionKey, Version};

use super::{Entry, Life, Place, Unreadable};
use crate::encryption::Identities;
use crate::failure::{Failure, Kind};
use crate::mirror::plan::Incoming;
use crate::records;
use crate::retry::persist;
use crate::store::{Head, Listing, VersionStore};

/// Dead letters looked through; a mirror with more needs its cause mended first.
const LETTERS_MAX: usize = 10_000;

/// One dead letter of a known document that is stored nowhere else.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) key: PartitionKey,
    pub(crate) id: String,
    /// The change as a version, where it can be parsed.
    pub(crate) entry: Option<Entry>,
    name: String,
    ts: Option<i64>,
    place: u32,
}

impl Letter {
    /// The letter as a change that cannot be read, if it is one.
    pub(crate) fn unreadable(&self) -> Option<Unreadable> {
        self.entry.is_none().then(|| Unreadable { ts: self.ts, name: self.name.clone() })
    }
}

/// The dead letters of a mirror that are part of histories, by the name of their document's blob.
pub(crate) type Letters = BTreeMap<String, Vec<Letter>>;

/// Reads them. Bodies are dropped again: a restore reads the ones it needs.
pub(crate) async fn letters(
    store: &dyn VersionStore,
    paths: &MirrorPaths,
    definition: Option<&KeyDefinition>,
    identities: &Identities,
) -> Result<Letters, Failure> {
    let mut letters = Letters::new();
    let keep = |name: String, record: DeadLetter| (record.resolved, letter(name, &record, definition, identities));
    let matters = |head: &Head| resolution(head) != Some(Resolution::Stored.as_str());
    let found = records::all_where(store, &paths.dead_letters(), LETTERS_MAX, matters, keep).await?;
    let unknown = found.iter().filter(|(resolved, letter)| !resolved && letter.is_none()).count();
    if unknown > 0 {
        tracing::warn!(
            unknown,
            "dead letters belong to no known document, or are encrypted: some document's state may lack a change; see `cosmirror dead-letters list`"
        );
    }
    for letter in found.into_iter().filter_map(|(_, letter)| letter) {
        letters.entry(paths.document(&letter.key, &letter.id)).or_default().push(letter);
    }
    // Those of one transaction have one number and are listed by their hashes.
    letters.values_mut().for_each(|letters| letters.sort_by_key(|letter| letter.place));
    Ok(letters)
}

/// How many dead letters wait for replay, those of unknown documents included; by listing alone.
pub async fn unresolved(store: &dyn VersionStore, paths: &MirrorPaths) -> Result<usize, Failure> {
    let (prefix, mut waiting, mut next) = (paths.dead_letters(), 0, None);
    loop {
        let page = persist(|| store.list(&prefix, Listing::Current, next.clone())).await?;
        waiting += page.heads.iter().filter(|head| resolution(head).is_none()).count();
        next = page.next;
        if next.is_none() {
            return Ok(waiting);
        }
    }
}

/// How the dead letter in this blob was resolved; none while it waits.
pub(crate) fn resolution(head: &Head) -> Option<&str> {
    let named = |(name, _): &(&String, &String)| name.eq_ignore_ascii_case(RESOLVED);
    head.metadata.iter().find(named).map(|(_, how)| how.as_str())
}

fn letter(
    name: String,
    record: &DeadLetter,
    definition: Option<&KeyDefinition>,
    identities: &Identities,
) -> Option<Letter> {
    if record.resolved && record.resolution != Some(Resolution::Superseded) {
        return None;
    }
    let incoming = incoming(record, definition, identities);
    let recorded = record.partition_key.as_ref().and_then(PartitionKey::from_json).zip(record.id.clone());
    let parsed = || incoming.as_ref().map(|incoming| (incoming.version.pk.clone(), incoming.version.id.clone()));
    let (key, id) = recorded.or_else(parsed)?;
    let entry = incoming.filter(|incoming| incoming.version.pk == key && incoming.version.id == id).map(|incoming| {
        let (version, length) = as_stored(record, incoming);
        let place = Place::DeadLetter { name: name.clone() };
        Entry { version, place, length, current: false, life: Life::default() }
    });
    Some(Letter { key, id, entry, name, ts: record.ts, place: record.place.unwrap_or_default() })
}

/// The version in a dead letter with the hash of what is stored, and its length.
fn as_stored(record: &DeadLetter, incoming: Incoming) -> (Version, u64) {
    let Incoming { mut version, body, .. } = incoming;
    match (encryption(record), STANDARD.decode(&record.raw_base64)) {
        // It was opened to be understood.
        (Some(encryption), Ok(stored)) if version.encryption.is_none() => {
            version.encryption = Some(encryption);
            version.sha256 = sha256_hex(&stored);
            (version, stored.len() as u64)
        }
        _ => (version, body.len() as u64),
    }
}

/// How a dead letter's bytes are encrypted.
pub(crate) fn encryption(record: &DeadLetter) -> Option<Encryption> {
    record.encryption.as_ref()?.parse().ok()
}

/// What a dead letter holds, as a version that is to be stored; none where that cannot be told from it. What was a version's bytes stays
/// encrypted where it is; an entry that was not understood is opened.
pub(crate) fn incoming(
    record: &DeadLetter,
    definition: Option<&KeyDefinition>,
    identities: &Identities,
) -> Option<Incoming> {
    let mut body = Bytes::from(STANDARD.decode(&record.raw_base64).ok()?);
    if let (Some(_), None) = (&record.encryption, &record.metadata) {
        body = identities.open("the dead letter", &encryption(record)?, &body).ok()?;
    }
    let place = record.place.unwrap_or_default();
    match &record.metadata {
        Some(metadata) => {
            let version = Version::from_metadata(metadata).ok()?;
            let operation = match version.op {
                Op::Create => Operation::Create,
                Op::Replace => Operation::Replace,
                Op::Expire => Operation::Expire,
                _ if version.is_tombstone() => Operation::Delete,
                Op::Delete | Op::Backfill | Op::Reconcile | Op::Purge => Operation::Write,
            };
            let left_out = Vec::new();
            (version.sha256 == sha256_hex(&body)).then_some(Incoming { version, operation, body, place, left_out })
        }
        None => parsed(record, &body, definition?),
    }
}

/// From the entry of the feed, or the document alone, as the mirror kept it.
fn parsed(record: &DeadLetter, raw: &Bytes, definition: &KeyDefinition) -> Option<Incoming> {
    let change = parse_change(raw, definition).ok()?;
    let body = if change.document.is_empty() { Bytes::new() } else { raw.slice_ref(change.document.as_bytes()) };
    let op = match change.operation {
        Operation::Create => Op::Create,
        Operation::Replace | Operation::Write => Op::Replace,
        Operation::Delete => Op::Delete,
        Operation::Expire => Op::Expire,
    };
    let version = Version {
        op,
        ts: record.ts.unwrap_or(change.ts),
        lsn: change.lsn.or(Some(record.lsn)),
        nth: None,
        lineage: record.lineage.clone(),
        etag: change.etag,
        // A lineage begins with the resource id of its container.
        rid: record.lineage.split(':').next().unwrap_or_default().to_owned(),
        id: change.id,
        pk: change.pk,
        prev: None,
        after: None,
        omitted: None,
        encryption: None,
        sha256: sha256_hex(&body),
    };
    let place = record.place.unwrap_or_default();
    Some(Incoming { version, operation: change.operation, body, place, left_out: Vec::new() })
}

/// What a dead letter holds of its document: the text, or all of its bytes where they are encrypted.
pub(super) fn stored(
    name: &str,
    record: &DeadLetter,
    definition: KeyDefinition,
) -> Result<(Bytes, Option<Encryption>), Failure> {
    let unusable = || Failure::new(Kind::Integrity, format!("the dead letter {name} cannot be parsed"));
    if record.encryption.is_some() {
        let bytes = STANDARD.decode(&record.raw_base64).map_err(|_| unusable())?;
        return Ok((Bytes::from(bytes), Some(encryption(record).ok_or_else(unusable)?)));
    }
    let incoming = incoming(record, Some(&definition), &Identities::default());
    incoming.map(|incoming| (incoming.body, None)).ok_or_else(unusable)
}

/// The document's text in the bytes of a dead letter that were encrypted.
pub(super) fn document_in(
    name: &str,
    record: &DeadLetter,
    opened: Bytes,
    definition: KeyDefinition,
) -> Result<Bytes, Failure> {
    if record.metadata.is_some() {
        return Ok(opened);
    }
    let parsed = parsed(record, &opened, &definition).map(|incoming| incoming.body);
    parsed.ok_or_else(|| Failure::new(Kind::Integrity, format!("the dead letter {name} cannot be parsed")))
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
            place: None,
            metadata: None,
            raw_base64: STANDARD.encode(raw),
            encryption: None,
            resolved: false,
            resolution: None,
        }
    }

    /// As the writer keeps a version that the target refused.
    fn refused(version: &Version, raw: &str) -> DeadLetter {
        DeadLetter { metadata: Some(version.to_metadata()), ..record(raw) }
    }

    fn tombstone() -> Version {
        let created = crate::history::memory::version("d", "e", 20, Some(7), b"");
        Version { op: Op::Expire, etag: None, nth: Some(2), prev: Some("e".to_owned()), ..created }
    }

    fn read(record: &DeadLetter) -> Option<Letter> {
        letter("name".to_owned(), record, Some(&KeyDefinition::new(["/pk"])), &Identities::default())
    }

    #[test]
    fn a_refused_document_stands_at_its_place_in_the_log() {
        let text = r#"{"id":"d","pk":"p","_rid":"r","_etag":"e","_ts":19}"#;
        let entry = read(&record(text)).unwrap().entry.unwrap();
        assert_eq!((entry.version.ts, entry.version.lsn, entry.version.etag.as_deref()), (20, Some(7), Some("e")));
        let definition = KeyDefinition::new(["/pk"]);
        assert_eq!(stored("name", &record(text), definition).unwrap(), (Bytes::from(text), None));
    }

    #[test]
    fn a_refused_delete_is_the_tombstone_it_was_to_be() {
        assert_eq!(read(&refused(&tombstone(), "")).unwrap().entry.unwrap().version, tombstone());
    }

    #[test]
    fn bytes_that_do_not_belong_to_the_metadata_are_not_read() {
        assert!(read(&refused(&tombstone(), "{}")).unwrap().unreadable().is_some());
    }

    #[test]
    fn an_entry_that_is_understood_by_now_belongs_to_its_document() {
        let text = r#"{"current":{"id":"x","pk":"q","_etag":"e","_ts":19},"metadata":{"lsn":9,"crts":18,"operationType":"create"}}"#;
        let letter = read(&DeadLetter { id: None, partition_key: None, ts: None, ..record(text) }).unwrap();
        assert_eq!((letter.id.as_str(), letter.key.to_string().as_str()), ("x", r#"["q"]"#));
        let entry = letter.entry.unwrap();
        assert_eq!((entry.version.op, entry.version.ts, entry.version.lsn), (Op::Create, 18, Some(9)));
        assert_eq!(entry.length, 40);
    }

    #[test]
    fn a_letter_that_cannot_be_parsed_is_known_to_exist() {
        let letter = read(&record("{")).unwrap();
        assert_eq!(letter.unreadable(), Some(Unreadable { ts: Some(20), name: "name".to_owned() }));
        let other = record(r#"{"id":"other","pk":"p","_rid":"r","_etag":"e","_ts":19}"#);
        assert!(read(&other).unwrap().unreadable().is_some());
    }

    #[test]
    fn stored_letters_and_those_of_no_known_document_are_left_out() {
        let refused = refused(&tombstone(), "");
        assert!(read(&DeadLetter { resolved: true, ..refused.clone() }).is_none());
        let stored = Some(Resolution::Stored);
        assert!(read(&DeadLetter { resolved: true, resolution: stored, ..refused.clone() }).is_none());
        assert!(read(&DeadLetter { id: None, ..record("") }).is_none());
        // Nothing else holds a version that was overtaken.
        let superseded = DeadLetter { resolved: true, resolution: Some(Resolution::Superseded), ..refused };
        assert!(read(&superseded).unwrap().entry.is_some());
    }
}
