//! The records of one container's jobs in the mirror.
//!
//! The current one is only put on the etag that was read, and an answer that was lost is settled by reading again. One that has ended is
//! put under its id before another takes its place, and by whoever ends it; that copy never changes, so it may be remembered.

use std::collections::VecDeque;
use std::sync::Arc;

use cosmirror_formats::MirrorPaths;
use cosmirror_formats::job::JobRecord;

use super::steps::{self, Begin};
use crate::failure::{Action, Failure, Kind};
use crate::records;
use crate::retry::{Backoff, persist};
use crate::store::{Condition, Listing, VersionStore};

/// Attempts at one change of the current record, each after a fresh look.
const ATTEMPTS_MAX: u32 = 8;

/// See the module.
pub(super) struct Ledger {
    pub(super) store: Arc<dyn VersionStore>,
    pub(super) paths: MirrorPaths,
}

/// What a look at the current record leads to.
pub(super) enum Step<T> {
    /// This is to be written; then the change is done.
    Write(Box<JobRecord>),
    /// Nothing is to be written.
    Keep(T),
}

/// How a change ended.
pub(super) enum Changed<T> {
    /// The record was written, and has this etag.
    Written(Box<JobRecord>, String),
    /// Nothing was.
    Kept(T),
}

impl Ledger {
    /// The job that runs, or the last one, with its etag. One attempt.
    pub(super) async fn current(&self) -> Result<Option<(JobRecord, String)>, Failure> {
        records::get(self.store.as_ref(), &self.paths.current_job()).await
    }

    /// Puts the current record in the place of the one with this etag. One attempt.
    pub(super) async fn put(&self, record: &JobRecord, etag: Option<String>) -> Result<String, Failure> {
        let condition = etag.map_or(Condition::Absent, Condition::Matches);
        Ok(self.store.put(records::put(self.paths.current_job(), record, condition)).await?.etag)
    }

    /// Looks, writes what `step` makes of it, and looks again where somebody was faster or the answer was lost. A step must know
    /// its own work again.
    pub(super) async fn change<T>(&self, step: impl Fn(Option<&JobRecord>) -> Step<T>) -> Result<Changed<T>, Failure> {
        let mut backoff = Backoff::default();
        for attempt in 1.. {
            let failure = match self.attempt(&step).await {
                Err(failure) if attempt < ATTEMPTS_MAX => failure,
                done => return done,
            };
            match failure.kind.action() {
                Action::Look | Action::Retry => tokio::time::sleep(backoff.next(failure.retry_after)).await,
                _ => return Err(failure),
            }
        }
        Err(Failure::new(Kind::Internal, "a loop without an end has ended"))
    }

    async fn attempt<T>(&self, step: &impl Fn(Option<&JobRecord>) -> Step<T>) -> Result<Changed<T>, Failure> {
        let (current, etag) = self.current().await?.unzip();
        match step(current.as_ref()) {
            Step::Keep(value) => Ok(Changed::Kept(value)),
            Step::Write(record) => {
                // Nothing about a job that has ended is lost when the next one takes its place.
                if let Some(before) = current.filter(|before| before.id != record.id) {
                    self.archive(&before).await?;
                }
                let etag = self.put(&record, etag).await?;
                Ok(Changed::Written(record, etag))
            }
        }
    }

    /// Puts a new job in the place of one that has ended; or gives the one that has not.
    pub(super) async fn begin(&self, wanted: &JobRecord) -> Result<Option<JobRecord>, Failure> {
        let step = |current: Option<&JobRecord>| match current {
            Some(current) if steps::begin(current, wanted) == Begin::Busy => Step::Keep(Some(current.clone())),
            Some(current) if steps::begin(current, wanted) == Begin::Done => Step::Keep(None),
            _ => Step::Write(Box::new(wanted.clone())),
        };
        match self.change(step).await? {
            Changed::Written(..) => Ok(None),
            Changed::Kept(busy) => Ok(busy),
        }
    }

