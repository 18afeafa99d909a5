use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cosmirror_formats::{EpkRange, KeyDefinition, MirrorPaths, Version};
use futures::FutureExt as _;
use prometheus_client::metrics::gauge::Gauge;
use proptest::prelude::*;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::admin::Metrics;
use crate::config::Start;
use crate::failure::Failure;
use crate::history::memory::MemoryStore;
use crate::mirror::checkpoint::RangeProgress;
use crate::mirror::guard::Guard;
use crate::mirror::plan::{Context, plan};
use crate::pace::bytes::Budget;
use crate::pace::requests::Requests;
use crate::store::{Head, Listing, Put, Stored, VersionStore};

/// A store that takes its time for puts, and remembers their order.
#[derive(Default)]
pub(in crate::mirror) struct Slow {
    inner: MemoryStore,
    delays: Mutex<HashMap<String, Duration>>,
    puts: Mutex<Vec<(String, u64)>>,
}

#[async_trait]
impl VersionStore for Slow {
    async fn prepare(&self, _create: bool) -> Result<(), Failure> {
        Ok(())
    }

    async fn put(&self, put: Put) -> Result<Stored, Failure> {
        let delay = self.delays.lock().unwrap().get(&put.name).copied().unwrap_or_default();
        tokio::time::sleep(delay).await;
        let (name, metadata) = (put.name.clone(), put.metadata.clone());
        let stored = self.inner.put(put).await?;
        if let Ok(version) = Version::from_metadata(&metadata) {
            self.puts.lock().unwrap().push((name, version.lsn.unwrap()));
        }
        Ok(stored)
    }

    async fn head(&self, name: &str) -> Result<Option<Head>, Failure> {
        self.inner.head(name).await
    }

    async fn get(&self, name: &str, version: Option<&str>) -> Result<Option<(Head, Bytes)>, Failure> {
        self.inner.get(name, version).await
    }

    async fn list(&self, prefix: &str, listing: Listing, next: Option<String>) -> Result<crate::store::Page, Failure> {
        self.inner.list(prefix, listing, next).await
    }
}

impl Slow {
    pub(in crate::mirror) fn delay(&self, document: u8, delay: Duration) {
        self.delays.lock().unwrap().insert(name(document), delay);
    }

    /// The LSNs of a document in the order in which they were stored.
    pub(in crate::mirror) fn stored(&self, document: u8) -> Vec<u64> {
        let puts = self.puts.lock().unwrap();
        puts.iter().filter(|(put, _)| *put == name(document)).map(|(_, lsn)| *lsn).collect()
    }
}

fn name(document: u8) -> String {
    format!("db/c/documents/p/d{document}.json")
}

struct Scene {
    store: Arc<Slow>,
    budget: Arc<Budget>,
    gauge: Gauge,
    window: Window,
}

impl Scene {
    fn new() -> Self {
        let store = Arc::new(Slow::default());
        let metrics = Metrics::new([("db", "c")]);
        let writer = Writer::new(
            Arc::clone(&store) as Arc<dyn VersionStore>,
            MirrorPaths::new("", "db", "c"),
            metrics.container("db", "c"),
            Requests::new(64, metrics.flow()),
            Duration::from_secs(12),
            0,
        );
        let terms = Terms {
            guard: Arc::new(Guard::new(Instant::now() + Duration::from_secs(1_000_000))),
            drain: CancellationToken::new(),
            range: EpkRange::full(),
            lineage: "line".to_owned(),
            progress: watch::channel(RangeProgress::new("line".to_owned(), 0, Start::Now)).1,
        };
        let gauge = Gauge::default();
        let budget = Budget::new(1 << 40, gauge.clone());
        Self { store, budget, gauge, window: Window::new(Arc::new(writer), terms) }
    }

    /// A page of replaced documents: (document, LSN). Its token is the last LSN.
    async fn enter(&mut self, stream: Stream, changes: &[(u8, u64)]) {
        let entries: Vec<Bytes> = changes.iter().map(|(document, lsn)| entry(*document, *lsn)).collect();
        let context = Context {
            paths: MirrorPaths::new("", "db", "c"),
            key: KeyDefinition::new(["/pk"]),
            rid: "rid".to_owned(),
            lineage: "line".to_owned(),
            after: None,
            backfill_until: None,
        };
        let mut share = self.budget.page().await;
        share.becomes(1);
        let token = changes.last().unwrap().1.to_string();
        self.window.enter(stream, token, Mark::Changes { complete_until: None }, plan(&entries, &context), share);
    }

    /// The tokens that are durable now.
    fn durable(&mut self) -> Vec<(Stream, String)> {
        let mut tokens = Vec::new();
        while let Some((stream, _, durable)) = self.window.next_durable() {
            let mut progress = RangeProgress::new(String::new(), 0, crate::config::Start::Now);
            progress.advance(durable);
            tokens.push((stream, progress.position.unwrap()));
        }
        tokens
    }

    /// Writes for so long.
    async fn run(&mut self, time: Duration) {
        self.window.beside(tokio::time::sleep(time)).await.unwrap();
    }
}

