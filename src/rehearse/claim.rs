//! The record of a container's last rehearsal: who rehearses, whether that one is alive, and how it ended.
//!
//! Every change is conditional on the etag that the last one made, so over all processes one rehearsal of a container goes on at a time. The first change
//! that finds another one's record ends the one that lost it.

use std::sync::Arc;
use std::time::Duration;

use cosmirror_formats::MirrorPaths;
use cosmirror_formats::rehearsal::{self, Counts, FORMAT, Rehearsal, State, Took, Trace};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::scratch::Scratch;
use super::{Rehearse, lost};
use crate::failure::{CommandError, Failure, Kind};
use crate::history::{MirrorReader, instant};
use crate::records;
use crate::restore::new_id;
use crate::retry::persist;
use crate::store::{Condition, VersionStore};

/// How often it is said that the rehearsal goes on.
const ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long a rehearsal goes on behind the last sign of life that was taken: less than [`EXPIRATION`] by what a write under way may take.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How often a record is put over one of our own that was not known.
const PUTS_MAX: u32 = 5;
/// Seconds without a sign of life after which a rehearsal counts as dead: several signs and a slow answer.
pub const EXPIRATION: i64 = 90;

/// The last rehearsal of the container with these names; none before the first.
pub async fn last(store: &dyn VersionStore, paths: &MirrorPaths) -> Result<Option<Rehearsal>, Failure> {
    records::read(store, &paths.last_rehearsal()).await
}

/// The record of one that begins.
pub(super) fn new_rehearsal(
    asked: &Rehearse,
    mirror: &MirrorReader,
    scratch: &Scratch,
    before: Option<&Rehearsal>,
    now: i64,
) -> Rehearsal {
    let id = new_id();
    let own = Trace { id: id.clone(), sample_per_million: asked.sample_per_million, began: now };
    let mut traces = scratch.traces().to_vec();
    traces.push(own);
    Rehearsal {
        format: FORMAT,
        id,
        database: mirror.record.database.clone(),
        container: mirror.record.container.clone(),
        by: asked.by.to_owned(),
        state: State::Running,
        scratch: rehearsal::Scratch {
            account: asked.endpoint.clone(),
            name: asked.scratch_name(),
            rid: scratch.rid().map(str::to_owned),
            created: scratch.is_created(),
        },
        instant: asked.at,
        sample_per_million: asked.sample_per_million,
        began: now,
        alive: now,
        ended: None,
        cleaned: false,
        counts: Counts::default(),
        took: Took::default(),
        error: None,
        succeeded: before.and_then(|before| before.succeeded),
        traces,
    }
}

/// The record as it is ours.
pub(super) struct Claim {
    store: Arc<dyn VersionStore>,
    name: String,
    etag: String,
    record: Rehearsal,
}

impl Claim {
    /// What is there, and under which condition it can be replaced; one that goes on is an error.
    pub(super) async fn look(
        store: &Arc<dyn VersionStore>,
        paths: &MirrorPaths,
        now: i64,
    ) -> Result<(Condition, Option<Rehearsal>), CommandError> {
        let name = paths.last_rehearsal();
        let found = persist(|| records::get::<Rehearsal>(store.as_ref(), &name)).await?;
        let Some((record, etag)) = found else { return Ok((Condition::Absent, None)) };
        if record.state == State::Running && now - record.alive <= EXPIRATION {
            let message = format!(
                "a rehearsal of {}/{} goes on since {}, or died less than {EXPIRATION} s ago",
                record.database,
                record.container,
                instant(record.began)
            );
            return Err(Failure::new(Kind::Held, message).remedy("wait until it has ended").into());
        }
        Ok((Condition::Matches(etag), Some(record)))
    }

    /// Puts the first record.
    pub(super) async fn take(
        store: Arc<dyn VersionStore>,
        paths: &MirrorPaths,
        condition: Condition,
        record: Rehearsal,
    ) -> Result<Self, Failure> {
        let name = paths.last_rehearsal();
        let etag = put(store.as_ref(), &name, &record, condition).await?;
        Ok(Self { store, name, etag, record })
    }

    async fn update(&mut self, change: impl FnOnce(&mut Rehearsal)) -> Result<(), Failure> {
        change(&mut self.record);
        let condition = Condition::Matches(self.etag.clone());
        self.etag = put(self.store.as_ref(), &self.name, &self.record, condition).await?;
        Ok(())
    }
}

