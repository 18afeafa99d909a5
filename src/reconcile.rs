//! The comparison of a source container with its mirror, and the repair of what differs.
//!
//! | step | file |
//! |---|---|
//! | what the source holds, by its feed, and what the mirror holds, by its listing | `reconcile/scan.rs` |
//! | the source's documents in the order of names, on disk | `seen.rs` |
//! | both beside each other (pure) | `reconcile/compare.rs` |
//! | how far each range is mirrored | `reconcile/horizon.rs` |
//! | a second look, by point reads, at what is not equal | `reconcile/judge.rs` |
//! | one conditional put on the head that was compared | `reconcile/repair.rs` |
//!
//! It works beside a running daemon: what changed later than its range is mirrored is pending, which is neither drift nor ever
//! repaired. Only newest versions are compared; the versions beneath are history, of which the source knows nothing. Memory holds
//! a run of the source's documents and a page of the listing, however many documents there are.

use std::time::Duration;

use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{EpkRange, PartitionKey};
use futures::stream::{self, TryStreamExt as _};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::time::Instant;

use crate::config::FeedMode;
use crate::documents::Documents;
use crate::failure::{Failure, Kind};
use crate::feed::ChangeFeed;
use crate::history::MirrorReader;
use crate::leases::LeaseStore;
use crate::mirror::checkpoint::RangeProgress;
use crate::pace::RequestUnits;
use crate::retry::persist;
use crate::spool::Spool;

mod compare;
mod horizon;
mod judge;
mod mirrors;
mod repair;
mod scan;
#[cfg(test)]
mod tests;

pub use compare::State;
use compare::{Candidate, pairs};
use horizon::Horizon;
use judge::{Judge, Limits, Looked, Verdict};
pub use mirrors::Mirrors;
use repair::Repaired;
use scan::{Scan, Scanner, catalog};

/// Documents looked at at the same time.
const DOCUMENTS_AT_ONCE: usize = 16;
/// Pause between two looks at how far the ranges are.
const SETTLING_PAUSE: Duration = Duration::from_millis(500);
/// The service's time is known as a lower bound in whole seconds, carried forward by whole seconds.
pub(crate) const CLOCK_SECONDS: i64 = 2;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Which documents there are, by their etags.
    Presence,
    /// That, and the stored bytes against their hash.
    Hash,
    /// That, and their content against the source's.
    Full,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Presence, Self::Hash, Self::Full];

    /// Its name on the command line and in requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Presence => "presence",
            Self::Hash => "hash",
            Self::Full => "full",
        }
    }

    /// The mode of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// A part of the documents, the same one on both sides and each time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample(pub f64);

impl Sample {
    /// Every document.
    pub const ALL: Self = Self(1.0);

    fn contains(self, name: &str) -> bool {
        const DIGITS: usize = 8;
        const SPAN: f64 = 4_294_967_296.0;
        let place = u32::from_str_radix(&sha256_hex(name.as_bytes())[..DIGITS], 16).unwrap_or(0);
        self.0 >= 1.0 || f64::from(place) / SPAN < self.0
    }
}

/// What is put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    No,
    /// What the mirror lacks: nothing is taken for deleted.
    Lacking,
    /// Everything that can be.
    All,
}

impl Repair {
    fn covers(self, state: State) -> bool {
        match self {
            Self::No => false,
            Self::Lacking => matches!(state, State::Missing | State::Stale),
            Self::All => true,
        }
    }
}

/// What a comparison does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It reads the source.
    Reading,
    /// It holds the mirror against what it has read; so many documents were shown.
    Comparing(u64),
    /// It waits until the ranges are mirrored far enough, and looks again at so many documents.
    Judging(u64),
}

impl Phase {
    /// What a person is told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Comparing(_) => "comparing",
            Self::Judging(_) => "looking again",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// What to compare.
    pub mode: Mode,
    /// Which documents.
    pub sample: Sample,
    /// What to put right of what differs.
    pub repair: Repair,
    /// Differences that are told one by one.
    pub list_max: usize,
}

