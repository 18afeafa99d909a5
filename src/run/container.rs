//! One source container: its parts, and the supervision of its ranges.
//!
//! The supervisor takes free leases, runs a follower for each, and decides by the failure table what happens when one ends: a lost
//! lease is taken again when it is free, a range that was given up rests and its reason stands in `/readyz`, and a bug ends the
//! process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Url;
use cosmirror_formats::{EpkRange, MirrorPaths, lease};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::board::Board;
use super::range::{self, Ended, Outcome};
use crate::admin::{Admin, ContainerMetrics};
use crate::config;
use crate::documents::Documents;
use crate::failure::{Action, Failure, Kind};
use crate::feed::ChangeFeed;
use crate::leases::acquire::acquire;
use crate::leases::bootstrap::Bootstrap;
use crate::leases::keeper::Kept;
use crate::leases::{LeaseStore, required_range_of};
use crate::mirror::describe;
use crate::mirror::write::{Halt, Writer};
use crate::pace::RequestUnits;
use crate::retry::Backoff;
use crate::store::VersionStore;
use crate::time::HostClock;

/// How long a range that was given up rests before it is tried again.
const GIVEN_UP_REST: Duration = Duration::from_secs(30);

/// What all containers of a process have in common.
pub(super) struct Shared {
    /// The source account's endpoint.
    pub(super) endpoint: Url,
    /// The target.
    pub(super) store: Arc<dyn VersionStore>,
    /// What every name in the target begins with.
    pub(super) prefix: String,
    /// Settings of the source.
    pub(super) source: config::Source,
    /// Settings of the leases.
    pub(super) leases: config::Leases,
    /// The lease container.
    pub(super) lease_documents: Arc<dyn Documents>,
    /// Its partition key.
    pub(super) lease_key_paths: Vec<String>,
    /// Our name in leases.
    pub(super) instance: String,
    /// Whether the run ends when it has caught up.
    pub(super) once: bool,
    /// The memory budget, in pages.
    pub(super) pages: Arc<Semaphore>,
    /// The budget of requests to the target.
    pub(super) requests: Arc<Semaphore>,
    /// The budget of request units.
    pub(super) request_units: Arc<RequestUnits>,
    /// Health and metrics.
    pub(super) admin: Admin,
    /// Cancelled when the process is to end.
    pub(super) drain: CancellationToken,
    /// Owns every task.
    pub(super) tasks: Arc<dyn Tasks>,
    /// Stamps leases.
    pub(super) clock: HostClock,
}

/// Owns the tasks that follow ranges.
pub(super) trait Tasks: Send + Sync {
    /// Runs a task of its own.
    fn spawn(&self, task: BoxFuture<'static, Ended>) -> JoinHandle<Ended>;
}

impl Tasks for TaskTracker {
    fn spawn(&self, task: BoxFuture<'static, Ended>) -> JoinHandle<Ended> {
        Self::spawn(self, task)
    }
}

/// One source container.
pub(super) struct Container {
    shared: Arc<Shared>,
    settings: config::Container,
    feed: Arc<dyn ChangeFeed>,
    leases: Arc<LeaseStore>,
    writer: Arc<Writer>,
    paths: MirrorPaths,
    metrics: ContainerMetrics,
    board: Arc<Board>,
}

impl Container {
    /// Builds the parts, describes the container in the mirror and makes sure that its leases exist.
    pub(super) async fn prepare(
        shared: Arc<Shared>,
        settings: config::Container,
        feed: Arc<dyn ChangeFeed>,
    ) -> Result<Self, Failure> {
        let host = shared.endpoint.host_str().unwrap_or_default();
        let prefix = lease::id_prefix(&shared.leases.processor, host, &feed.container().rid).ok_or_else(|| {
            let message = format!("the container's resource id {:?} is not usable", feed.container().rid);
            Failure::new(Kind::Internal, message)
        })?;
        let leases = LeaseStore::new(
            Arc::clone(&shared.lease_documents),
            prefix,
            &shared.lease_key_paths,
            shared.clock.clone(),
        )?;
        let paths = MirrorPaths::new(&shared.prefix, &settings.database, &settings.container);
        let metrics = shared.admin.metrics.container(&settings.database, &settings.container);
        let progress = shared.admin.progress.container(&settings.database, &settings.container);
        let requests = Arc::clone(&shared.requests);
        let writer = Writer::new(Arc::clone(&shared.store), paths.clone(), metrics.clone(), requests);
        let board = Arc::new(Board::new(progress, settings.feed));
        let container =
            Self { leases: Arc::new(leases), writer: Arc::new(writer), board, shared, settings, feed, paths, metrics };
        container.begin().await?;
        Ok(container)
    }