/// Puts the record and gives its etag. Only its owner writes records with its id, so what is there with the same id is our own: a put whose answer was
/// lost, or a sign of life that was cut off by the end of the work.
async fn put(
    store: &dyn VersionStore,
    name: &str,
    record: &Rehearsal,
    mut condition: Condition,
) -> Result<String, Failure> {
    for _ in 0..PUTS_MAX {
        let put = records::put(name.to_owned(), record, condition);
        match persist(|| store.put(put.clone())).await {
            Err(failure) if failure.kind == Kind::Conflict => {}
            stored => return Ok(stored?.etag),
        }
        match persist(|| records::get::<Rehearsal>(store, name)).await? {
            Some((found, etag)) if found == *record => return Ok(etag),
            Some((found, etag)) if found.id == record.id => condition = Condition::Matches(etag),
            _ => return Err(lost()),
        }
    }
    Err(lost())
}

/// A claim that says now and then that it is alive.
pub(super) struct Claimed {
    claim: Mutex<Claim>,
    /// When the time of its first sign of life was asked for.
    signed: Instant,
}

impl Claimed {
    pub(super) fn new(claim: Claim, signed: Instant) -> Self {
        Self { claim: Mutex::new(claim), signed }
    }

    /// The record as it is by now.
    pub(super) async fn record(&self) -> Rehearsal {
        self.claim.lock().await.record.clone()
    }

    /// Changes the record.
    pub(super) async fn update(&self, change: impl FnOnce(&mut Rehearsal)) -> Result<(), Failure> {
        self.claim.lock().await.update(change).await
    }

    /// Does the work and says meanwhile that it goes on. Where the claim is lost, or no sign was taken for so long that it may be lost soon,
    /// the work ends: whoever takes it over must not find documents that come behind its back.
    pub(super) async fn while_alive<T, F>(
        &self,
        now: impl Fn() -> F,
        work: impl Future<Output = Result<T, CommandError>>,
    ) -> Result<T, CommandError>
    where
        F: Future<Output = Result<i64, Failure>>,
    {
        // A process that was stopped for a while must not write once more before it looks.
        tokio::select! {
            biased;
            failure = self.beat(now) => Err(failure.into()),
            worked = work => worked,
        }
    }

    /// Gives signs of life, and the reason why no more can be given.
    async fn beat<F: Future<Output = Result<i64, Failure>>>(&self, now: impl Fn() -> F) -> Failure {
        let mut last = self.signed;
        loop {
            match timeout_at(last + SILENCE_MAX, self.sign(&now)).await {
                Ok(Ok(signed)) => last = signed,
                Ok(Err(failure)) => return failure,
                Err(_) => return silent(),
            }
        }
    }

    /// Gives the next sign of life when it is time, and the moment for which it stands at least.
    async fn sign<F: Future<Output = Result<i64, Failure>>>(&self, now: &impl Fn() -> F) -> Result<Instant, Failure> {
        tokio::time::sleep(ALIVE_INTERVAL).await;
        let (asked, now) = persist(|| async { Ok((Instant::now(), now().await?)) }).await?;
        self.update(|record| record.alive = now).await?;
        Ok(asked)
    }

    /// Puts the last state and gives it.
    pub(super) async fn end(self, end: impl FnOnce(&mut Rehearsal)) -> Result<Rehearsal, Failure> {
        let mut claim = self.claim.into_inner();
        claim.update(end).await?;
        Ok(claim.record)
    }
}

