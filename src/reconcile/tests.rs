//! Whole comparisons of a mirror and a source in memory, and what a repair may and may not touch.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::{EpkRange, KeyDefinition, Op, Version};
use indicatif::ProgressBar;
use serde_json::json;

use super::horizon::Part;
use super::judge::{Drift, Live};
use super::*;
use crate::documents::Document;
use crate::feed::{FeedPage, PhysicalRange, Position, SourceContainer};
use crate::history::memory::{MemoryDocuments, MemoryStore, covered_store, key, paths, reader, service_text, version};
use crate::mirror::order::Known;
use crate::store::{Head, Listing, VersionStore as _};

/// The service's time; the mirror's range is complete up to 2000.
const NOW: i64 = 1900;
const MARGIN: i64 = 5;
const ENTRIES_OF_PAGE: usize = 2;

/// The latest-version feed of what was put into it.
struct MemoryFeed {
    container: SourceContainer,
    entries: Vec<Bytes>,
    now: i64,
}

#[async_trait]
impl ChangeFeed for MemoryFeed {
    fn container(&self) -> &SourceContainer {
        &self.container
    }

    async fn describe(&self) -> Result<SourceContainer, Failure> {
        Ok(self.container.clone())
    }

    async fn ranges(&self) -> Result<Vec<PhysicalRange>, Failure> {
        Ok(vec![PhysicalRange { id: "0".to_owned(), range: EpkRange::full(), parents: Vec::new() }])
    }

    async fn read(&self, _: &EpkRange, _: FeedMode, position: &Position, _: u32) -> Result<FeedPage, Failure> {
        let from = if let Position::Token(token) = position { token.parse().unwrap() } else { 0 };
        let entries: Vec<Bytes> = self.entries.iter().skip(from).take(ENTRIES_OF_PAGE).cloned().collect();
        let token = (from + entries.len()).to_string();
        Ok(FeedPage { not_modified: entries.is_empty(), entries, token, request_units: 1.0, session_lsn: None })
    }

    async fn self_test(&self, _: &EpkRange, _: FeedMode) -> Result<(), Failure> {
        Ok(())
    }

    async fn service_time(&self) -> Result<i64, Failure> {
        Ok(self.now)
    }
}

struct Scene {
    store: Arc<MemoryStore>,
    documents: MemoryDocuments,
    feed: MemoryFeed,
    mode: FeedMode,
}