    async fn begin(&self) -> Result<(), Failure> {
        if let Some(physical) = self.feed.ranges().await?.first() {
            self.feed.self_test(&physical.range, self.settings.feed).await?;
        }
        let service_time = self.feed.service_time().await?;
        let place = describe::Place {
            store: self.shared.store.as_ref(),
            paths: &self.paths,
            account: self.shared.endpoint.as_str(),
            settings: &self.settings,
        };
        place.describe(self.feed.container(), service_time).await?;
        let bootstrap = Bootstrap {
            leases: &self.leases,
            feed: self.feed.as_ref(),
            mode: self.settings.feed,
            start: &self.settings.start,
        };
        bootstrap.run().await
    }

    /// What all containers share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The container's settings.
    pub(super) fn settings(&self) -> &config::Container {
        &self.settings
    }

    /// Its change feed.
    pub(super) fn feed(&self) -> Arc<dyn ChangeFeed> {
        Arc::clone(&self.feed)
    }

    /// Its leases.
    pub(super) fn leases(&self) -> Arc<LeaseStore> {
        Arc::clone(&self.leases)
    }

    /// Its writer.
    pub(super) fn writer(&self) -> Arc<Writer> {
        Arc::clone(&self.writer)
    }

    /// Its names in the target.
    pub(super) fn paths(&self) -> &MirrorPaths {
        &self.paths
    }

    /// Its metrics.
    pub(super) fn metrics(&self) -> &ContainerMetrics {
        &self.metrics
    }