/// What stops a rehearsal whose signs of life are not taken.
fn silent() -> Failure {
    let seconds = SILENCE_MAX.as_secs();
    Failure::new(Kind::Transient, format!("no sign of life of the rehearsal could be recorded for {seconds} s")).remedy(
        "see whether the source and the target answer; the next rehearsal with --clean removes what was written",
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use serde_json::json;

    use super::*;
    use crate::history::memory::{MemoryStore, covered_store, paths};

    fn record(id: &str, alive: i64) -> Rehearsal {
        let scratch = json!({ "account": "a", "name": "s/c", "rid": null, "created": false });
        let record = json!({
            "format": 1, "id": id, "database": "db", "container": "c", "by": "command", "state": "running", "scratch": scratch,
            "instant": null, "sample_per_million": 1, "began": 100, "alive": alive, "ended": null, "cleaned": false,
            "counts": {}, "took": {}, "error": null, "succeeded": null, "traces": [],
        });
        serde_json::from_value(record).unwrap()
    }

    async fn taken(store: &Arc<MemoryStore>, id: &str, now: i64) -> Result<Claim, CommandError> {
        let store = Arc::clone(store) as Arc<dyn VersionStore>;
        let (condition, _) = Claim::look(&store, &paths(), now).await?;
        Ok(Claim::take(store, &paths(), condition, record(id, now)).await?)
    }

    #[tokio::test]
    async fn one_rehearsal_goes_on_at_a_time_until_it_counts_as_dead() {
        let store = covered_store(&json!({}));
        let mut one = taken(&store, "one", 100).await.unwrap();
        let held = taken(&store, "two", 100 + EXPIRATION).await.err().unwrap();
        assert_eq!(held.exit, crate::failure::Exit::Held);
        one.update(|record| record.alive = 150).await.unwrap();
        assert!(taken(&store, "two", 150 + EXPIRATION).await.is_err(), "it has given a sign of life");
        let mut two = taken(&store, "two", 151 + EXPIRATION).await.unwrap();
        assert_eq!(one.update(|record| record.alive = 300).await.unwrap_err().kind, Kind::Held);
        two.update(|record| record.state = State::Equal).await.unwrap();
        assert!(taken(&store, "three", 151 + EXPIRATION).await.is_ok(), "it has ended");
    }

    #[tokio::test]
    async fn of_two_that_begin_at_once_one_does() {
        let store = covered_store(&json!({}));
        let shared = Arc::clone(&store) as Arc<dyn VersionStore>;
        let (condition, _) = Claim::look(&shared, &paths(), 100).await.unwrap();
        assert!(taken(&store, "one", 100).await.is_ok());
        let late = Claim::take(shared, &paths(), condition, record("two", 100)).await;
        assert_eq!(late.err().unwrap().kind, Kind::Held);
    }

    /// A sign of life that the end of the work cuts off may have been put.
    #[tokio::test]
    async fn a_record_of_our_own_that_was_not_known_of_is_put_over() {
        let store = covered_store(&json!({}));
        let mut claim = taken(&store, "one", 100).await.unwrap();
        let unknown = Condition::Matches(claim.etag.clone());
        put(store.as_ref(), &paths().last_rehearsal(), &record("one", 120), unknown).await.unwrap();
        claim.update(|record| record.state = State::Equal).await.unwrap();
        let last = last(store.as_ref(), &paths()).await.unwrap().unwrap();
        assert_eq!(last.state, State::Equal);
    }

    async fn claimed(store: &Arc<MemoryStore>) -> Claimed {
        Claimed::new(taken(store, "one", 100).await.unwrap(), Instant::now())
    }

    /// Cut off from the mirror it used to write on for as long as its requests had patience, when another one had its place long since.
    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_say_that_it_is_alive_ends_before_it_counts_as_dead() {
        let store = covered_store(&json!({}));
        for hangs in [true, false] {
            let (claimed, begun) = (claimed(&store).await, Instant::now());
            let now = || async move {
                if hangs { std::future::pending().await } else { Err(Failure::new(Kind::Transient, "no")) }
            };
            let ended = claimed.while_alive(now, std::future::pending::<Result<(), CommandError>>()).await;
            assert!(ended.unwrap_err().message.contains("no sign of life"));
            assert!(i64::try_from(begun.elapsed().as_secs()).unwrap() < EXPIRATION - 20);
            claimed.end(|record| record.state = State::Failed).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_says_so_goes_on_through_a_sign_that_fails() {
        let store = covered_store(&json!({}));
        let claimed = claimed(&store).await;
        let (begun, asked) = (Instant::now(), Cell::new(0));
        let now = || {
            asked.set(asked.get() + 1);
            let seconds = i64::try_from(begun.elapsed().as_secs()).unwrap();
            ready(if asked.get() % 2 == 0 { Ok(100 + seconds) } else { Err(Failure::new(Kind::Transient, "no")) })
        };
        let work = async {
            tokio::time::sleep(Duration::from_secs(1_000)).await;
            Ok(())
        };
        claimed.while_alive(now, work).await.unwrap();
        assert!(claimed.record().await.alive > 1_000);
    }
}
