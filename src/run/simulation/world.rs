//! The service as it stands: the container's log and ranges, the lease container's documents and the mirror's blobs.
//!
//! Everything here is a fact of the service, changed at one instant by one call. What the oracle concludes from it stands beside it
//! (`began`, `stored`), computed from these facts alone. Randomness and time enter here: one generator per seed, and tokio's paused
//! clock on top of a fixed instant.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use cosmirror_formats::{EpkRange, KeyDefinition, Lease, MirrorPaths};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::network::Weather;
use super::oracle::Began;
use crate::config::FeedMode;
use crate::feed::{PhysicalRange, SourceContainer};
use crate::store::Head;

mod log;
mod ranges;

pub(super) use log::{Change, Doc, Kept, Op};

/// The service's time at the beginning, in seconds since 1970.
const BASE: i64 = 1_800_000_000;
/// The container's resource id.
const RID: &str = "TQxHAKF8vo8=";
/// Requests of one run.
const REQUESTS_MAX: u64 = 300_000;
/// Hashes are below this number; their two top bits are clear.
const EPKS: u32 = 0x4000;

/// One physical partition.
#[derive(Debug, Clone)]
pub(super) struct Physical {
    pub(super) range: PhysicalRange,
    pub(super) lsn: u64,
    /// When it came to be; every view of it shows what was before.
    pub(super) since: Duration,
    /// Places in the log of the changes within its bounds, by LSN.
    pub(super) log: Vec<usize>,
}

/// A document of the lease container.
#[derive(Debug, Clone)]
pub(super) struct LeaseDocument {
    pub(super) body: String,
    pub(super) etag: String,
    pub(super) ts: i64,
    pub(super) ttl: Option<i64>,
    /// None for the marker and the lock.
    pub(super) lease: Option<Lease>,
    /// When its owner wrote it last, and was its owner afterwards.
    pub(super) renewed: Option<Duration>,
}

/// A range whose lease, or whose position in the feed, was taken from the mirror.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) range: EpkRange,
    /// Who owned the lease, and when it wrote it last: it may write until its time is over.
    pub(super) owner: Option<(String, Duration)>,
}

/// Everything that the service knows.
pub(super) struct World {
    pub(super) random: fastrand::Rng,
    begun: Instant,
    /// Which of its feeds the container is followed by.
    pub(super) mode: FeedMode,
    pub(super) log: Vec<Change>,
    pub(super) documents: Vec<Doc>,
    pub(super) by_name: HashMap<String, usize>,
    pub(super) physical: Vec<Physical>,
    /// The ranges as they were before the last change of them, and until when an answer may still tell them.
    pub(super) physical_before: (Vec<PhysicalRange>, Duration),
    ranges: u32,
    pub(super) leases: BTreeMap<String, LeaseDocument>,
    pub(super) blobs: BTreeMap<String, Vec<(Head, Bytes)>>,
    etags: u64,
    pub(super) weather: Weather,
    /// Whether its replicas look for what was deleted.
    pub(super) reconciles: bool,
    /// How long a replica's view may lag behind.
    pub(super) lag_max: Duration,
    /// Whether the lease container removes documents whose time to live is over.
    pub(super) lease_ttl: bool,
    /// Whether there is a second target that the checkpoint waits for; not every replica is configured with it.
    pub(super) replicated: bool,
    /// Whether the store heeds conditions, as it must.
    pub(super) conditional: bool,
    pub(super) expiration: Duration,
    pub(super) began: Vec<Began>,
    /// What the script took from the mirror: there a gap is what must be recorded.
    pub(super) lost: Vec<Lost>,
    /// Whether the script removes leases.
    pub(super) robs: bool,
    /// How long the feed of all versions goes back; none is for ever.
    pub(super) retention: Option<Duration>,
    /// Places in the log of what the mirror has not taken.
    pub(super) unstored: BTreeSet<usize>,
    requests: u64,
    trace: Option<Vec<String>>,
    violation: Option<String>,
    stop: CancellationToken,
}