    /// What its ranges report.
    pub(super) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Follows the container until the process is to end. An error ends the process.
    pub(super) async fn supervise(self) -> Result<(), Failure> {
        let supervisor = Supervisor {
            container: Arc::new(self),
            running: FuturesUnordered::new(),
            owned: HashMap::new(),
            resting: HashMap::new(),
        };
        supervisor.run().await
    }
}

struct Supervisor {
    container: Arc<Container>,
    running: FuturesUnordered<JoinHandle<Ended>>,
    owned: HashMap<String, EpkRange>,
    resting: HashMap<String, Instant>,
}

impl Supervisor {
    async fn run(mut self) -> Result<(), Failure> {
        let drain = self.container.shared.drain.clone();
        let begun = Instant::now();
        let mut backoff = Backoff::default();
        let mut gaps_closed = false;
        let mut result = Ok(());
        while !drain.is_cancelled() && result.is_ok() {
            let pause = match self.take_leases(begun).await {
                Ok(()) => {
                    backoff = Backoff::default();
                    self.container.shared.leases.acquire_interval
                }
                Err(failure) if failure.kind.action() == Action::Retry => {
                    tracing::warn!(error = %failure, "the leases were not read; trying again");
                    backoff.next(failure.retry_after)
                }
                Err(failure) => {
                    result = Err(failure);
                    break;
                }
            };
            let mut window = self.container.board.window();
            tokio::select! {
                biased;
                () = drain.cancelled() => {}
                Some(ended) = self.running.next() => result = self.ended(ended),
                until = async { window.wait_for(|w| w.from.is_some()).await.ok().and_then(|w| w.from) }, if !gaps_closed => {
                    gaps_closed = self.close_gaps(until.unwrap_or_default()).await;
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
        drain.cancel();
        while let Some(ended) = self.running.next().await {
            let ended = self.ended(ended);
            result = result.and(ended);
        }
        result
    }

    async fn close_gaps(&self, until: i64) -> bool {
        match describe::close_gaps(self.container.shared.store.as_ref(), &self.container.paths, until).await {
            Ok(open) => {
                self.container.metrics.gaps.set(open);
                true
            }
            Err(failure) => {
                tracing::warn!(error = %failure, "the recorded gaps were not read; trying again");
                false
            }
        }
    }

    /// Takes every free lease and starts to follow its range.
    async fn take_leases(&mut self, begun: Instant) -> Result<(), Failure> {
        self.resting.retain(|_, until| *until > Instant::now());
        let skip: Vec<String> = self.owned.keys().chain(self.resting.keys()).cloned().collect();
        let shared = Arc::clone(&self.container.shared);
        let service_time = self.container.feed.service_time().await?;
        let expiration = shared.leases.expiration;
        let round = acquire(&self.container.leases, &shared.instance, &skip, service_time, expiration).await?;
        let physical = if round.taken.is_empty() { Vec::new() } else { self.container.feed.ranges().await? };
        for owned in round.taken {
            let id = owned.standing.lease.id.clone();
            let range = required_range_of(&owned.standing.lease, &physical)?;
            tracing::info!(lease = id, %range, "following");
            shared.admin.progress.ready(&self.component(&range));
            self.container.board.started(&range);
            self.container.metrics.leases_owned.inc();
            self.owned.insert(id, range.clone());
            let following = range::follow(Arc::clone(&self.container), owned, range, service_time);
            self.running.push(shared.tasks.spawn(Box::pin(following)));
        }
        let all_ours = round.held_elsewhere == 0 && self.resting.is_empty();
        let all_elsewhere = self.owned.is_empty() && round.held_elsewhere > 0;
        self.container.board.expect(all_ours.then_some(self.owned.len()), all_elsewhere);
        let patience = expiration + shared.leases.acquire_interval;
        if shared.once && round.held_elsewhere > 0 && begun.elapsed() > patience {
            let message = format!("{} leases are held by another process", round.held_elsewhere);
            return Err(Failure::new(Kind::Held, message).remedy("end that process, or leave the work to it"));
        }
        Ok(())
    }

    /// A range's name in health.
    fn component(&self, range: &EpkRange) -> String {
        format!("{}/{} {range}", self.container.settings.database, self.container.settings.container)
    }

    /// What happens when a range is not followed any more; an error ends the process.
    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) -> Result<(), Failure> {
        let ended =
            ended.map_err(|e| Failure::new(Kind::Internal, format!("following a range ended by a bug: {e}")))?;
        self.owned.remove(&ended.lease);
        self.container.metrics.leases_owned.dec();
        let halt = match ended.outcome {
            Outcome::Halted(halt) => halt,
            Outcome::Split => {
                self.container.board.stopped(&ended.range, false);
                return Ok(());
            }
        };
        self.container.board.stopped(&ended.range, matches!(halt, Halt::Failed(_)));
        if ended.kept == Kept::Lost && !matches!(halt, Halt::Drained) {
            self.container.metrics.leases_lost.inc();
            tracing::warn!(lease = ended.lease, "the lease was lost; another process may have taken it");
        }
        let Halt::Failed(failure) = halt else {
            return Ok(());
        };
        if self.container.shared.once || failure.kind.action() == Action::Stop {
            return Err(failure);
        }
        tracing::error!(range = %ended.range, error = %failure, "the range was given up for now");
        self.container.shared.admin.progress.not_ready(&self.component(&ended.range), failure.to_string());
        self.resting.insert(ended.lease, Instant::now() + GIVEN_UP_REST);
        Ok(())
    }
}
