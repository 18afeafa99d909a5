use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cosmirror_formats::records::FORMAT;
use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{EpkRange, Op, Version};
use serde_json::json;

use super::*;
use crate::history::memory::{MemoryStore, covered_store, key, paths, reader, service_text, version};
use crate::history::{MirrorReader, unresolved_dead_letters};
use crate::store::{Head, Page, Put, Stored};

mod encrypted;

fn name(at: u64) -> String {
    format!("{}-FF/{at}.json", paths().dead_letters())
}

fn letter(version: Option<&Version>, body: &str) -> DeadLetter {
    DeadLetter {
        format: FORMAT,
        reason: "refused".to_owned(),
        range: EpkRange::full(),
        lineage: "l".to_owned(),
        lsn: version.and_then(|version| version.lsn).unwrap_or(5),
        page: "\"5\"".to_owned(),
        id: version.map(|version| version.id.clone()),
        partition_key: version.map(|version| version.pk.to_json()),
        ts: version.map(|version| version.ts),
        place: None,
        metadata: version.map(Version::to_metadata),
        raw_base64: STANDARD.encode(body),
        encryption: None,
        resolved: false,
        resolution: None,
    }
}

/// The version of document `d` with this LSN, and its text.
fn change(lsn: u64) -> (Version, String) {
    let etag = format!("\"e{lsn}\"");
    let ts = i64::try_from(lsn).unwrap() * 100;
    let text = service_text(&format!("{{\"id\":\"d\",\"pk\":\"p\",\"n\":{lsn}.10}}"), &etag, ts);
    (version("d", &etag, ts, Some(lsn), text.as_bytes()), text)
}

struct Scene {
    store: Arc<MemoryStore>,
    paths: MirrorPaths,
    identities: Identities,
}

impl Scene {
    fn new() -> Self {
        Self { store: covered_store(&json!({})), paths: paths(), identities: Identities::default() }
    }

    fn mirrored(&self, lsn: u64) {
        let (version, text) = change(lsn);
        self.store.add_version(version, &text);
    }

    fn add(&self, at: u64, record: &DeadLetter) {
        self.store.add_record(&name(at), &serde_json::to_value(record).unwrap());
    }

    fn lettered(&self, lsn: u64) {
        let (version, text) = change(lsn);
        self.add(lsn, &letter(Some(&version), &text));
    }

