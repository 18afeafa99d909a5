//! The jobs of one container as every replica sees them: begun, told, and ended on request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use cosmirror_formats::job::{JobRecord, State, Work};
use cosmirror_formats::{MirrorPaths, PartitionKey};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ledger::{Changed, Ledger, Step};
use super::rehearse::Asked;
use super::steps::{self, Me};
use super::{Ending, Refused, TOLD_MAX};
use crate::admin::Metrics;
use crate::config::FeedMode;
use crate::documents::Documents;
use crate::export::place::Place as ExportPlace;
use crate::failure::{CommandError, Failure};
use crate::feed::ChangeFeed;
use crate::leases::LeaseStore;
use crate::leases::owner::Owner;
use crate::pace::RequestUnits;
use crate::rehearse::Rehearse;
use crate::store::VersionStore;

/// For so long what was read is told again: whoever polls must not become a load of the target.
const TOLD_AGAIN: Duration = Duration::from_secs(1);
/// Records read at the same time.
const READS_AT_ONCE: usize = 8;

/// Where a partition key stands among the effective ones.
pub type EffectiveKey = Arc<dyn Fn(&PartitionKey) -> Result<String, Failure> + Send + Sync>;

/// Opens the place of the export of the job with this id.
pub(crate) type Exports = Arc<dyn Fn(&str) -> Result<Box<dyn ExportPlace>, Failure> + Send + Sync>;

/// Makes a rehearsal as it is configured.
pub(crate) type Rehearsals = Arc<dyn Fn(Asked) -> BoxFuture<'static, Result<Rehearse, CommandError>> + Send + Sync>;

/// What the jobs of one container work with.
pub struct Parts {
    /// The database's name.
    pub database: String,
    /// The container's name.
    pub container: String,
    /// The target.
    pub store: Arc<dyn VersionStore>,
    /// Its names there.
    pub paths: MirrorPaths,
    /// Its feed.
    pub feed: Arc<dyn ChangeFeed>,
    /// Its documents.
    pub documents: Arc<dyn Documents>,
    /// Its leases, which tell how far it is mirrored.
    pub leases: Arc<LeaseStore>,
    /// Where a partition key stands.
    pub effective_key: EffectiveKey,
    /// Which feed is followed.
    pub mode: FeedMode,
    /// The staleness margin in seconds.
    pub margin: i64,
    /// How often followers tell how far they are.
    pub renew_interval: Duration,
    /// How often to look for a job that nobody works on.
    pub look_interval: Duration,
    /// How long an owner that gives no sign of life is believed.
    pub expiration: Duration,
    /// Where exports go, each into a folder of its own; none where jobs make none.
    pub(crate) exports: Option<Exports>,
    /// Makes a rehearsal; none where the configuration does not say where to.
    pub(crate) rehearsals: Option<Rehearsals>,
    /// The budget of request units.
    pub units: Arc<RequestUnits>,
    /// This process.
    pub owner: Owner,
    /// Where results are counted.
    pub metrics: Metrics,
}

/// See the module.
pub(super) struct Place {
    pub(super) parts: Parts,
    pub(super) ledger: Ledger,
    pub(super) me: Me,
    /// There may be something to do.
    pub(super) wake: Notify,
    /// The job that runs here, and what ends it.
    pub(super) running: Lock<Option<(String, CancellationToken)>>,
    seen: Mutex<Seen>,
    outdated: AtomicBool,
}

/// What was read.
#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    current: Option<JobRecord>,
    /// The current job, and whether it had ended, when the others were listed.
    listed: Option<(Option<String>, bool)>,
    ended: BTreeMap<String, JobRecord>,
}

impl Place {
    pub(super) fn new(parts: Parts) -> Self {
        let ledger = Ledger { store: Arc::clone(&parts.store), paths: parts.paths.clone() };
        let me = Me { name: parts.owner.name().to_owned(), process: parts.owner.process().to_owned() };
        Self {
            parts,
            ledger,
            me,
            wake: Notify::new(),
            running: Lock::default(),
            seen: Mutex::default(),
            outdated: AtomicBool::new(false),
        }
    }

