use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use cosmirror_formats::{KeyDefinition, MirrorPaths};
use prometheus_client::metrics::gauge::Gauge;

use super::checkpoint::Backfill;
use super::window::tests::{Slow, entry};
use super::*;
use crate::admin::Metrics;
use crate::failure::{Failure, Kind};
use crate::feed::{ChangeFeed, FeedPage, PhysicalRange, SourceContainer};
use crate::pace::RequestUnits;
use crate::pace::bytes::Budget;
use crate::pace::requests::Requests;
use crate::store::VersionStore;

const MODE: FeedMode = FeedMode::AllVersionsAndDeletes;
const BASE: i64 = 1_000_000;

/// A feed whose pages are given; behind the last one nothing more is there.
struct Script {
    container: SourceContainer,
    pages: Mutex<HashMap<&'static str, VecDeque<Result<FeedPage, Failure>>>>,
    reads: Mutex<u32>,
    begun: Instant,
}

#[async_trait]
impl ChangeFeed for Script {
    fn container(&self) -> &SourceContainer {
        &self.container
    }

    async fn describe(&self) -> Result<SourceContainer, Failure> {
        Ok(self.container().clone())
    }

    async fn ranges(&self) -> Result<Vec<PhysicalRange>, Failure> {
        Ok(Vec::new())
    }

    async fn read(
        &self,
        _range: &EpkRange,
        mode: FeedMode,
        position: &Position,
        _count_max: u32,
    ) -> Result<FeedPage, Failure> {
        *self.reads.lock().unwrap() += 1;
        let next = self.pages.lock().unwrap().get_mut(mode.as_str()).and_then(VecDeque::pop_front);
        let Position::Token(token) = position else { return next.unwrap() };
        next.unwrap_or_else(|| Ok(page(&[], token)))
    }

    async fn self_test(&self, _range: &EpkRange, _mode: FeedMode) -> Result<(), Failure> {
        Ok(())
    }

    async fn service_time(&self) -> Result<i64, Failure> {
        Ok(BASE + i64::try_from(self.begun.elapsed().as_secs()).unwrap())
    }
}

fn page(changes: &[(u8, u64)], token: &str) -> FeedPage {
    FeedPage {
        entries: changes.iter().map(|(document, lsn)| entry(*document, *lsn)).collect(),
        token: token.to_owned(),
        not_modified: changes.is_empty(),
        request_units: 1.0,
        session_lsn: None,
    }
}

/// What was reported: when, whether all was caught up, and the followed position.
#[derive(Default)]
struct Reports(Mutex<Vec<(Duration, bool, Option<String>)>>, Mutex<Option<Instant>>);

impl Observer for Reports {
    fn stepped(&self, _range: &EpkRange, progress: &RangeProgress, _service_time: Option<i64>, caught_up: bool) {
        let begun = *self.1.lock().unwrap().get_or_insert_with(Instant::now);
        self.0.lock().unwrap().push((begun.elapsed(), caught_up, progress.position.clone()));
    }
}

struct Scene {
    store: Arc<Slow>,
    feed: Arc<Script>,
    reports: Arc<Reports>,
    progress: watch::Sender<RangeProgress>,
    drain: CancellationToken,
    gauge: Gauge,
}

impl Scene {
    fn new(followed: Vec<Result<FeedPage, Failure>>) -> Self {
        let container = SourceContainer {
            rid: "rid".to_owned(),
            key: KeyDefinition::new(["/pk"]),
            key_paths: vec!["/pk".to_owned()],
            settings: serde_json::Value::Null,
        };
        let pages = Mutex::new(HashMap::from([(MODE.as_str(), followed.into())]));
        let feed = Script { container, pages, reads: Mutex::default(), begun: Instant::now() };
        let mut progress = RangeProgress::new("line".to_owned(), BASE, Start::Beginning);
        progress.position = Some("\"0\"".to_owned());
        let reports = Reports::default();
        *reports.1.lock().unwrap() = Some(Instant::now());
        Self {
            store: Arc::default(),
            feed: Arc::new(feed),
            reports: Arc::new(reports),
            progress: watch::Sender::new(progress),
            drain: CancellationToken::new(),
            gauge: Gauge::default(),
        }
    }

    fn follower(&self) -> Follower {
        let metrics = Metrics::new([("db", "c")]);
        let (paths, range) = (MirrorPaths::new("", "db", "c"), EpkRange::full());
        let store = Arc::clone(&self.store) as Arc<dyn VersionStore>;
        let requests = Requests::new(64, metrics.flow());
        let of_container = metrics.container("db", "c");
        let limit = Duration::from_secs(12);
        let progress = self.progress.borrow().clone();
        Follower {
            container: "db/c".to_owned(),
            mode: MODE,
            reader: Reader::new(
                Arc::clone(&self.feed) as _,
                Budget::new(64 << 20, self.gauge.clone()),
                Arc::new(RequestUnits::new(0)),
                of_container.clone(),
                metrics.flow().throttles_source,
            ),
            writer: Arc::new(Writer::new(Arc::clone(&store), paths.clone(), of_container, requests, limit, 0)),
            context: plan::Context {
                paths: paths.clone(),
                key: self.feed.container.key.clone(),
                rid: "rid".to_owned(),
                lineage: "line".to_owned(),
                after: None,
                backfill_until: None,
            },
            pace: Pace {
                poll_interval: Duration::from_secs(1),
                poll_interval_idle_max: Duration::from_secs(1),
                staleness_margin: 0,
            },
            progress: self.progress.clone(),
            state_file: RangeStateFile::new(store, &paths, &range, "rid", MODE, &progress),
            guard: Arc::new(Guard::new(Instant::now() + Duration::from_hours(100))),
            drain: self.drain.clone(),
            observer: Arc::clone(&self.reports) as _,
            range,
        }
    }