/// The world as its parts share it.
#[derive(Clone)]
pub(super) struct Service {
    world: Arc<Mutex<World>>,
    /// Runs what is under way between a process and the service.
    pub(super) network: TaskTracker,
    /// Cancelled when the oracle has found something.
    pub(super) stop: CancellationToken,
    pub(super) container: Arc<SourceContainer>,
    pub(super) paths: Arc<MirrorPaths>,
}

impl Service {
    pub(super) fn new(seed: u64, traced: bool) -> Self {
        let stop = CancellationToken::new();
        let world = World {
            random: fastrand::Rng::with_seed(seed),
            begun: Instant::now(),
            mode: FeedMode::AllVersionsAndDeletes,
            log: Vec::new(),
            documents: Vec::new(),
            by_name: HashMap::new(),
            physical: Vec::new(),
            physical_before: (Vec::new(), Duration::ZERO),
            ranges: 0,
            leases: BTreeMap::new(),
            blobs: BTreeMap::new(),
            etags: 0,
            weather: Weather::calm(),
            reconciles: false,
            lag_max: Duration::ZERO,
            lease_ttl: true,
            replicated: false,
            conditional: true,
            expiration: Duration::from_secs(60),
            began: Vec::new(),
            lost: Vec::new(),
            robs: false,
            retention: None,
            unstored: BTreeSet::new(),
            requests: 0,
            trace: traced.then(Vec::new),
            violation: None,
            stop: stop.clone(),
        };
        let container = SourceContainer {
            rid: RID.to_owned(),
            key: KeyDefinition::new(["/pk"]),
            key_paths: vec!["/pk".to_owned()],
            settings: json!({}),
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            network: TaskTracker::new(),
            stop,
            container: Arc::new(container),
            paths: Arc::new(MirrorPaths::new("", "db", "c")),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        // One thread does everything: a lock that is taken stays taken.
        self.world.try_lock().unwrap()
    }
}

impl World {
    /// Since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The service's time in seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        BASE + i64::try_from(self.elapsed().as_secs()).unwrap()
    }

    /// The service's time in milliseconds since 1970.
    pub(super) fn now_ms(&self) -> i64 {
        BASE * 1_000 + i64::try_from(self.elapsed().as_millis()).unwrap()
    }

    /// A random time up to `max`.
    pub(super) fn up_to(&mut self, max: Duration) -> Duration {
        Duration::from_millis(self.random.u64(0..=u64::try_from(max.as_millis()).unwrap()))
    }

    /// Whether something happens that happens so many times in a hundred.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(0..100) < percent
    }

    /// Counts a request; a loop without pauses would never end.
    pub(super) fn count_request(&mut self) {
        self.requests += 1;
        if self.requests == REQUESTS_MAX {
            self.violated(format!("{REQUESTS_MAX} requests were made: some loop has no pause"));
        }
    }

    /// Adds to the history.
    pub(super) fn note(&mut self, event: impl FnOnce() -> String) {
        let elapsed = self.elapsed();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3} {}", elapsed.as_secs_f64(), event()));
        }
    }

    /// The first thing that must not be ends the run.
    pub(super) fn violated(&mut self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        if self.violation.is_none() {
            self.violation = Some(format!("at {:.3} s: {what}", self.elapsed().as_secs_f64()));
            self.stop.cancel();
        }
    }

    /// What the oracle found.
    pub(super) fn violation(&self) -> Option<String> {
        self.violation.clone()
    }

    /// Everything that was noted.
    pub(super) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// An etag that was never given before.
    pub(super) fn new_etag(&mut self, kind: char) -> String {
        self.etags += 1;
        format!("\"{kind}{}\"", self.etags)
    }
}

/// Whether an effective partition key lies in a range.
pub(super) fn contains(range: &EpkRange, epk: &str) -> bool {
    range.min.as_str() <= epk && epk < range.max.as_str()
}
