//! One source container: its parts, and what all containers of a process have in common.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Url;
use cosmirror_formats::{MirrorPaths, lease};
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::board::Board;
use super::filling::Filling;
use super::range::Ended;
use super::reconciling::Reconciling;
use super::supervisor::Supervisor;
use crate::admin::{Admin, ContainerMetrics, ContainerProgress};
use crate::config::{self, FeedMode};
use crate::documents::Documents;
use crate::failure::{Failure, Kind};
use crate::feed::{ChangeFeed, SourceContainer};
use crate::jobs::Exports;
use crate::leases::LeaseStore;
use crate::leases::balance::Fleet;
use crate::leases::bootstrap::bootstrap;
use crate::leases::coverage::Coverage;
use crate::leases::owner::Owner;
use crate::mirror::describe;
use crate::mirror::guard::Guard;
use crate::mirror::write::Writer;
use crate::pace::RequestUnits;
use crate::pace::bytes::Budget;
use crate::pace::requests::Requests;
use crate::store::{Claim, Claimant, Replicated, VersionStore};
use crate::time::HostClock;

/// What all containers of a process have in common.
pub(super) struct Shared {
    /// The source account's endpoint.
    pub(super) endpoint: Url,
    /// The target.
    pub(super) store: Arc<dyn VersionStore>,
    /// The same, where it has replicas.
    pub(super) replicated: Option<Arc<Replicated>>,
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
    /// This process in leases.
    pub(super) owner: Owner,
    /// What all containers last saw of their leases.
    pub(super) fleet: Fleet,
    /// Whether the run ends when it has caught up.
    pub(super) once: bool,
    /// The budget of bytes in flight.
    pub(super) bytes: Arc<Budget>,
    /// The budget of requests to the target.
    pub(super) requests: Arc<Requests>,
    /// The budget of request units.
    pub(super) request_units: Arc<RequestUnits>,
    /// How rehearsals are made.
    pub(super) rehearsal: config::Rehearsal,
    /// Where jobs put exports.
    pub(super) exports: Option<Exports>,
    /// Health and metrics.
    pub(super) admin: Admin,
    /// For how long a loop may be quiet, where there is such a limit.
    pub(super) quiet_max: Option<Duration>,
    /// Cancelled when the process is to end.
    pub(super) drain: CancellationToken,
    /// Owns every task.
    pub(super) tasks: Arc<dyn Tasks>,
    /// Stamps leases.
    pub(super) clock: HostClock,
}

impl Shared {
    /// What replicas have in common.
    fn claimant(&self) -> Claimant {
        let config::Leases { database, container, processor, .. } = &self.leases;
        let leases = format!("{database}/{container}");
        Claimant { account: self.endpoint.to_string(), leases, processor: processor.clone() }
    }
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
    progress: ContainerProgress,
    board: Arc<Board>,
    filling: Option<Filling>,
    reconciling: Option<Reconciling>,
    /// Held until nothing of this is written any more.
    _claim: Claim,
}

impl Container {
    /// Builds the parts, claims the mirror, describes the container in it and makes sure that its leases exist.
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
        let claim = shared.store.claim(paths.base(), &shared.claimant()).await?;
        let metrics = shared.admin.metrics.container(&settings.database, &settings.container);
        let progress = shared.admin.progress.container(&settings.database, &settings.container);
        let requests = Arc::clone(&shared.requests);
        let writer = Writer::new(
            Arc::clone(&shared.store),
            paths.clone(),
            metrics.clone(),
            requests,
            Guard::write_timeout(shared.leases.expiration),
            settings.versions_per_minute_max,
        );
        let board = Arc::new(Board::new(progress.clone(), settings.feed));
        if settings.feed == FeedMode::AllVersionsAndDeletes {
            metrics.feed_retention_seconds.set(shared.source.feed_retention.as_secs_f64());
        }
        let filling = shared.replicated.clone().map(|replicated| Filling::new(replicated, paths.clone()));
        let (leases, writer) = (Arc::new(leases), Arc::new(writer));
        let container = Self {
            leases,
            writer,
            board,
            shared,
            settings,
            feed,
            paths,
            metrics,
            progress,
            filling,
            reconciling: None,
            _claim: claim,
        };
        container.begin().await?;
        Ok(container)
    }

    /// The same, reconciled as well as followed.
    #[must_use]
    pub(super) fn with_reconciling(self, reconciling: Reconciling) -> Self {
        Self { reconciling: Some(reconciling), ..self }
    }

    /// What reconciling takes, where it is done.
    pub(super) fn reconciling(&self) -> Option<&Reconciling> {
        self.reconciling.as_ref()
    }

    async fn begin(&self) -> Result<(), Failure> {
        if let Some(physical) = self.feed.ranges().await?.first() {
            self.feed.self_test(&physical.range, self.settings.feed).await?;
        }
        self.describe(self.feed.container()).await?;
        bootstrap(&self.coverage()).await
    }

    /// Writes into the mirror what is new about the source container.
    pub(super) async fn describe(&self, source: &SourceContainer) -> Result<(), Failure> {
        let service_time = self.feed.service_time().await?;
        let place = describe::Place {
            store: self.shared.store.as_ref(),
            paths: &self.paths,
            account: self.shared.endpoint.as_str(),
            settings: &self.settings,
        };
        place.describe(source, service_time).await
    }

    /// What all containers share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The same for work that outlives this.
    pub(super) fn share(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
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

    /// How far it is.
    pub(super) fn progress(&self) -> &ContainerProgress {
        &self.progress
    }

    /// How the required targets are brought to where the first one is; none where there are none.
    pub(super) fn filling(&self) -> Option<&Filling> {
        self.filling.as_ref()
    }

    /// What its ranges report.
    pub(super) fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// `database/container`.
    pub(super) fn name(&self) -> String {
        let name = format!("{}/{}", self.settings.database, self.settings.container);
        match self.shared.admin.target() {
            Some(target) => format!("{name} for target {target:?}"),
            None => name,
        }
    }

    /// What its leases are held to.
    pub(super) fn coverage(&self) -> Coverage<'_> {
        Coverage {
            leases: &self.leases,
            feed: self.feed.as_ref(),
            store: self.shared.store.as_ref(),
            paths: &self.paths,
            settings: &self.settings,
        }
    }

    /// Follows the container until the process is to end. An error ends the process.
    pub(super) async fn supervise(self) -> Result<(), Failure> {
        let watching =
            (self.shared().admin.watchdog.clone(), self.shared().quiet_max, format!("{} leases", self.name()));
        let (watchdog, quiet_max, name) = watching;
        watchdog.watch(name, quiet_max, Supervisor::new(self).run()).await
    }
}
