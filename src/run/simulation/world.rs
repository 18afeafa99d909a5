//! The service as it stands: the container's log and ranges, the lease container's documents and the mirror's blobs.
//!
//! Everything here is a fact of the service, changed at one instant by one call. What the oracle concludes from it stands beside it
//! (`began`, `stored`), computed from these facts alone. Randomness and time enter here: one generator per seed, and tokio's paused
//! clock on top of a fixed instant.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use cosmirror_formats::{EpkRange, KeyDefinition, Lease, MirrorPaths, PartitionKey};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::network::Weather;
use super::oracle::Began;
use crate::feed::{PhysicalRange, SourceContainer};
use crate::store::Head;

/// The service's time at the beginning, in seconds since 1970.
const BASE: i64 = 1_800_000_000;
/// The container's resource id.
const RID: &str = "TQxHAKF8vo8=";
/// Requests of one run.
const REQUESTS_MAX: u64 = 300_000;
/// Hashes are below this number; their two top bits are clear.
const EPKS: u32 = 0x4000;

/// What happened to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Create,
    Replace,
    Delete,
}

/// One committed change.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) document: usize,
    pub(super) lsn: u64,
    pub(super) op: Op,
    pub(super) ts: i64,
    pub(super) at: Duration,
    pub(super) etag: String,
    /// The document's text; empty for a delete.
    pub(super) text: String,
}

/// One document of the container.
#[derive(Debug)]
pub(super) struct Doc {
    pub(super) id: String,
    pub(super) pk: String,
    pub(super) epk: String,
    pub(super) exists: bool,
    /// Places in the log, in order.
    pub(super) changes: Vec<usize>,
    /// What of them the mirror has taken, in the order it took them.
    pub(super) stored: Vec<usize>,
}

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

/// Everything that the service knows.
pub(super) struct World {
    pub(super) random: fastrand::Rng,
    begun: Instant,
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
    /// How long a replica's view may lag behind.
    pub(super) lag_max: Duration,
    /// Whether the lease container removes documents whose time to live is over.
    pub(super) lease_ttl: bool,
    /// Whether the store heeds conditions, as it must.
    pub(super) conditional: bool,
    pub(super) expiration: Duration,
    pub(super) began: Vec<Began>,
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
            lag_max: Duration::ZERO,
            lease_ttl: true,
            conditional: true,
            expiration: Duration::from_secs(60),
            began: Vec::new(),
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

    /// Cuts the key space into so many ranges.
    pub(super) fn cut(&mut self, count: usize) {
        let mut cuts: Vec<String> = vec![String::new(), "FF".to_owned()];
        while cuts.len() <= count {
            let cut = format!("{:04X}", self.random.u32(1..EPKS));
            if !cuts.contains(&cut) {
                cuts.push(cut);
            }
        }
        cuts.sort();
        for bounds in cuts.windows(2) {
            let range = self.new_range(EpkRange::new(bounds[0].clone(), bounds[1].clone()), Vec::new());
            self.physical.push(Physical { range, lsn: 0, since: Duration::ZERO, log: Vec::new() });
        }
    }

    fn new_range(&mut self, range: EpkRange, parents: Vec<String>) -> PhysicalRange {
        self.ranges += 1;
        PhysicalRange { id: (self.ranges - 1).to_string(), range, parents }
    }

    /// Thinks of documents, some of which share their partition key.
    pub(super) fn add_documents(&mut self, count: usize, paths: &MirrorPaths) {
        for number in 0..count {
            let (pk, epk) = match self.documents.last() {
                Some(last) if self.random.u32(0..4) == 0 => (last.pk.clone(), last.epk.clone()),
                _ => (format!("p{number}"), format!("{:04X}", self.random.u32(0..EPKS))),
            };
            let id = format!("d{number}");
            let name = paths.document(&PartitionKey::from_json(&json!([pk])).unwrap(), &id);
            self.by_name.insert(name, number);
            let (changes, stored) = (Vec::new(), Vec::new());
            self.documents.push(Doc { id, pk, epk, exists: false, changes, stored });
        }
    }

