use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::KeyDefinition;

use super::*;
use crate::documents::Documents;
use crate::feed::{PhysicalRange, SourceContainer};
use crate::history::memory::MemoryDocuments;
use crate::time::HostClock;

/// When the documents in memory were written.
const WRITTEN: i64 = 4_000;
const EXPIRATION: Duration = Duration::from_secs(60);

/// What a range's feed answers.
#[derive(Clone)]
pub(in crate::observer) enum Answer {
    /// An entry of this LSN, while the range stands at another.
    Entry {
        first: u64,
        newest: u64,
    },
    /// Nothing to read.
    End,
    /// Pages without entries, for ever.
    Empty,
    Fails(Kind),
    Hangs,
}

/// A feed of two ranges that answers as it is told and keeps the positions it was asked for.
pub(in crate::observer) struct Scripted {
    source: SourceContainer,
    answers: HashMap<(String, &'static str), Answer>,
    asked: std::sync::Mutex<Vec<(String, FeedMode, Position)>>,
    /// Whether the service cannot be reached.
    pub(in crate::observer) down: AtomicBool,
}

#[async_trait]
impl ChangeFeed for Scripted {
    fn container(&self) -> &SourceContainer {
        &self.source
    }

    async fn describe(&self) -> Result<SourceContainer, Failure> {
        Ok(self.source.clone())
    }

    async fn ranges(&self) -> Result<Vec<PhysicalRange>, Failure> {
        let range = |id: &str, min: &str, max: &str| PhysicalRange {
            id: id.to_owned(),
            range: EpkRange::new(min, max),
            parents: Vec::new(),
        };
        Ok(vec![range("1", "", "20"), range("2", "20", "FF")])
    }

    async fn read(
        &self,
        range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        count_max: u32,
    ) -> Result<FeedPage, Failure> {
        assert_eq!(count_max, 1);
        self.asked.lock().unwrap().push((range.min.clone(), mode, position.clone()));
        let page = |entry: Option<String>, not_modified, session_lsn| FeedPage {
            entries: entry.map(Bytes::from).into_iter().collect(),
            token: "\"1\"".to_owned(),
            not_modified,
            request_units: 2.0,
            session_lsn,
        };
        match self.answers.get(&(range.min.clone(), mode.as_str())).cloned().unwrap_or(Answer::End) {
            Answer::Entry { first, newest } => {
                let text = format!(r#"{{"id":"a","pk":"p","_rid":"r","_etag":"\"e\"","_ts":7,"_lsn":{first}}}"#);
                Ok(page(Some(text), false, Some(newest)))
            }
            Answer::End => Ok(page(None, true, Some(9))),
            Answer::Empty => Ok(page(None, false, Some(9))),
            Answer::Fails(kind) => Err(Failure::new(kind, "ordered")),
            Answer::Hangs => std::future::pending().await,
        }
    }

    async fn self_test(&self, _range: &EpkRange, _mode: FeedMode) -> Result<(), Failure> {
        Ok(())
    }

    async fn service_time(&self) -> Result<i64, Failure> {
        if self.down.load(Ordering::Relaxed) {
            return Err(Failure::new(Kind::Transient, "down"));
        }
        Ok(WRITTEN + 10)
    }
}

const ALL: FeedMode = FeedMode::AllVersionsAndDeletes;
const LATEST: FeedMode = FeedMode::LatestVersion;

pub(in crate::observer) struct Scene {
    documents: Arc<MemoryDocuments>,
    pub(in crate::observer) leases: Arc<LeaseStore>,
    pub(in crate::observer) feed: Arc<Scripted>,
}

impl Scene {
    pub(in crate::observer) fn new(answers: &[(&str, FeedMode, Answer)]) -> Self {
        let documents = Arc::new(MemoryDocuments::default());
        let shared = Arc::clone(&documents) as Arc<dyn Documents>;
        let leases = LeaseStore::new(shared, "p".to_owned(), &["/id".to_owned()], HostClock::default()).unwrap();
        let key = KeyDefinition::new(["/pk"]);
        let source =
            SourceContainer { rid: "rid".to_owned(), key, key_paths: Vec::new(), settings: serde_json::Value::Null };
        let answers =
            answers.iter().map(|(min, mode, answer)| (((*min).to_owned(), mode.as_str()), answer.clone())).collect();
        let feed = Scripted { source, answers, asked: std::sync::Mutex::default(), down: AtomicBool::default() };
        Self { documents, leases: Arc::new(leases), feed: Arc::new(feed) }
    }