    fn replay(&self, dry_run: bool) -> Replay<'_> {
        Replay {
            identities: &self.identities,
            store: self.store.as_ref(),
            paths: &self.paths,
            definition: Some(KeyDefinition::new(["/pk"])),
            dry_run,
        }
    }

    async fn record(&self, at: u64) -> DeadLetter {
        records::read(self.store.as_ref(), &name(at)).await.unwrap().unwrap()
    }

    /// Replays the records in this order.
    async fn run(&self, order: &[u64]) -> (Vec<Outcome>, Option<Failure>) {
        self.run_as(order, false).await
    }

    async fn run_as(&self, order: &[u64], dry_run: bool) -> (Vec<Outcome>, Option<Failure>) {
        let mut letters = Vec::new();
        for at in order {
            letters.push((name(*at), self.record(*at).await));
        }
        let (done, failure) = self.replay(dry_run).run(letters).await;
        (done.into_iter().map(|done| done.outcome).collect(), failure)
    }

    async fn reader(&self) -> MirrorReader {
        reader(&self.store).await
    }

    /// The LSNs of the document's history, and how many of them are versions of its blob.
    async fn history(&self) -> (Vec<u64>, usize) {
        let history = self.reader().await.history(&key("p"), "d").await.unwrap();
        let stored = history.entries.iter().filter(|entry| matches!(entry.place, Place::Version { .. })).count();
        (history.entries.iter().filter_map(|entry| entry.version.lsn).collect(), stored)
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_become_versions_in_source_order_with_the_same_bytes_and_metadata() {
    let scene = Scene::new();
    scene.mirrored(1);
    scene.lettered(2);
    scene.lettered(3);
    assert_eq!(unresolved_dead_letters(scene.store.as_ref(), &scene.paths).await.unwrap(), 2);
    assert_eq!(scene.history().await, (vec![1, 2, 3], 1));
    assert_eq!(scene.run(&[3, 2]).await.0, [Outcome::Stored, Outcome::Stored]);
    assert_eq!(scene.history().await, (vec![1, 2, 3], 3));
    let reader = scene.reader().await;
    let history = reader.history(&key("p"), "d").await.unwrap();
    for (entry, lsn) in history.entries.iter().zip([1, 2, 3]).skip(1) {
        let (expected, text) = change(lsn);
        let prev = Some(format!("\"e{}\"", lsn - 1));
        assert_eq!(entry.version, Version { prev, ..expected });
        assert_eq!(reader.body(entry).await.unwrap(), text);
    }
    for at in [2, 3] {
        let record = scene.record(at).await;
        assert_eq!((record.resolved, record.resolution), (true, Some(Resolution::Stored)));
    }
    assert_eq!(unresolved_dead_letters(scene.store.as_ref(), &scene.paths).await.unwrap(), 0);
    assert_eq!(scene.run(&[2, 3]).await.0, [Outcome::AlreadyResolved, Outcome::AlreadyResolved]);
    assert_eq!(scene.history().await, (vec![1, 2, 3], 3));
}

/// A version cannot be put beneath a newer one. Were its letter forgotten once it is resolved, a restore to its time would bring back
/// the version before it.
#[tokio::test(start_paused = true)]
async fn a_version_that_was_overtaken_is_resolved_and_history_goes_on_reading_it_from_its_letter() {
    let scene = Scene::new();
    scene.mirrored(1);
    scene.mirrored(3);
    scene.lettered(2);
    assert_eq!(scene.run(&[2]).await.0, [Outcome::Superseded]);
    assert_eq!(scene.record(2).await.resolution, Some(Resolution::Superseded));
    assert_eq!(scene.history().await, (vec![1, 2, 3], 2));
    assert_eq!(unresolved_dead_letters(scene.store.as_ref(), &scene.paths).await.unwrap(), 0);
    let reader = scene.reader().await;
    let history = reader.history(&key("p"), "d").await.unwrap();
    assert_eq!(reader.body(&history.entries[1]).await.unwrap(), change(2).1);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_died_between_its_two_writes_is_finished_by_the_next_even_after_newer_versions() {
    for newer in [false, true] {
        let scene = Scene::new();
        scene.mirrored(1);
        scene.mirrored(2);
        scene.lettered(2);
        if newer {
            scene.mirrored(3);
        }
        assert_eq!(scene.run(&[2]).await.0, [Outcome::AlreadyStored], "{newer}");
        assert_eq!(scene.record(2).await.resolution, Some(Resolution::Stored));
        assert_eq!(scene.history().await.1, if newer { 3 } else { 2 });
    }
}

/// A store that takes no documents.
struct Refusing(Arc<MemoryStore>);

#[async_trait]
impl VersionStore for Refusing {
    async fn prepare(&self, create: bool) -> Result<(), Failure> {
        self.0.prepare(create).await
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        if put.name.contains("/documents/") {
            return Err(Failure::new(Kind::Refused, "refused once more"));
        }
        self.0.put(put).await
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        self.0.head(name).await
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        self.0.get(name, version).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<Page, Failure> {
        self.0.list(prefix, listing, next).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_target_refuses_again_stays_with_the_new_reason() {
    let scene = Scene::new();
    scene.mirrored(1);
    scene.lettered(2);
    let letters = vec![(name(2), scene.record(2).await)];
    let refusing = Refusing(Arc::clone(&scene.store));
    let (done, failure) = Replay { store: &refusing, ..scene.replay(false) }.run(letters).await;
    assert!(failure.is_none());
    assert_eq!(done[0].outcome, Outcome::Failed("refused once more".to_owned()));
    let record = scene.record(2).await;
    assert_eq!((record.reason.as_str(), record.resolved), ("refused once more", false));
    assert_eq!(scene.run(&[2]).await.0, [Outcome::Stored]);
}

/// Of a put whose answer is lost nobody knows whether it was done.
#[tokio::test(start_paused = true)]
async fn a_busy_store_is_tried_again() {
    let scene = Scene::new();
    scene.lettered(2);
    let letters = vec![(name(2), scene.record(2).await)];
    (0..5).for_each(|_| scene.store.fail_next(Kind::Transient));
    let (done, failure) = scene.replay(false).run(letters).await;
    assert!(failure.is_none());
    assert_eq!(done[0].outcome, Outcome::Stored);
    assert_eq!(scene.history().await, (vec![2], 1));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_credential_ends_the_replay_and_changes_nothing() {
    let scene = Scene::new();
    scene.lettered(2);
    let letters = vec![(name(2), scene.record(2).await)];
    scene.store.fail_next(Kind::Unauthorized);
    let (done, failure) = scene.replay(false).run(letters).await;
    assert!(done.is_empty());
    assert_eq!(failure.unwrap().kind, Kind::Unauthorized);
    assert!(!scene.record(2).await.resolved);
}

#[tokio::test(start_paused = true)]
async fn a_letter_whose_document_nobody_knows_stays_and_says_why() {
    let scene = Scene::new();
    scene.add(5, &letter(None, r#"{"current":{"id":7}}"#));
    let (outcomes, _) = scene.run(&[5]).await;
    assert!(matches!(&outcomes[..], [Outcome::Failed(why)] if why.contains("not known: refused")), "{outcomes:?}");
    assert!(!scene.record(5).await.resolved);
    assert!(scene.store.names(&scene.paths.documents()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_a_later_release_understands_is_stored() {
    let scene = Scene::new();
    let (_, text) = change(2);
    let entry = format!(r#"{{"current":{text},"metadata":{{"lsn":2,"crts":200,"operationType":"create"}}}}"#);
    scene.add(5, &letter(None, &entry));
    assert_eq!(scene.run(&[5]).await.0, [Outcome::Stored]);
    let reader = scene.reader().await;
    let history = reader.history(&key("p"), "d").await.unwrap();
    assert_eq!(history.entries.len(), 1);
    assert_eq!((history.entries[0].version.op, history.entries[0].version.lsn), (Op::Create, Some(2)));
    assert_eq!(reader.body(&history.entries[0]).await.unwrap(), text);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let scene = Scene::new();
    scene.mirrored(2);
    scene.lettered(1);
    scene.lettered(3);
    let outcomes = scene.run_as(&[1, 3], true).await.0;
    assert_eq!(outcomes, [Outcome::Superseded, Outcome::Stored]);
    assert_eq!(scene.history().await, (vec![1, 2, 3], 1));
    assert_eq!(unresolved_dead_letters(scene.store.as_ref(), &scene.paths).await.unwrap(), 2);
    assert_eq!(scene.run(&[1, 3]).await.0, outcomes);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_of_letters_is_stored_in_a_possible_order() {
    let scene = Scene::new();
    let (created, text) = change(7);
    let created = Version { op: Op::Create, ..created };
    let deleted = Version { op: Op::Delete, etag: None, sha256: sha256_hex(b""), ..created.clone() };
    scene.add(1, &letter(Some(&deleted), ""));
    scene.add(2, &letter(Some(&created), &text));
    assert_eq!(scene.run(&[1, 2]).await.0, [Outcome::Stored, Outcome::Stored]);
    let reader = scene.reader().await;
    let history = reader.history(&key("p"), "d").await.unwrap();
    let ops: Vec<Op> = history.entries.iter().map(|entry| entry.version.op).collect();
    assert_eq!(ops, [Op::Create, Op::Delete]);
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_cannot_be_the_documents_is_left_alone() {
    let scene = Scene::new();
    scene.lettered(2);
    scene.store.add_record(&scene.paths.document(&key("p"), "d"), &json!({}));
    let (outcomes, failure) = scene.run(&[2]).await;
    assert!(failure.is_none());
    assert!(matches!(&outcomes[..], [Outcome::Failed(why)] if why.contains("not usable")), "{outcomes:?}");
    assert!(!scene.record(2).await.resolved);
}