    /// Keeps a job that has ended.
    pub(super) async fn archive(&self, record: &JobRecord) -> Result<(), Failure> {
        let put = records::put(self.paths.job(&record.id), record, Condition::Absent);
        match persist(|| self.store.put(put.clone())).await {
            Err(failure) if failure.kind != Kind::Conflict => Err(failure),
            _ => Ok(()),
        }
    }

    /// A job that has ended; none where there is no such one. One that cannot be read is told as none: a newer release wrote it.
    pub(super) async fn ended(&self, id: &str) -> Result<Option<JobRecord>, Failure> {
        match records::get(self.store.as_ref(), &self.paths.job(id)).await {
            Ok(found) => Ok(found.map(|(record, _)| record)),
            Err(failure) if failure.kind == Kind::Integrity => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The ids of the newest jobs that have ended.
    pub(super) async fn ended_ids(&self, count_max: usize) -> Result<VecDeque<String>, Failure> {
        let (prefix, mut next, mut ids) = (self.paths.jobs(), None, VecDeque::new());
        loop {
            let page = self.store.list(&prefix, Listing::Current, next).await?;
            for head in &page.heads {
                let id = head.name.strip_prefix(&prefix).and_then(|name| name.strip_suffix(".json"));
                if let Some(id) = id.filter(|id| steps::is_id(id)) {
                    ids.push_back(id.to_owned());
                }
                if ids.len() > count_max {
                    ids.pop_front();
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(ids);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::job::{State, Work};

    use super::super::steps::{Outcome, ended, new};
    use super::*;
    use crate::history::memory::{MemoryStore, paths};

    fn ledger() -> (Arc<MemoryStore>, Ledger) {
        let store = Arc::new(MemoryStore::default());
        (Arc::clone(&store), Ledger { store, paths: paths() })
    }

    fn job(at: i64) -> JobRecord {
        new("db", "c", "rid", Work::Backfill, at, 7)
    }

    #[tokio::test(start_paused = true)]
    async fn one_job_begins_at_a_time_and_what_has_ended_is_kept() {
        let (_, ledger) = ledger();
        let (one, other) = (job(1_700_000_000), job(1_700_000_001));
        assert!(ledger.begin(&one).await.unwrap().is_none());
        assert_eq!(ledger.begin(&other).await.unwrap().unwrap().id, one.id);
        let done = ended(&one, &Outcome::Succeeded, 1_700_000_009);
        let step = |_: Option<&JobRecord>| Step::<()>::Write(Box::new(done.clone()));
        ledger.change(step).await.unwrap();
        assert!(ledger.begin(&other).await.unwrap().is_none());
        assert_eq!(ledger.ended(&one.id).await.unwrap(), Some(done));
        assert_eq!(ledger.current().await.unwrap().unwrap().0.id, other.id);
        assert_eq!(ledger.ended_ids(9).await.unwrap(), [one.id]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_store_is_asked_again_and_a_forbidden_one_is_not() {
        let (store, ledger) = ledger();
        for kind in [Kind::Transient, Kind::Transient, Kind::Conflict] {
            store.fail_next(kind);
        }
        assert!(ledger.begin(&job(1_700_000_000)).await.unwrap().is_none());
        store.fail_next(Kind::Unauthorized);
        assert_eq!(ledger.begin(&job(1_700_000_001)).await.unwrap_err().kind, Kind::Unauthorized);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_jobs_the_newest_ids_are_told_and_what_is_no_job_is_left_out() {
        let (store, ledger) = ledger();
        for at in 0..9 {
            ledger.archive(&ended(&job(1_700_000_000 + at), &Outcome::Succeeded, 0)).await.unwrap();
        }
        store.add_record(&format!("{}zzz.json", paths().jobs()), &serde_json::json!({}));
        store.add_record(&paths().job("29991231T000000Z-00000000"), &serde_json::json!({ "format": 9 }));
        let ids = ledger.ended_ids(3).await.unwrap();
        assert_eq!((ids.len(), ids[1].as_str()), (3, job(1_700_000_008).id.as_str()));
        assert_eq!(ledger.ended(&ids[2]).await.unwrap(), None, "written by a newer release");
        assert_eq!(ledger.ended(&ids[1]).await.unwrap().unwrap().state, State::Succeeded);
    }
}