/// One range that is followed here, to which a comparison is confined.
pub struct Scope<'a> {
    /// The range.
    pub range: &'a EpkRange,
    /// How far it is at the moment.
    pub progress: &'a (dyn Fn() -> RangeProgress + Send + Sync),
    /// Up to here every delete is known already.
    pub deletes_known_until: Option<i64>,
    /// Whether its lease is still ours; without it nothing is written.
    pub is_ours: &'a (dyn Fn() -> bool + Send + Sync),
}

/// The source container and who follows it.
pub struct Source<'a> {
    /// Its feed.
    pub feed: &'a dyn ChangeFeed,
    /// Its documents.
    pub documents: &'a dyn Documents,
    /// Its leases; none where there is no lease container.
    pub leases: Option<&'a LeaseStore>,
    /// Which feed is followed.
    pub mode: FeedMode,
    /// The staleness margin in seconds.
    pub margin: i64,
    /// How often a follower saves how far it is.
    pub renew_interval: Duration,
    /// The budget of request units.
    pub units: &'a RequestUnits,
    /// Where a partition key stands among the effective ones.
    pub effective_key: &'a (dyn Fn(&PartitionKey) -> Result<String, Failure> + Send + Sync),
}

/// Documents by how their two sides relate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All that were compared.
    pub documents: u64,
    /// The mirror holds what the source holds.
    pub equal: u64,
    /// The mirror lacks them.
    pub missing: u64,
    /// The mirror's newest version is another.
    pub stale: u64,
    /// The source does not hold them.
    pub extra: u64,
    /// Their stored bytes are damaged or of other content.
    pub different: u64,
    /// What differs may be on its way.
    pub pending: u64,
    /// Of the differing ones, those that were put right.
    pub repaired: u64,
}

impl Counts {
    /// Differing documents that were not put right.
    pub fn drift(&self) -> u64 {
        (self.missing + self.stale + self.extra + self.different).saturating_sub(self.repaired)
    }

    fn add(&mut self, state: State) {
        let count = match state {
            State::Equal => &mut self.equal,
            State::Missing => &mut self.missing,
            State::Stale => &mut self.stale,
            State::Extra => &mut self.extra,
            State::Different => &mut self.different,
            State::Absent => return,
        };
        *count += 1;
        self.documents += 1;
    }

    fn add_pending(&mut self) {
        self.pending += 1;
        self.documents += 1;
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.documents += other.documents;
        self.equal += other.equal;
        self.missing += other.missing;
        self.stale += other.stale;
        self.extra += other.extra;
        self.different += other.different;
        self.pending += other.pending;
        self.repaired += other.repaired;
    }
}

/// One document that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// How.
    pub state: State,
    /// Its id, or the blob's name where that tells none.
    pub id: String,
    /// Its partition key as a JSON array; null where it is not known.
    pub partition_key: serde_json::Value,
    /// What stands where.
    pub reason: String,
    /// Whether it was put right.
    pub repaired: bool,
}

/// How a comparison ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The documents.
    #[serde(flatten)]
    pub counts: Counts,
    /// The first ones that differ.
    pub differences: Vec<Difference>,
    /// Up to here it is known by this comparison what was deleted, where it is complete.
    #[serde(skip)]
    pub complete_until: Option<i64>,
}

impl Report {
    fn differs(&mut self, difference: Difference, list_max: usize) {
        self.counts.add(difference.state);
        self.counts.repaired += u64::from(difference.repaired);
        if self.differences.len() < list_max {
            self.differences.push(difference);
        }
    }
}

