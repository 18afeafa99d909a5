//! One replica: its root task and every task of its ranges, which live and die together.
//!
//! A frozen process is like one that was sent SIGSTOP: none of its tasks is polled, its timers run out and what it had sent is on its
//! way. A crashed one is gone at whatever await each of its tasks had reached.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::container::{Container, Shared, Tasks};
use super::super::range::Ended;
use super::super::reconciling::Reconciling;
use super::documents::SimulatedDocuments;
use super::feed::SimulatedFeed;
use super::oracle::SOUTH;
use super::source::SimulatedSource;
use super::store::SimulatedStore;
use super::world::Service;
use crate::admin::{Access, Admin, Metrics};
use crate::config;
use crate::failure::{Action, Failure};
use crate::leases::balance::Fleet;
use crate::leases::owner::Owner;
use crate::pace::RequestUnits;
use crate::pace::bytes::{Budget, READ_BYTES};
use crate::pace::requests::Requests;
use crate::retry::Backoff;
use crate::store::{Replicated, VersionStore};
use crate::time::HostClock;

#[derive(Default)]
struct State {
    frozen: bool,
    wakers: Vec<Waker>,
    tasks: Vec<AbortHandle>,
    /// After so many more comings and goings of requests the process crashes.
    doomed_after: Option<u32>,
    crashed: bool,
}

/// Whether a process runs, and its name in leases.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) name: Arc<str>,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Life {
    fn new(name: &str) -> Self {
        Self { name: name.into(), state: Arc::default() }
    }

    pub(super) fn freeze(&self) {
        self.state.lock().unwrap().frozen = true;
    }

    pub(super) fn thaw(&self) {
        let wakers = {
            let mut state = self.state.lock().unwrap();
            state.frozen = false;
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn crash(&self) {
        let mut state = self.state.lock().unwrap();
        state.crashed = true;
        state.tasks.iter().for_each(AbortHandle::abort);
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.state.lock().unwrap().crashed
    }

    /// Lets the process crash when so many requests more have left it or were answered.
    pub(super) fn doom(&self, requests: u32) {
        self.state.lock().unwrap().doomed_after = Some(requests);
    }

    /// Takes back a doom.
    pub(super) fn spare(&self) {
        self.state.lock().unwrap().doomed_after = None;
    }

    /// A request leaves the process or its answer arrives.
    pub(super) fn count_request(&self) {
        let crashes = {
            let mut state = self.state.lock().unwrap();
            state.doomed_after = state.doomed_after.map(|left| left.saturating_sub(1));
            state.doomed_after == Some(0) && !state.crashed
        };
        if crashes {
            self.crash();
        }
    }

    /// Polls a task only while the process runs.
    async fn live<T>(self, mut task: BoxFuture<'static, T>) -> T {
        std::future::poll_fn(move |context: &mut Context<'_>| {
            {
                let mut state = self.state.lock().unwrap();
                if state.frozen || state.crashed {
                    state.wakers.push(context.waker().clone());
                    return Poll::Pending;
                }
            }
            task.as_mut().poll(context)
        })
        .await
    }
}

struct ProcessTasks {
    life: Life,
    tracker: TaskTracker,
}

impl ProcessTasks {
    fn run<T: Send + 'static>(&self, task: BoxFuture<'static, T>) -> JoinHandle<T> {
        let handle = self.tracker.spawn(self.life.clone().live(task));
        let mut state = self.life.state.lock().unwrap();
        state.tasks.push(handle.abort_handle());
        if state.crashed {
            handle.abort();
        }
        handle
    }
}

impl Tasks for ProcessTasks {
    fn spawn(&self, task: BoxFuture<'static, Ended>) -> JoinHandle<Ended> {
        self.run(task)
    }
}

/// How a replica is set up.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) poll_interval: Duration,
    pub(super) poll_interval_idle_max: Duration,
    pub(super) leases: config::Leases,
    /// Requests to the store at a time.
    pub(super) requests: u32,
    /// Pages that may be read at a time.
    pub(super) pages: u64,
    /// How often what was deleted is looked for where the feed does not tell; zero is never.
    pub(super) reconcile_interval: Duration,
    /// What the host's clock is off by, in milliseconds.
    pub(super) skew_ms: i64,
}

