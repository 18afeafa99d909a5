//! Optional targets: each is followed for on its own, with leases, a backfill, budgets and a window of its own.
//!
//! What happens to one holds up neither the first target nor another one. Where following for one cannot begin, or ends with a failure that
//! would end the process were it the first, it begins anew after a rest, for as long as the process lives. The process stays ready
//! meanwhile; `/status` and the metrics of further targets tell of it.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{RunOptions, follow, start_patiently};
use crate::admin::Admin;
use crate::config::{Config, FurtherTarget};
use crate::failure::{CommandError, Exit};
use crate::retry::jittered;

/// How long following for a target that failed rests.
const REST: Duration = Duration::from_secs(30);
/// What is not ready while it rests.
const COMPONENT: &str = "target";

/// The following for optional targets.
pub(super) struct Further {
    running: Vec<(String, JoinHandle<Result<(), CommandError>>)>,
    stop: CancellationToken,
}

/// Following for one of them.
struct Pipeline {
    name: String,
    /// As if it were the only target.
    config: Config,
    options: RunOptions,
    admin: Admin,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Further {
    /// Begins to follow for every optional target.
    pub(super) fn start(
        config: &Config,
        options: &RunOptions,
        admin: &Admin,
        stop: &CancellationToken,
        tracker: &TaskTracker,
    ) -> Self {
        let stop = stop.child_token();
        let pipeline = |FurtherTarget { name, .. }: &FurtherTarget| Pipeline {
            name: name.clone(),
            config: config.on_target(name).unwrap_or_default(),
            options: options.clone(),
            admin: admin.beside(name),
            stop: stop.clone(),
            tracker: tracker.clone(),
        };
        let running = config.optional_targets().map(|further| {
            let pipeline = pipeline(further);
            let watched = admin.watchdog.watch(format!("target {:?}", further.name), None, pipeline.run());
            (further.name.clone(), tracker.spawn(watched))
        });
        let running = running.collect();
        Self { running, stop }
    }

    /// Ends it, or with `once` waits until every target has caught up.
    ///
    /// # Errors
    ///
    /// With the exit code for a partial success where, with `once`, a target could not be followed for to the end.
    pub(super) async fn ended(self, once: bool) -> Result<(), CommandError> {
        if !once {
            self.stop.cancel();
        }
        let mut failed = Vec::new();
        for (name, running) in self.running {
            match running.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed.push(format!("{name:?}: {}", error.message)),
                Err(error) => failed.push(format!("{name:?}: it ended by a bug: {error}")),
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        let message = format!("the first target is up to date; optional ones are not: {}", failed.join("; "));
        Err(CommandError::new(Exit::Partial, message, "run again when they are reachable: they go on where they are"))
    }
}

impl Pipeline {
    async fn run(self) -> Result<(), CommandError> {
        loop {
            // What one container's failure ends is ended together, and begins anew together.
            let ended = self.follow(&self.stop.child_token()).await;
            let Err(error) = ended else { return Ok(()) };
            if self.options.once || self.stop.is_cancelled() {
                return Err(error);
            }
            tracing::error!(target = self.name, %error, remedy = error.remedy, "an optional target is not followed for; beginning anew after a rest");
            self.admin.progress.not_ready(COMPONENT, &error.message);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(jittered(REST)) => {}
            }
        }
    }

    async fn follow(&self, stop: &CancellationToken) -> Result<(), CommandError> {
        let Self { config, options, admin, tracker, .. } = self;
        let containers = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            started = start_patiently(config, options, admin, stop, tracker) => started?,
        };
        admin.progress.ready(COMPONENT);
        follow(containers, options, admin, stop, tracker).await
    }
}