    /// Follows for so long, then asks it to end.
    async fn follow(&self, time: Duration) -> Halt {
        let follow = self.follower().follow();
        let end = async {
            tokio::time::sleep(time).await;
            self.drain.cancel();
            std::future::pending().await
        };
        tokio::select! {
            halt = follow => halt,
            () = end => unreachable!("it never ends"),
        }
    }

    fn position(&self) -> Option<String> {
        self.progress.borrow().position.clone()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_range_that_is_gone_is_given_up_when_what_was_read_is_stored() {
    let gone = Err(Failure::new(Kind::RangeGone, "split"));
    let scene = Scene::new(vec![Ok(page(&[(1, 1)], "\"1\"")), Ok(page(&[(2, 2)], "\"2\"")), gone]);
    scene.store.delay(1, seconds(5));
    let halt = scene.follow(seconds(100)).await;
    assert!(matches!(&halt, Halt::Failed(failure) if failure.kind == Kind::RangeGone), "{halt:?}");
    assert_eq!(scene.position().as_deref(), Some("\"2\""));
    assert_eq!((scene.store.stored(1), scene.store.stored(2), scene.gauge.get()), (vec![1], vec![2], 0));
}

#[tokio::test(start_paused = true)]
async fn polls_go_on_while_a_document_is_slow_and_the_range_is_caught_up_when_it_is_stored() {
    let scene = Scene::new(vec![Ok(page(&[(1, 1), (2, 1)], "\"1\"")), Ok(page(&[(2, 2)], "\"2\""))]);
    scene.store.delay(1, seconds(5));
    let slow = async {
        tokio::time::sleep(seconds(4)).await;
        assert_eq!(scene.store.stored(2), [1, 2], "another document waits");
        assert!(*scene.feed.reads.lock().unwrap() > 4, "no polls");
        assert!(scene.reports.0.lock().unwrap().is_empty(), "a step before the first page is durable");
        assert_eq!(scene.position().as_deref(), Some("\"0\""));
    };
    let (halt, ()) = tokio::join!(scene.follow(seconds(20)), slow);
    assert!(matches!(halt, Halt::Drained), "{halt:?}");
    let reports = scene.reports.0.lock().unwrap();
    let first = reports.iter().find(|(_, caught_up, _)| *caught_up).unwrap();
    assert!(first.0 >= seconds(5) && first.0 < seconds(7), "{first:?}");
    assert_eq!(first.2.as_deref(), Some("\"2\""));
    // Confirmed by the polls, whose instants are known to the second.
    assert!(scene.progress.borrow().watermark >= Some(BASE + 15));
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_is_to_end_stores_its_first_page_and_leaves_the_next() {
    let scene = Scene::new(vec![Ok(page(&[(1, 1)], "\"1\"")), Ok(page(&[(1, 2)], "\"2\""))]);
    scene.store.delay(1, seconds(5));
    let halt = scene.follow(seconds(1)).await;
    assert!(matches!(halt, Halt::Drained), "{halt:?}");
    assert_eq!(scene.position().as_deref(), Some("\"1\""));
    assert_eq!(scene.store.stored(1), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_backfill_does_not_hold_up_following_and_ends_when_all_of_it_is_stored() {
    let scene = Scene::new(vec![Ok(page(&[(2, 12)], "\"12\""))]);
    scene.progress.send_modify(|progress| progress.backfill = Some(Backfill { token: None, now_lsn: 10 }));
    let backfill = VecDeque::from([
        Ok(page(&[(1, 3), (2, 4)], "\"4\"")),
        // The followed feed brings this one.
        Ok(page(&[(3, 9), (2, 12)], "\"10\"")),
    ]);
    scene.feed.pages.lock().unwrap().insert(FeedMode::LatestVersion.as_str(), backfill);
    scene.store.delay(1, seconds(5));
    let slow = async {
        tokio::time::sleep(seconds(4)).await;
        assert_eq!(scene.position().as_deref(), Some("\"12\""));
        assert!(scene.progress.borrow().backfill.as_ref().is_some_and(|backfill| backfill.token.is_none()));
    };
    let (halt, ()) = tokio::join!(scene.follow(seconds(20)), slow);
    assert!(matches!(halt, Halt::Drained), "{halt:?}");
    let progress = scene.progress.borrow();
    assert_eq!((&progress.backfill, progress.backfilled.is_some()), (&None, true));
    assert!(progress.backfilled >= Some(BASE + 5));
    assert_eq!((scene.store.stored(1), scene.store.stored(3)), (vec![3], vec![9]));
    assert_eq!(scene.store.stored(2).last(), Some(&12));
}