/// A replica.
pub(super) struct Process {
    pub(super) life: Life,
    pub(super) drain: CancellationToken,
    pub(super) root: JoinHandle<Result<(), Failure>>,
}

impl Process {
    /// Starts a replica.
    pub(super) fn start(service: &Service, name: &str, setup: &Setup) -> Self {
        let life = Life::new(name);
        let drain = CancellationToken::new();
        let tasks = Arc::new(ProcessTasks { life: life.clone(), tracker: TaskTracker::new() });
        let shared = Arc::new(shared(service, &life, setup, drain.clone(), Arc::clone(&tasks)));
        let feed = Arc::new(SimulatedFeed::new(service.clone(), life.clone()));
        let source = Arc::new(SimulatedSource::new(service.clone(), life.clone()));
        let reconciling = Reconciling {
            effective_key: source.effective_keys(),
            documents: source,
            interval: setup.reconcile_interval,
            at_once: false,
        };
        let (drained, mode) = (drain.clone(), service.world().mode);
        let root = async move {
            let container = tokio::select! {
                biased;
                () = drained.cancelled() => return Ok(()),
                prepared = prepare(shared, feed, mode) => prepared?,
            };
            container.with_reconciling(reconciling).supervise().await
        };
        let root = tasks.run(Box::pin(root));
        Self { life, drain, root }
    }

    /// Whether it is neither gone nor leaving.
    pub(super) fn is_live(&self) -> bool {
        !self.life.is_crashed() && !self.drain.is_cancelled() && !self.root.is_finished()
    }
}

async fn prepare(shared: Arc<Shared>, feed: Arc<SimulatedFeed>, mode: config::FeedMode) -> Result<Container, Failure> {
    let mut backoff = Backoff::default();
    let settings = config::Container {
        database: "db".to_owned(),
        container: "c".to_owned(),
        feed: mode,
        start: config::Start::Beginning,
        versions_per_minute_max: 0,
    };
    loop {
        match Container::prepare(Arc::clone(&shared), settings.clone(), Arc::clone(&feed) as _).await {
            Err(failure) if failure.kind.action() == Action::Retry => {
                tokio::time::sleep(backoff.next(failure.retry_after)).await;
            }
            prepared => return prepared,
        }
    }
}

/// Whether a process knows of the second target. Some do not, as while a configuration is changed.
fn is_replicated(service: &Service, life: &Life) -> bool {
    const WITHOUT: [char; 2] = ['3', '6'];
    service.world().replicated && !life.name.ends_with(WITHOUT)
}

fn shared(service: &Service, life: &Life, setup: &Setup, drain: CancellationToken, tasks: Arc<ProcessTasks>) -> Shared {
    let names = [("db", "c")];
    let clock = {
        let (service, skew_ms) = (service.clone(), setup.skew_ms);
        HostClock::new(move || Timestamp::from_millisecond(service.world().now_ms() + skew_ms).unwrap())
    };
    let store: Arc<dyn VersionStore> = Arc::new(SimulatedStore::new(service.clone(), life.clone()));
    let replicated = is_replicated(service, life).then(|| {
        let south = SimulatedStore::new(service.clone(), life.clone());
        Arc::new(Replicated::new(Arc::clone(&store), "").with(SOUTH, Arc::new(south), SOUTH))
    });
    Shared {
        endpoint: "http://mirror.example/".parse().unwrap(),
        store: replicated.clone().map_or(store, |replicated| replicated as _),
        replicated,
        prefix: String::new(),
        source: config::Source {
            poll_interval: setup.poll_interval,
            poll_interval_idle_max: setup.poll_interval_idle_max,
            ..config::Source::default()
        },
        leases: setup.leases.clone(),
        lease_documents: Arc::new(SimulatedDocuments::new(service.clone(), life.clone())),
        lease_key_paths: vec!["/id".to_owned()],
        owner: Owner::new(life.name.to_string()),
        fleet: Fleet::default(),
        once: false,
        bytes: Budget::new(setup.pages * READ_BYTES, Metrics::new(names).flow().bytes_in_flight),
        requests: Requests::new(setup.requests, Metrics::new(names).flow()),
        request_units: Arc::new(RequestUnits::new(0)),
        rehearsal: config::Rehearsal::default(),
        exports: None,
        admin: Admin::new(names, Access::closed()),
        quiet_max: None,
        drain,
        tasks,
        clock,
    }
}
