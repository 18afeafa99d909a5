//! What is known of further targets: those that are followed for on their own have progress and counters of their own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Admin, JobsSlot, Metrics, Progress, Samples};
use crate::admin::Access;

/// The optional targets by name. Clones share one state.
#[derive(Debug, Clone, Default)]
pub(super) struct Further(Arc<Mutex<BTreeMap<String, Admin>>>);

impl Further {
    /// Those that are followed for.
    pub(super) fn all(&self) -> Vec<(String, Admin)> {
        let targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.iter().map(|(name, admin)| (name.clone(), admin.clone())).collect()
    }
}

impl Admin {
    /// What following for an optional target reports to: the watchdog, the problems and the process's name are the same, readiness,
    /// progress and counters its own.
    #[must_use]
    pub fn beside(&self, target: &str) -> Self {
        let names = || self.progress.containers().into_iter().map(|(name, _)| name);
        let beside = Self {
            metrics: Metrics::new(names()),
            progress: Progress::new(names()),
            access: Access::closed(),
            samples: Samples::default(),
            jobs: JobsSlot::default(),
            further: Further::default(),
            target: Some(target.to_owned()),
            ..self.clone()
        };
        let mut targets = self.further.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.insert(target.to_owned(), beside.clone());
        beside
    }

    /// What the process follows for: the target's name, where it is not the first.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// All metrics as text, as of this instant.
    pub(super) fn exposition(&self) -> Result<String, std::fmt::Error> {
        for (target, beside) in self.further.all() {
            for (name, progress) in beside.progress.containers() {
                let counters = beside.metrics.container(&name.0, &name.1);
                let seen = super::metrics::FurtherSeen {
                    lag_seconds: progress.lag_seconds(),
                    window: progress.window(),
                    versions_written: counters.versions_written.get(),
                    write_failures: counters.write_failures(),
                    gaps: counters.gaps.get(),
                };
                self.metrics.further_target(&target, &name, &seen);
            }
            self.metrics.further_target_ready(&target, beside.progress.reasons().is_empty());
        }
        self.metrics.render(&self.progress)
    }
}