    /// Adds a lease; `more` are further fields as JSON, each with a comma before it.
    pub(in crate::observer) async fn lease(self, id: &str, min: &str, max: &str, more: &str) -> Self {
        let id = format!("p..{id}");
        let text = format!(
            r#"{{"id":"{id}","LeaseToken":"0","FeedRange":{{"Range":{{"min":"{min}","max":"{max}"}}}}{more}}}"#
        );
        let key = cosmirror_formats::PartitionKey::from_json(&serde_json::json!([id])).unwrap();
        self.documents.create(&key, &id, Bytes::from(text)).await.unwrap();
        self
    }

    async fn observe(&self, mode: FeedMode) -> Observation {
        let subject = Subject { leases: &self.leases, feed: self.feed.as_ref(), mode, expiration: EXPIRATION };
        subject.observe().await.unwrap()
    }
}

pub(in crate::observer) fn followed(watermark: i64) -> String {
    format!(
        r#","Owner":"me","ContinuationToken":"\"4\"","properties":{{"cosmirror.since":"1","cosmirror.watermark":"{watermark}"}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn a_range_that_hangs_and_one_that_fails_are_unknown_and_hold_nothing_up() {
    let scene = Scene::new(&[("", ALL, Answer::Hangs), ("20", ALL, Answer::Entry { first: 5, newest: 9 })]);
    let scene = scene.lease("1", "", "20", &followed(3_000)).await.lease("2", "20", "FF", &followed(4_007)).await;
    let begun = tokio::time::Instant::now();
    let seen = scene.observe(ALL).await;
    assert!(begun.elapsed() <= RANGE_TIMEOUT_MAX);
    let told: Vec<_> = seen.ranges.iter().map(|r| (r.lag_seconds, r.pending, r.feed_failure)).collect();
    assert_eq!(told, [(1_010, None, Some(Kind::Transient)), (3, Some(5), None)]);
    assert_eq!((seen.pending(), seen.pending_known(), seen.slowest().unwrap().lease.as_str()), (None, 5, "p..1"));
    let scene = Scene::new(&[("", ALL, Answer::Fails(Kind::TokenExpired))]).lease("1", "", "FF", &followed(0)).await;
    assert_eq!(scene.observe(ALL).await.ranges[0].feed_failure, Some(Kind::TokenExpired));
}

#[tokio::test]
async fn a_backfill_is_pending_besides_what_is_followed() {
    let properties = r#","Owner":"me","ContinuationToken":"\"30\"","Mode":"Full-Fidelity Feed",
        "properties":{"cosmirror.since":"3900","cosmirror.backfill.now":"30","cosmirror.start":"beginning"}"#;
    let answers =
        [("", ALL, Answer::Entry { first: 31, newest: 40 }), ("", LATEST, Answer::Entry { first: 11, newest: 40 })];
    let scene = Scene::new(&answers).lease("1", "", "FF", properties).await;
    let seen = scene.observe(ALL).await;
    assert_eq!((seen.pending(), seen.request_units), (Some(10 + 20), 4.0));
    assert_eq!(seen.ranges[0].lag_seconds, 110, "without a watermark it counts from when following began");
    let mut asked = scene.feed.asked.lock().unwrap().clone();
    asked.sort_by_key(|(_, mode, _)| mode.as_str());
    let token = Position::Token("\"30\"".to_owned());
    assert_eq!(asked, [(String::new(), ALL, token), (String::new(), LATEST, Position::Beginning)]);
}

#[tokio::test]
async fn a_lease_without_a_position_is_read_from_its_start() {
    let started = |start: &str| format!(r#","properties":{{"cosmirror.since":"1","cosmirror.start":"{start}"}}"#);
    let scene = Scene::new(&[("", LATEST, Answer::Entry { first: 1, newest: 3 })]);
    let scene = scene.lease("1", "", "20", &started("beginning")).await.lease("2", "20", "FF", &started("now")).await;
    let seen = scene.observe(LATEST).await;
    assert_eq!(seen.pending(), Some(3));
    let mut positions: Vec<_> = scene.feed.asked.lock().unwrap().iter().map(|(_, _, at)| format!("{at:?}")).collect();
    positions.sort();
    assert_eq!(positions, ["Beginning", "Now"]);
}

#[tokio::test]
async fn pages_without_entries_are_not_taken_for_the_end() {
    let scene = Scene::new(&[("", ALL, Answer::Empty)]).lease("1", "", "FF", &followed(4_000)).await;
    let seen = scene.observe(ALL).await;
    assert_eq!((seen.ranges[0].pending, seen.ranges[0].feed_failure), (None, None));
    assert_eq!(scene.feed.asked.lock().unwrap().len(), EMPTY_PAGES_MAX);
}

#[tokio::test]
async fn a_range_without_a_lease_makes_the_whole_unknown() {
    let scene = Scene::new(&[]).lease("1", "", "20", &followed(4_000)).await;
    let seen = scene.observe(ALL).await;
    assert_eq!(seen.holes, [EpkRange::new("20", "FF")]);
    assert_eq!((seen.pending(), seen.pending_known(), seen.unowned()), (None, 0, 0));
    let nothing = Scene::new(&[]).observe(ALL).await;
    assert_eq!((nothing.holes.len(), nothing.pending(), nothing.ranges.len()), (1, None, 0));
}

#[tokio::test]
async fn a_lease_that_gives_way_to_its_parts_counts_for_nothing() {
    let gone = Answer::Fails(Kind::RangeGone);
    let scene = Scene::new(&[]).lease("0", "", "FF", &followed(0)).await;
    let scene = scene.lease("1", "", "20", &followed(4_000)).await;
    let seen = scene.observe(ALL).await;
    assert_eq!(seen.holes, [EpkRange::new("20", "FF")], "the rest of it has no lease of its own yet");
    let mut scene = scene.lease("2", "20", "FF", ",\"Owner\":null").await;
    Arc::get_mut(&mut scene.feed).unwrap().answers.insert((String::new(), ALL.as_str()), gone);
    let seen = scene.observe(ALL).await;
    assert_eq!(
        seen.ranges.iter().filter(|range| range.giving_way).map(|range| &*range.lease).collect::<Vec<_>>(),
        ["p..0"]
    );
    assert_eq!((seen.holes.len(), seen.unowned(), seen.slowest().unwrap().lag_seconds), (0, 1, 10));
}

#[tokio::test]
async fn owners_that_stopped_renewing_and_what_they_say_of_themselves_are_told() {
    let says = r#","Owner":"gone","properties":{"cosmirror.failures":"4","cosmirror.progressed":"3950"}"#;
    let well = r#","properties":{"cosmirror.progressed":"3950"}"#;
    let scene = Scene::new(&[]).lease("1", "", "20", says).await.lease("2", "20", "30", "").await;
    let scene = scene.lease("3", "30", "FF", well).await;
    let subject = Subject {
        leases: &scene.leases,
        feed: scene.feed.as_ref(),
        mode: LATEST,
        // Written 10 s ago.
        expiration: Duration::from_secs(9),
    };
    let seen = subject.observe().await.unwrap();
    let [first, second, third] = &seen.ranges[..] else { panic!("{seen:?}") };
    assert_eq!((first.owner.as_deref(), first.expired), (Some("gone"), true));
    assert_eq!((first.failures, first.progressed), (Some(4), Some(3_950)));
    assert_eq!((first.failures_with(6), first.failures_with(1)), (Some(6), Some(4)));
    assert_eq!((second.owner.as_deref(), second.expired, second.failures), (None, false, None));
    assert_eq!((second.failures_with(0), second.failures_with(2)), (None, Some(2)));
    assert_eq!((third.failures, third.progressed), (Some(0), Some(3_950)), "all is well");
    assert_eq!(seen.unowned(), 3);
}

#[tokio::test]
async fn what_a_foreign_lease_leaves_to_be_mirrored_is_not_known() {
    let scene = Scene::new(&[("", LATEST, Answer::Entry { first: 5, newest: 9 })]);
    let scene = scene.lease("1", "", "FF", r#","Owner":"function","ContinuationToken":"\"4\"""#).await;
    let seen = scene.observe(LATEST).await;
    assert_eq!((seen.pending(), seen.ranges[0].feed_failure, seen.ranges[0].lag_seconds), (None, None, 10));
}