/// The comparison of one container.
pub struct Reconcile<'a> {
    /// Its mirror.
    pub mirror: &'a MirrorReader,
    /// The source.
    pub source: Source<'a>,
    /// What is asked for.
    pub request: Request,
    /// The range it is confined to, by its follower; none for everybody else.
    pub scope: Option<Scope<'a>>,
    /// The part of the key space it is confined to otherwise.
    pub within: EpkRange,
    /// Where progress is shown.
    pub progress: ProgressBar,
    /// Told what is done next.
    pub on_phase: &'a (dyn Fn(Phase) + Send + Sync),
}

impl Reconcile<'_> {
    /// See [`Reconcile::run`].
    async fn compare(&self) -> Result<Report, Failure> {
        let Request { mode, sample, .. } = self.request;
        let scanner = Scanner {
            source: &self.source,
            scope: self.scope.as_ref(),
            within: &self.within,
            paths: &self.mirror.paths,
            mode,
            sample,
            progress: &self.progress,
        };
        (self.on_phase)(Phase::Reading);
        let scan = scanner.scan().await?;
        (self.on_phase)(Phase::Comparing(scan.documents.len()));
        let mut report = Report::default();
        for _ in 0..scan.unreadable {
            let reason = "the feed shows an entry that is no document".to_owned();
            let unreadable = Difference {
                state: State::Different,
                id: String::new(),
                partition_key: serde_json::Value::Null,
                reason,
                repaired: false,
            };
            report.differs(unreadable, self.request.list_max);
        }
        let Scan { documents, begun, ended, .. } = scan;
        let (mut candidates, any_extra) = self.first_looks(documents, &mut report).await?;
        if candidates.is_empty() && self.scope.is_none() {
            return Ok(report);
        }
        (self.on_phase)(Phase::Judging(candidates.len()));
        let ended = ended + CLOCK_SECONDS;
        let shows_deletes = self.source.mode == FeedMode::AllVersionsAndDeletes;
        // A gap is repaired only if nothing is left open.
        let in_gap = self.scope.as_ref().is_some_and(|scope| !(scope.progress)().gaps.is_empty());
        let horizon = self.settled(ended, (any_extra && shows_deletes) || in_gap).await?;
        let limits = Limits { watermark: None, begun, ended, margin: self.source.margin, shows_deletes };
        self.second_looks(&mut candidates, &horizon, limits, &mut report).await?;
        // What was written within the margin, or is not mirrored yet, was not judged.
        report.complete_until = horizon.watermark().map(|watermark| watermark.min(begun - self.source.margin - 1));
        Ok(report)
    }

    /// Counts what is equal, and sets the rest aside.
    async fn first_looks(
        &self,
        documents: crate::seen::Runs,
        report: &mut Report,
    ) -> Result<(Spool<Candidate>, bool), Failure> {
        let (mut candidates, mut any_extra) = (Spool::<Candidate>::new()?, false);
        let looked = pairs(documents.sorted()?, catalog(self))
            .map_ok(|pair| self.first_look(pair))
            .try_buffer_unordered(DOCUMENTS_AT_ONCE);
        let mut looked = std::pin::pin!(looked);
        while let Some(looked) = looked.try_next().await? {
            self.progress.inc(1);
            // Where nothing has to be asked for, everything is ready at once, and nobody else on this thread would have a turn.
            tokio::task::consume_budget().await;
            match looked {
                Looked::Equal => report.counts.add(State::Equal),
                Looked::Absent => {}
                Looked::Candidate(candidate) => {
                    any_extra |= candidate.state == State::Extra;
                    candidates.push(&candidate)?;
                }
                Looked::Unusable { name, why } => {
                    let unusable = Difference {
                        state: State::Different,
                        id: name,
                        partition_key: serde_json::Value::Null,
                        reason: why,
                        repaired: false,
                    };
                    report.differs(unusable, self.request.list_max);
                }
            }
        }
        Ok((candidates, any_extra))
    }

    /// How far the ranges are. Where a document is gone and the feed shows deletes, its delete must have had the time to be mirrored.
    async fn settled(&self, until: i64, wait: bool) -> Result<Horizon, Failure> {
        if let Some(scope) = &self.scope {
            return Ok(self.settled_here(scope, until, wait).await);
        }
        let begun = Instant::now();
        let margin = Duration::from_secs(u64::try_from(self.source.margin + 2 * CLOCK_SECONDS + 1).unwrap_or(0));
        loop {
            let horizon =
                Horizon::read(&self.source, self.mirror.store.as_ref(), &self.mirror.paths, &self.within).await?;
            // A follower that is busy tells how far it is when it renews its lease.
            let patience = margin + if horizon.followed { self.source.renew_interval * 2 } else { Duration::ZERO };
            if !wait || horizon.reaches(until) || begun.elapsed() > patience {
                return Ok(horizon);
            }
            tokio::time::sleep(SETTLING_PAUSE).await;
        }
    }

    /// The same of a range that is followed here, which will be that far as soon as its target takes what it reads.
    async fn settled_here(&self, scope: &Scope<'_>, until: i64, wait: bool) -> Horizon {
        loop {
            let horizon = Horizon::of_range(scope.range, (scope.progress)(), scope.deletes_known_until);
            if !wait || horizon.reaches(until) || !(scope.is_ours)() {
                return horizon;
            }
            tokio::time::sleep(SETTLING_PAUSE).await;
        }
    }

    /// Judges what was set aside, and puts right what is drift.
    async fn second_looks(
        &self,
        candidates: &mut Spool<Candidate>,
        horizon: &Horizon,
        limits: Limits,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let mirror = self.mirror.read_again().await?;
        let judge = Judge { reconcile: self, mirror: &mirror, horizon, limits };
        let judged = stream::iter(candidates.read()?)
            .map_ok(|candidate| self.second_look(&judge, candidate))
            .try_buffer_unordered(DOCUMENTS_AT_ONCE);
        let mut judged = std::pin::pin!(judged);
        while let Some(judged) = judged.try_next().await? {
            match judged {
                Judged::Equal => report.counts.add(State::Equal),
                Judged::Absent => {}
                Judged::Pending => report.counts.add_pending(),
                Judged::Differs(difference) => report.differs(*difference, self.request.list_max),
            }
        }
        Ok(())
    }

    async fn second_look(&self, judge: &Judge<'_>, candidate: Candidate) -> Result<Judged, Failure> {
        let drift = match judge.judge(&candidate).await? {
            Verdict::Equal => return Ok(Judged::Equal),
            Verdict::Absent => return Ok(Judged::Absent),
            Verdict::Pending(why) => {
                tracing::debug!(id = candidate.id, why, "what differs may be on its way");
                return Ok(Judged::Pending);
            }
            Verdict::Drift(drift) => drift,
        };
        let mut repaired = Repaired::No;
        if self.request.repair.covers(drift.state) {
            if self.scope.as_ref().is_some_and(|scope| !(scope.is_ours)()) {
                return Err(Failure::new(Kind::Held, "the lease of the range may have run out"));
            }
            let key = candidate.partition_key();
            let key = key.ok_or_else(|| Failure::new(Kind::Internal, "a document without a partition key"))?;
            // The point read has just been answered, so this is behind it.
            let now = persist(|| self.source.feed.service_time()).await? + CLOCK_SECONDS;
            let terms = repair::Terms {
                rid: &self.source.feed.container().rid,
                now,
                by_reconciliation: self.source.mode == FeedMode::LatestVersion || self.scope.is_some(),
            };
            repaired = repair::repair(judge.mirror, &drift, &candidate, key, &terms).await?;
        }
        if repaired == Repaired::Overtaken {
            return Ok(Judged::Pending);
        }
        Ok(Judged::Differs(Box::new(Difference {
            state: drift.state,
            id: candidate.id,
            partition_key: candidate.key,
            reason: drift.why,
            repaired: repaired == Repaired::Yes,
        })))
    }
}

/// What became of a candidate.
enum Judged {
    Equal,
    Absent,
    Pending,
    Differs(Box<Difference>),
}