fn body(id: &str) -> String {
    format!(r#"{{"id":"{id}","pk":"p"}}"#)
}

fn etag(id: &str, ts: i64) -> String {
    format!("\"{id}-{ts}\"")
}

fn request(mode: Mode) -> Request {
    Request { mode, sample: Sample::ALL, repair: Repair::No, list_max: 100 }
}

const REPAIR: Request = Request { mode: Mode::Presence, sample: Sample::ALL, repair: Repair::All, list_max: 100 };

impl Scene {
    fn new(mode: FeedMode) -> Self {
        let container = SourceContainer {
            rid: "rid".to_owned(),
            key: KeyDefinition::new(["/pk"]),
            key_paths: vec!["/pk".to_owned()],
            settings: json!({}),
        };
        let feed = MemoryFeed { container, entries: Vec::new(), now: NOW };
        Self { store: covered_store(&json!({})), documents: MemoryDocuments::default(), feed, mode }
    }

    /// A scan of the source shows the document as it was written at `ts`.
    fn shown(&mut self, id: &str, ts: i64) {
        let text = service_text(&body(id), &etag(id, ts), ts);
        let open = text.strip_suffix('}').unwrap();
        self.feed.entries.push(Bytes::from(format!("{open},\"_lsn\":{ts}}}")));
    }

    /// A point read finds it.
    fn found(&self, id: &str, ts: i64) {
        self.documents.set_exactly(id, &service_text(&body(id), &etag(id, ts), ts), &etag(id, ts));
    }

    fn lives(&mut self, id: &str, ts: i64) {
        self.shown(id, ts);
        self.found(id, ts);
    }

    fn mirrored(&self, id: &str, ts: i64) {
        let version = version(id, &etag(id, ts), ts, Some(ts.unsigned_abs()), b"");
        self.store.add_version(version, &service_text(&body(id), &etag(id, ts), ts));
    }

    async fn run(&self, request: Request) -> Report {
        let mirror = reader(&self.store).await;
        let units = RequestUnits::new(0);
        let source = Source {
            feed: &self.feed,
            documents: &self.documents,
            leases: None,
            mode: self.mode,
            margin: MARGIN,
            renew_interval: Duration::from_secs(1),
            units: &units,
            effective_key: &|_| Ok(String::new()),
        };
        let (within, progress) = (EpkRange::full(), ProgressBar::hidden());
        let reconcile =
            Reconcile { mirror: &mirror, source, request, scope: None, within, progress, on_phase: &|_| {} };
        reconcile.run().await.unwrap()
    }

    fn heads(&self, id: &str) -> Vec<Head> {
        let (name, mut next, mut heads) = (paths().document(&key("p"), id), None, Vec::new());
        loop {
            let listing = self.store.list(&name, Listing::Versions, next);
            let page = futures::executor::block_on(listing).unwrap();
            heads.extend(page.heads);
            next = page.next;
            if next.is_none() {
                return heads;
            }
        }
    }

    fn newest(&self, id: &str) -> Version {
        Version::from_metadata(&self.heads(id).last().unwrap().metadata).unwrap()
    }
}

fn counts(report: &Report) -> [u64; 6] {
    let Counts { equal, missing, stale, extra, different, pending, .. } = report.counts;
    [equal, missing, stale, extra, different, pending]
}

/// One document of each kind, two equal ones, and one that was deleted long ago.
fn mixed(mode: FeedMode) -> Scene {
    let mut scene = Scene::new(mode);
    for id in ["equal", "same", "missing"] {
        scene.lives(id, 1000);
    }
    scene.lives("stale", 1500);
    for id in ["equal", "same", "stale", "extra"] {
        scene.mirrored(id, 1000);
    }
    let gone = version("gone", "", 1100, Some(1100), b"");
    scene.store.add_version(Version { op: Op::Delete, etag: None, ..gone }, "");
    scene
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_difference_is_found_told_and_put_right() {
    for mode in [FeedMode::AllVersionsAndDeletes, FeedMode::LatestVersion] {
        let scene = mixed(mode);
        let found = scene.run(request(Mode::Full)).await;
        assert_eq!(counts(&found), [2, 1, 1, 1, 0, 0], "{:?}", found.differences);
        assert_eq!((found.counts.documents, found.counts.drift()), (5, 3));
        let mut told: Vec<_> = found.differences.iter().map(|d| (d.id.as_str(), d.state, d.repaired)).collect();
        told.sort_unstable_by_key(|(id, ..)| *id);
        let expected =
            [("extra", State::Extra, false), ("missing", State::Missing, false), ("stale", State::Stale, false)];
        assert_eq!(told, expected);
        let repaired = scene.run(Request { mode: Mode::Full, ..REPAIR }).await;
        assert_eq!((repaired.counts.repaired, repaired.counts.drift()), (3, 0));
        let again = scene.run(request(Mode::Full)).await;
        assert_eq!(counts(&again), [4, 0, 0, 0, 0, 0], "{:?}", again.differences);
    }
}

#[tokio::test(start_paused = true)]
async fn a_repair_says_what_it_knows_and_since_when() {
    let scene = mixed(FeedMode::LatestVersion);
    scene.run(REPAIR).await;
    let stale = scene.newest("stale");
    assert_eq!((stale.op, stale.ts, stale.lsn, stale.after), (Op::Reconcile, 1500, Some(1500), Some(999)));
    assert_eq!(
        (stale.prev, stale.lineage, stale.etag),
        (Some(etag("stale", 1000)), "l".to_owned(), Some(etag("stale", 1500)))
    );
    let missing = scene.newest("missing");
    assert_eq!((missing.op, missing.after, missing.prev), (Op::Reconcile, None, None));
    let extra = scene.newest("extra");
    assert_eq!((extra.op, extra.lsn, extra.etag, extra.after), (Op::Delete, None, None, Some(999)));
    assert_eq!((extra.ts, extra.prev), (NOW + CLOCK_SECONDS, Some(etag("extra", 1000))));
    let history = reader(&scene.store).await.history(&key("p"), "extra").await.unwrap();
    // It may have been deleted in the second in which it was written.
    assert_eq!(history.state_at(1000), crate::history::State::Uncertain { after: 999, until: NOW + CLOCK_SECONDS });
    assert!(matches!(history.state_at(NOW + CLOCK_SECONDS), crate::history::State::Deleted(_)));
}

#[tokio::test(start_paused = true)]
async fn what_is_later_than_the_watermark_or_within_the_margin_is_pending_and_never_touched() {
    let mut scene = Scene::new(FeedMode::LatestVersion);
    scene.lives("created", 2001);
    scene.lives("replaced", 2001);
    scene.mirrored("replaced", 1000);
    scene.mirrored("just written, then deleted", NOW - MARGIN);
    scene.mirrored("written after the scan", 2001);
    let before = scene.store.names("");
    let report = scene.run(REPAIR).await;
    assert_eq!(counts(&report), [0, 0, 0, 0, 0, 4], "{:?}", report.differences);
    assert_eq!(report.counts.drift(), 0);
    assert_eq!(scene.store.names(""), before);
    assert_eq!(scene.heads("replaced").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_point_read_that_finds_the_document_keeps_it_from_being_deleted() {
    let scene = Scene::new(FeedMode::LatestVersion);
    // A replica that lagged behind did not show it.
    scene.mirrored("here", 1000);
    scene.found("here", 1000);
    let report = scene.run(REPAIR).await;
    assert_eq!(counts(&report), [1, 0, 0, 0, 0, 0]);
    assert_eq!(scene.heads("here").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn where_the_feed_shows_deletes_one_that_may_not_be_mirrored_yet_is_pending() {
    let mut scene = Scene::new(FeedMode::AllVersionsAndDeletes);
    scene.mirrored("gone", 1000);
    scene.feed.now = 1999;
    let report = scene.run(REPAIR).await;
    assert_eq!(counts(&report), [0, 0, 0, 0, 0, 1], "the scan ended behind the watermark");
    scene.feed.now = 1998;
    assert_eq!(counts(&scene.run(REPAIR).await), [0, 0, 0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn damaged_bytes_are_found_by_their_hash_and_are_left_alone() {
    let mut scene = Scene::new(FeedMode::AllVersionsAndDeletes);
    scene.lives("a", 1000);
    scene.mirrored("a", 1000);
    scene.store.damage(&paths().document(&key("p"), "a"));
    assert_eq!(counts(&scene.run(request(Mode::Presence)).await), [1, 0, 0, 0, 0, 0]);
    for mode in [Mode::Hash, Mode::Full] {
        let report = scene.run(Request { mode, ..REPAIR }).await;
        assert_eq!((counts(&report), report.counts.repaired), ([0, 0, 0, 0, 1, 0], 0));
        assert!(report.differences[0].reason.contains("SHA-256"), "{}", report.differences[0].reason);
    }
}

#[tokio::test(start_paused = true)]
async fn other_content_under_the_same_etag_is_found_by_a_full_comparison_only() {
    let mut scene = Scene::new(FeedMode::AllVersionsAndDeletes);
    scene.lives("a", 1000);
    let other = version("a", &etag("a", 1000), 1000, Some(1000), b"");
    scene.store.add_version(other, &service_text(r#"{"id":"a","pk":"p","n":1}"#, &etag("a", 1000), 1000));
    assert_eq!(counts(&scene.run(request(Mode::Hash)).await), [1, 0, 0, 0, 0, 0]);
    assert_eq!(counts(&scene.run(request(Mode::Full)).await), [0, 0, 0, 0, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_cannot_be_trusted_is_told_by_its_name() {
    let scene = Scene::new(FeedMode::AllVersionsAndDeletes);
    let name = format!("{}p/x.json", paths().documents());
    scene.store.add_record(&name, &json!({}));
    let report = scene.run(REPAIR).await;
    assert_eq!(counts(&report), [0, 0, 0, 0, 1, 0]);
    assert_eq!((report.differences[0].id.as_str(), report.differences[0].repaired), (name.as_str(), false));
}

#[tokio::test(start_paused = true)]
async fn a_sample_is_the_same_documents_on_both_sides() {
    let mut scene = Scene::new(FeedMode::LatestVersion);
    for nth in 0..200 {
        scene.lives(&format!("d{nth}"), 1000);
        scene.mirrored(&format!("d{nth}"), 1000);
    }
    let report = scene.run(Request { sample: Sample(0.3), ..request(Mode::Presence) }).await;
    assert_eq!(report.counts.equal, report.counts.documents);
    assert!((30..90).contains(&report.counts.documents), "{}", report.counts.documents);
}

#[tokio::test(start_paused = true)]
async fn a_list_has_its_bound_and_the_counts_have_none() {
    let mut scene = Scene::new(FeedMode::LatestVersion);
    for nth in 0..9 {
        scene.lives(&format!("d{nth}"), 1000);
    }
    let report = scene.run(Request { list_max: 3, ..request(Mode::Presence) }).await;
    assert_eq!((report.differences.len(), report.counts.missing), (3, 9));
}

#[tokio::test(start_paused = true)]
async fn what_is_only_lacking_is_put_right_without_taking_anything_for_deleted() {
    for mode in [FeedMode::AllVersionsAndDeletes, FeedMode::LatestVersion] {
        let scene = mixed(mode);
        let done = scene.run(Request { repair: Repair::Lacking, ..REPAIR }).await;
        assert_eq!((counts(&done), done.counts.repaired), ([2, 1, 1, 1, 0, 0], 2));
        assert_eq!(counts(&scene.run(request(Mode::Full)).await), [4, 0, 0, 1, 0, 0]);
        assert_eq!(scene.heads("extra").len(), 1);
    }
}

fn stale(scene: &Scene) -> (Drift, Candidate) {
    let head = scene.heads("a").pop().unwrap();
    let held = Version::from_metadata(&head.metadata).unwrap();
    let document = Document { bytes: Bytes::from_static(b"{}"), etag: etag("a", 1500) };
    let part = Part { range: EpkRange::full(), lineage: "l".to_owned(), watermark: Some(2000), reconciled: Some(1200) };
    let drift = Drift {
        state: State::Stale,
        why: String::new(),
        held_ts: Some(held.ts),
        known: Some(Known::new(head.etag, &held)),
        live: Some(Live { document, ts: 1500 }),
        part: Some(part),
    };
    let candidate =
        Candidate { state: State::Stale, name: head.name, id: "a".to_owned(), key: json!(["p"]), seen: None };
    (drift, candidate)
}

const TERMS: repair::Terms<'static> = repair::Terms { rid: "rid", now: NOW, by_reconciliation: true };

#[tokio::test(start_paused = true)]
async fn a_head_that_changed_since_the_comparison_is_left_as_it_is() {
    let scene = Scene::new(FeedMode::LatestVersion);
    scene.mirrored("a", 1000);
    let (drift, candidate) = stale(&scene);
    scene.mirrored("a", 1600);
    let mirror = reader(&scene.store).await;
    let done = repair::repair(&mirror, &drift, &candidate, key("p"), &TERMS).await.unwrap();
    assert_eq!((done, scene.heads("a").len()), (Repaired::Overtaken, 2));
}

#[tokio::test(start_paused = true)]
async fn a_repair_whose_answer_was_lost_is_recognised_and_not_done_twice() {
    let scene = Scene::new(FeedMode::LatestVersion);
    scene.mirrored("a", 1000);
    let (drift, candidate) = stale(&scene);
    let mirror = reader(&scene.store).await;
    for _ in 0..2 {
        let done = repair::repair(&mirror, &drift, &candidate, key("p"), &TERMS).await.unwrap();
        assert_eq!((done, scene.heads("a").len()), (Repaired::Yes, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn the_newer_version_of_the_mirror_is_not_overwritten_by_an_older_one_of_the_source() {
    let scene = Scene::new(FeedMode::LatestVersion);
    scene.mirrored("a", 1700);
    let (drift, candidate) = stale(&scene);
    let mirror = reader(&scene.store).await;
    let done = repair::repair(&mirror, &drift, &candidate, key("p"), &TERMS).await.unwrap();
    assert_eq!((done, scene.heads("a").len()), (Repaired::No, 1));
}

#[test]
fn a_reconciliation_before_narrows_the_interval_in_which_a_document_vanished() {
    let scene = Scene::new(FeedMode::LatestVersion);
    scene.mirrored("a", 1000);
    let (mut drift, candidate) = stale(&scene);
    drift.state = State::Extra;
    drift.live = None;
    let after = |drift: &Drift, terms| repair::version(drift, &candidate, key("p"), &terms).unwrap().after;
    assert_eq!(after(&drift, TERMS), Some(1200));
    assert_eq!(after(&drift, repair::Terms { by_reconciliation: false, ..TERMS }), Some(999));
    drift.held_ts = Some(1300);
    assert_eq!(after(&drift, TERMS), Some(1299));
}