pub(in crate::mirror) fn entry(document: u8, lsn: u64) -> Bytes {
    Bytes::from(format!(
        r#"{{"current":{{"id":"d{document}","pk":"p","_etag":"\"e{lsn}\"","_ts":1}},"metadata":{{"lsn":{lsn},"crts":{lsn},"operationType":"replace"}}}}"#
    ))
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn a_slow_document_holds_up_no_other_and_the_position_waits_for_it() {
    let mut scene = Scene::new();
    scene.store.delay(1, Duration::from_secs(10));
    scene.enter(Stream::Followed, &[(1, 1), (2, 2)]).await;
    scene.enter(Stream::Followed, &[(2, 3), (1, 4), (3, 5)]).await;
    scene.enter(Stream::Followed, &[(3, 6), (2, 7)]).await;
    scene.run(Duration::from_secs(5)).await;
    assert_eq!((scene.store.stored(2), scene.store.stored(3)), (vec![2, 3, 7], vec![5, 6]));
    assert!(scene.store.stored(1).is_empty());
    assert_eq!(scene.durable(), [], "its first page is not stored");
    assert_eq!(scene.gauge.get(), 2, "the third page has given its share back");
    scene.run(Duration::from_secs(6)).await;
    assert_eq!(scene.durable(), [(Stream::Followed, "2".to_owned())]);
    scene.run(HOUR).await;
    assert_eq!(scene.store.stored(1), [1, 4]);
    let rest = [(Stream::Followed, "5".to_owned()), (Stream::Followed, "7".to_owned())];
    assert_eq!((scene.durable(), scene.gauge.get()), (rest.to_vec(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_a_bounded_number_of_pages_and_the_other_one_is_not_held_up_by_it() {
    let mut scene = Scene::new();
    scene.store.delay(1, HOUR);
    for lsn in 0..4 {
        assert!(scene.window.has_room(Stream::Followed));
        scene.enter(Stream::Followed, &[(1, lsn + 1)]).await;
    }
    assert!(!scene.window.has_room(Stream::Followed));
    assert!(scene.window.has_room(Stream::Backfill));
    scene.enter(Stream::Backfill, &[(2, 3)]).await;
    scene.run(Duration::from_secs(1)).await;
    assert_eq!(scene.durable(), [(Stream::Backfill, "3".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_behind_a_slow_page_is_bounded_as_well() {
    let mut scene = Scene::new();
    scene.store.delay(1, HOUR);
    scene.enter(Stream::Followed, &[(1, 1)]).await;
    let mut lsn = 1;
    while scene.window.has_room(Stream::Followed) {
        lsn += 1;
        scene.enter(Stream::Followed, &[(2, lsn)]).await;
        scene.run(Duration::from_millis(1)).await;
    }
    assert_eq!(lsn, PAGES_MAX as u64);
}

#[tokio::test(start_paused = true)]
async fn polls_that_find_nothing_behind_a_slow_page_do_not_fill_the_window() {
    let mut scene = Scene::new();
    scene.store.delay(1, Duration::from_secs(10));
    scene.enter(Stream::Followed, &[(1, 1)]).await;
    for poll in 0..1_000 {
        let share = scene.budget.page().await;
        let (token, mark) = (format!("p{poll}"), Mark::CaughtUp { asked_at: Some(poll), complete_until: None });
        scene.window.enter(Stream::Followed, token, mark, PagePlan::default(), share);
    }
    assert!(scene.window.has_room(Stream::Followed));
    assert_eq!(scene.window.pages.len(), 2);
    scene.run(HOUR).await;
    assert_eq!(scene.durable(), [(Stream::Followed, "1".to_owned()), (Stream::Followed, "p999".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_to_end_finishes_the_first_page_and_leaves_the_others() {
    let mut scene = Scene::new();
    scene.store.delay(1, Duration::from_secs(10));
    scene.store.delay(2, Duration::from_secs(10));
    scene.enter(Stream::Followed, &[(1, 1)]).await;
    scene.enter(Stream::Followed, &[(1, 2)]).await;
    scene.enter(Stream::Backfill, &[(1, 1), (2, 1)]).await;
    scene.run(Duration::from_secs(1)).await;
    scene.window.abandon_later_pages();
    while !scene.window.is_stored() {
        scene.window.step().await.unwrap();
    }
    assert_eq!(scene.durable(), [(Stream::Followed, "1".to_owned()), (Stream::Backfill, "1".to_owned())]);
    assert_eq!((scene.store.stored(1), scene.store.stored(2)), (vec![1], vec![1]));
    assert!(scene.window.step().now_or_never().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn documents_are_stored_in_order_and_positions_move_in_order_however_long_each_put_takes(
        pages in prop::collection::vec(prop::collection::vec(0u8..5, 1..8), 1..12),
        delays in prop::collection::vec(0u64..40, 5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut scene = Scene::new();
            for (document, delay) in (0..).zip(&delays) {
                scene.store.delay(document, Duration::from_millis(*delay));
            }
            let (mut lsn, mut expected, mut tokens, mut durable) = (0, HashMap::<u8, Vec<u64>>::new(), Vec::new(), Vec::new());
            for page in pages {
                let changes: Vec<(u8, u64)> = page.into_iter().map(|document| { lsn += 1; (document, lsn) }).collect();
                for (document, lsn) in &changes {
                    expected.entry(*document).or_default().push(*lsn);
                }
                tokens.push((Stream::Followed, lsn.to_string()));
                scene.enter(Stream::Followed, &changes).await;
                scene.run(Duration::from_millis(lsn % 13)).await;
                durable.extend(scene.durable());
            }
            scene.run(HOUR).await;
            durable.extend(scene.durable());
            prop_assert_eq!(durable, tokens);
            for (document, lsns) in expected {
                prop_assert_eq!(scene.store.stored(document), lsns);
            }
            prop_assert!(scene.window.lanes.is_empty());
            Ok(())
        })?;
    }
}
