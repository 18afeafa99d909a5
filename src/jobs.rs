//! Work that somebody asks for over HTTP: a verification, a backfill of what the mirror lacks, an export, or a rehearsal.
//!
//! | step | file |
//! |---|---|
//! | what is asked for, and whether it can be | `jobs/request.rs` |
//! | what may become of a record, and what not (pure) | `jobs/steps.rs` |
//! | the records in the mirror | `jobs/ledger.rs` |
//! | one container's jobs: taken up, marked, ended | `jobs/place.rs`, `jobs/runner.rs` |
//! | the key space in parts, one comparison each | `jobs/work.rs`, `jobs/tracker.rs` |
//! | an export, whole | `jobs/export.rs` |
//! | a rehearsal, whole | `jobs/rehearse.rs` |
//! | what a person is told | `jobs/view.rs` |
//!
//! **One at a time**: the one job of a container is one record that is only written conditionally, so over all replicas there is one. Its
//! owner signs it at intervals with the service's time; who has not for `leases.expiration` is taken for dead and somebody else
//! goes on, at the first part of the key space that is not marked as done. Two owners at the same time, after a pause, do
//! nothing twice: every write into the mirror is one conditional put of a repair (`reconcile/repair.rs`), and the first sight of the record ends the
//! one that lost it. A job never follows a feed, moves no checkpoint and holds no lease.
//!
//! Nobody queues: while a job has not ended, another one of its container is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use cosmirror_formats::job::{JobRecord, Work};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

mod export;
mod ledger;
mod place;
mod rehearse;
mod request;
mod runner;
mod steps;
mod tracker;
mod view;
mod work;

pub use place::{EffectiveKey, Parts};
pub(crate) use place::{Exports, Rehearsals};
pub(crate) use rehearse::Asked as AskedRehearsal;
pub use request::{Faulty, JobRequest};
pub use view::view;

use place::Place;

/// Jobs that are told, the newest ones.
pub const TOLD_MAX: usize = 100;

/// Why there is no new job.
#[derive(Debug)]
pub enum Refused {
    /// The container is not one of those that are mirrored here.
    Unknown,
    /// This job of the container has not ended.
    Busy(Box<JobRecord>),
    /// It would have to read content that is encrypted.
    Encrypted,
    /// The configuration does not say where to: this setting is missing.
    Off(&'static str),
    /// The source or the target could not be asked.
    Failed(Failure),
}

/// What became of a wish to end a job.
#[derive(Debug)]
pub enum Ending {
    /// It ends, or has ended, as it was wished for.
    Cancelled(Box<JobRecord>),
    /// It had ended before.
    Over(Box<JobRecord>),
    /// There is no such job.
    Unknown,
}

/// The jobs of all containers of this process. Clones share one state.
#[derive(Clone)]
pub struct Jobs(Arc<BTreeMap<(String, String), Arc<Place>>>);

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Jobs {
    /// Of these containers.
    pub fn new(containers: impl IntoIterator<Item = Parts>) -> Self {
        let place = |parts: Parts| {
            let name = (parts.database.clone(), parts.container.clone());
            (name, Arc::new(Place::new(parts)))
        };
        Self(Arc::new(containers.into_iter().map(place).collect()))
    }

    /// Takes up jobs of every container until `drain` is cancelled: one piece of work for each, to be run beside the others.
    pub fn runners(&self, drain: &CancellationToken) -> Vec<impl Future<Output = ()> + Send + use<>> {
        self.0.values().map(|place| runner::run(Arc::clone(place), drain.clone())).collect()
    }

    /// A new job.
    pub async fn start(&self, request: &JobRequest) -> Result<JobRecord, Refused> {
        let name = (request.database.clone(), request.container.clone());
        let place = self.0.get(&name).ok_or(Refused::Unknown)?;
        if request.reads_content() && place.parts.store.recipients().is_some() {
            return Err(Refused::Encrypted);
        }
        match request.work {
            Work::Export { .. } if place.parts.exports.is_none() => return Err(Refused::Off("admin.export_to")),
            Work::Rehearse { .. } if place.parts.rehearsals.is_none() => return Err(Refused::Off("rehearsal.into")),
            _ => {}
        }
        place.start(&request.work).await
    }

    /// The newest jobs, newest first.
    pub async fn list(&self) -> Result<Vec<JobRecord>, Failure> {
        let mut all = Vec::new();
        for place in self.0.values() {
            all.extend(place.known().await?);
        }
        all.sort_by(|one, other| other.id.cmp(&one.id));
        all.truncate(TOLD_MAX);
        Ok(all)
    }

    /// One job; none where there is no such id.
    pub async fn get(&self, id: &str) -> Result<Option<JobRecord>, Failure> {
        Ok(self.find(id).await?.map(|(_, record)| record))
    }

    /// Ends a job.
    pub async fn cancel(&self, id: &str) -> Result<Ending, Failure> {
        match self.find(id).await? {
            Some((place, _)) => place.cancel(id).await,
            None => Ok(Ending::Unknown),
        }
    }

    async fn find(&self, id: &str) -> Result<Option<(&Place, JobRecord)>, Failure> {
        if !steps::is_id(id) {
            return Ok(None);
        }
        for place in self.0.values() {
            if let Some(record) = place.known().await?.into_iter().find(|record| record.id == id) {
                return Ok(Some((place, record)));
            }
        }
        // Another replica may have begun it just now; or it is an old one.
        for place in self.0.values() {
            if let Some(record) = place.look_for(id).await? {
                return Ok(Some((place, record)));
            }
        }
        Ok(None)
    }
}