    /// `database/container`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.parts.database, self.parts.container)
    }

    /// In seconds.
    pub(super) fn expiration(&self) -> i64 {
        i64::try_from(self.parts.expiration.as_secs()).unwrap_or(i64::MAX)
    }

    /// What was read before is not told any more.
    pub(super) fn forget(&self) {
        self.outdated.store(true, Ordering::Release);
    }

    /// A new job, which this or another replica takes up.
    pub(super) async fn start(&self, work: &Work) -> Result<JobRecord, Refused> {
        let Parts { database, container, feed, .. } = &self.parts;
        let now = feed.service_time().await.map_err(Refused::Failed)?;
        let wanted = steps::new(database, container, &feed.container().rid, work.clone(), now, fastrand::u32(..));
        let begun = self.ledger.begin(&wanted).await;
        self.forget();
        match begun.map_err(Refused::Failed)? {
            Some(busy) => Err(Refused::Busy(Box::new(busy))),
            None => {
                self.wake.notify_one();
                Ok(wanted)
            }
        }
    }

    /// Ends a job.
    pub(super) async fn cancel(&self, id: &str) -> Result<Ending, Failure> {
        let now = self.parts.feed.service_time().await?;
        let step = |current: Option<&JobRecord>| match current.filter(|current| current.id == id) {
            None => Step::Keep(None),
            Some(current) => match steps::cancel(current, now, self.expiration()) {
                Some(record) => Step::Write(Box::new(record)),
                None => Step::Keep(Some(Box::new(current.clone()))),
            },
        };
        let changed = self.ledger.change(step).await;
        self.forget();
        let record = match changed? {
            Changed::Written(record, _) => {
                if record.state.has_ended() {
                    self.has_ended(&record).await;
                }
                Some(record)
            }
            Changed::Kept(record) => record,
        };
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, token)) = running.filter(|(running, _)| running == id) {
            token.cancel();
        }
        let record = match record {
            Some(record) => Some(record),
            None => self.ledger.ended(id).await?.map(Box::new),
        };
        Ok(match record {
            None => Ending::Unknown,
            Some(record) if !record.state.has_ended() || record.state == State::Cancelled => Ending::Cancelled(record),
            Some(record) => Ending::Over(record),
        })
    }

    /// Counts and keeps a job that has ended by this process.
    pub(super) async fn has_ended(&self, record: &JobRecord) {
        let (id, kind, state) = (&record.id, record.work.kind(), record.state.as_str());
        self.parts.metrics.jobs().ended(&self.parts.database, &self.parts.container, kind, record.state);
        let counts = record.counts;
        let error = record.error.as_ref().map(|error| error.message.as_str());
        tracing::info!(
            container = self.name(),
            id,
            kind,
            state,
            documents = counts.documents,
            missing = counts.missing,
            stale = counts.stale,
            extra = counts.extra,
            different = counts.different,
            pending = counts.pending,
            repaired = counts.repaired,
            error,
            "the job has ended"
        );
        if let Err(failure) = self.ledger.archive(record).await {
            // Whoever begins the next job does it then.
            tracing::warn!(container = self.name(), id, error = %failure, "the ended job was not put aside");
        }
        self.forget();
    }

    /// The current job and the newest ones before it.
    pub(super) async fn known(&self) -> Result<Vec<JobRecord>, Failure> {
        let mut seen = self.seen.lock().await;
        let outdated = self.outdated.swap(false, Ordering::AcqRel);
        if outdated || seen.at.is_none_or(|at| at.elapsed() >= TOLD_AGAIN) {
            seen.at = None;
            self.look(&mut seen).await?;
            seen.at = Some(Instant::now());
        }
        let mut all = seen.ended.clone();
        all.extend(seen.current.iter().map(|current| (current.id.clone(), current.clone())));
        Ok(all.into_values().collect())
    }

    async fn look(&self, seen: &mut Seen) -> Result<(), Failure> {
        seen.current = self.ledger.current().await?.map(|(record, _)| record);
        let listed = match &seen.current {
            None => (None, true),
            Some(current) => (Some(current.id.clone()), current.state.has_ended()),
        };
        if seen.listed.as_ref() == Some(&listed) {
            return Ok(());
        }
        let ids = self.ledger.ended_ids(TOLD_MAX).await?;
        seen.ended.retain(|id, _| ids.contains(id));
        let missing: Vec<String> = ids.into_iter().filter(|id| !seen.ended.contains_key(id)).collect();
        let read = missing.into_iter().map(|id| async move { self.ledger.ended(&id).await });
        let read: Vec<_> = stream::iter(read).buffered(READS_AT_ONCE).try_collect().await?;
        seen.ended.extend(read.into_iter().flatten().map(|record| (record.id.clone(), record)));
        seen.listed = Some(listed);
        Ok(())
    }

    /// A job that is not among those that are told: too new, or too old.
    pub(super) async fn look_for(&self, id: &str) -> Result<Option<JobRecord>, Failure> {
        match self.ledger.current().await? {
            Some((current, _)) if current.id == id => Ok(Some(current)),
            _ => self.ledger.ended(id).await,
        }
    }
}