    /// Commits a transaction: a change of each of these documents, which share a partition key.
    pub(super) fn commit(&mut self, documents: &[usize]) {
        let epk = self.documents[documents[0]].epk.clone();
        let home = self.physical.iter().position(|p| contains(&p.range.range, &epk)).unwrap();
        self.physical[home].lsn += 1;
        let (lsn, ts, at) = (self.physical[home].lsn, self.now(), self.elapsed());
        for &document in documents {
            let op = match self.documents[document].exists {
                false => Op::Create,
                true if self.random.u32(0..100) < 20 => Op::Delete,
                true => Op::Replace,
            };
            let place = self.log.len();
            let etag = self.new_etag('e');
            let doc = &mut self.documents[document];
            let text = match op {
                Op::Delete => String::new(),
                _ => format!(
                    r#"{{"id":"{}","pk":"{}","n":{place},"_rid":"r","_etag":{},"_ts":{ts}}}"#,
                    doc.id,
                    doc.pk,
                    json!(etag)
                ),
            };
            doc.exists = op != Op::Delete;
            doc.changes.push(place);
            let id = doc.id.clone();
            self.log.push(Change { document, lsn, op, ts, at, etag, text });
            self.physical[home].log.push(place);
            self.unstored.insert(place);
            self.note(|| format!("commit {op:?} {id} at {epk}, lsn {lsn}"));
        }
    }

    /// Puts two ranges in the place of one; nothing if it is too narrow.
    pub(super) fn split(&mut self, place: usize) {
        let parent = self.physical[place].clone();
        let PhysicalRange { id, range, parents } = &parent.range;
        let low = u32::from_str_radix(&range.min, 16).unwrap_or(0);
        let high = if range.max == "FF" { EPKS } else { u32::from_str_radix(&range.max, 16).unwrap() };
        if high - low < 2 {
            return;
        }
        let at = format!("{:04X}", self.random.u32(low + 1..high));
        self.remember_ranges();
        let since = self.elapsed();
        let lineage: Vec<String> = parents.iter().chain([id]).cloned().collect();
        let bounds = [EpkRange::new(range.min.clone(), at.clone()), EpkRange::new(at.clone(), range.max.clone())];
        let children = bounds.map(|bounds| {
            let log = parent.log.iter().copied();
            let log = log.filter(|&c| contains(&bounds, &self.documents[self.log[c].document].epk)).collect();
            Physical { range: self.new_range(bounds, lineage.clone()), lsn: parent.lsn + 1, since, log }
        });
        self.note(|| format!("split {id} {range} at {at}"));
        self.physical.splice(place..=place, children);
    }

    /// Puts one range in the place of this one and the next.
    pub(super) fn merge(&mut self, place: usize) {
        if place + 1 >= self.physical.len() {
            return;
        }
        self.remember_ranges();
        let (low, high) = (self.physical[place].clone(), self.physical[place + 1].clone());
        let mut lineage = low.range.parents.clone();
        lineage.extend(high.range.parents.iter().cloned());
        lineage.extend([low.range.id.clone(), high.range.id.clone()]);
        let mut log: Vec<usize> = low.log.into_iter().chain(high.log).collect();
        log.sort_by_key(|&place| (self.log[place].lsn, place));
        let range = self.new_range(EpkRange::new(low.range.range.min, high.range.range.max), lineage);
        self.note(|| format!("merge {} and {} into {}", low.range.id, high.range.id, range.id));
        let merged = Physical { range, lsn: low.lsn.max(high.lsn) + 1, since: self.elapsed(), log };
        self.physical.splice(place..=place + 1, [merged]);
    }

    fn remember_ranges(&mut self) {
        let until = self.elapsed() + Duration::from_secs(3);
        self.physical_before = (self.physical.iter().map(|p| p.range.clone()).collect(), until);
    }
}

/// Whether an effective partition key lies in a range.
pub(super) fn contains(range: &EpkRange, epk: &str) -> bool {
    range.min.as_str() <= epk && epk < range.max.as_str()
}
