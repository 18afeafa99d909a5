//! One container's jobs at work: taken up, signed while they run, and ended.
//!
//! The work is dropped where it stands when the process drains, the job is cancelled, or another process has taken it over. That is safe at any
//! point: it writes nothing but single conditional puts. A crash leaves a record that is not signed any more.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cosmirror_formats::job::{JobError, JobRecord};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::ledger::{Changed, Step};
use super::place::Place;
use super::steps::{self, Claim, Outcome};
use super::tracker::Tracker;
use super::work;
use crate::failure::{Failure, Kind};
use crate::retry::{Backoff, jittered};
use crate::traces;

/// Pause between two marks at most.
const MARK_INTERVAL: Duration = Duration::from_secs(10);
/// Marks within the time after which an owner is taken for dead, at least.
const MARKS_OF_EXPIRATION: u32 = 4;
/// Attempts at a mark before the next one's time.
const MARK_ATTEMPTS: u32 = 2;
/// How long leaving a job to others may take; past it they wait until it is not signed any more.
const RELEASE_TIME: Duration = Duration::from_secs(5);

/// A job that is ours.
struct Held {
    record: JobRecord,
    /// For the next write; none where what was written last is not known.
    etag: Option<String>,
}

/// Whether a job is still ours after a write.
#[derive(Debug, PartialEq, Eq)]
enum Sign {
    Written,
    Lost,
}

/// Takes up jobs until `drain` is cancelled.
pub(super) async fn run(place: Arc<Place>, drain: CancellationToken) {
    while !drain.is_cancelled() {
        let taken = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            taken = take_up(&place) => taken,
        };
        match taken {
            Ok(Some(held)) => {
                work_on(&place, held, &drain).await;
                continue;
            }
            Ok(None) => {}
            Err(failure) => {
                tracing::warn!(container = place.name(), error = %failure, "no job was looked for; trying again");
            }
        }
        tokio::select! {
            biased;
            () = drain.cancelled() => {}
            () = place.wake.notified() => {}
            () = tokio::time::sleep(jittered(place.parts.look_interval)) => {}
        }
    }
}

/// The job that nobody works on, now ours; none where there is none.
async fn take_up(place: &Place) -> Result<Option<Held>, Failure> {
    let Some((current, _)) = place.ledger.current().await? else { return Ok(None) };
    if current.state.has_ended() {
        return Ok(None);
    }
    let now = place.parts.feed.service_time().await?;
    let (rid, expiration) = (&place.parts.feed.container().rid, place.expiration());
    let step = |current: Option<&JobRecord>| match current {
        None => Step::Keep(None),
        Some(current) => match steps::claim(current, &place.me, rid, now, expiration) {
            Claim::Leave => Step::Keep(None),
            Claim::Ours => Step::Keep(Some(Box::new(current.clone()))),
            Claim::Write(record) => Step::Write(record),
        },
    };
    let (record, etag) = match place.ledger.change(step).await? {
        Changed::Written(record, etag) => (record, Some(etag)),
        Changed::Kept(Some(record)) => (record, None),
        Changed::Kept(None) => return Ok(None),
    };
    place.forget();
    if record.state.has_ended() {
        place.has_ended(&record).await;
        return Ok(None);
    }
    Ok(Some(Held { record: *record, etag }))
}

/// Works on a job until it ends here.
async fn work_on(place: &Place, mut held: Held, drain: &CancellationToken) {
    let (id, kind, attempt) = (held.record.id.clone(), held.record.work.kind(), held.record.attempts);
    tracing::info!(container = place.name(), id, kind, attempt, "the job begins");
    let (tracker, cancel) = (Arc::new(Tracker::new(&held.record)), CancellationToken::new());
    let running = |now| *place.running.lock().unwrap_or_else(PoisonError::into_inner) = now;
    running(Some((id.clone(), cancel.clone())));
    place.parts.metrics.jobs().running(&place.parts.database, &place.parts.container, true);
    let begun = held.record.clone();
    let span = traces::job(&place.name(), kind, attempt);
    let outcome = tokio::select! {
        biased;
        () = drain.cancelled() => Some(Outcome::Released),
        () = cancel.cancelled() => Some(Outcome::Cancelled),
        outcome = sign(place, &mut held, &tracker) => outcome,
        done = work::run(&place.parts, &tracker, &begun).instrument(span.clone()) => Some(match traces::failed(&span, done) {
            Ok(()) => Outcome::Succeeded,
            Err(failure) => Outcome::Failed(error(&failure)),
        }),
    };
    drop(span);
    running(None);
    place.parts.metrics.jobs().running(&place.parts.database, &place.parts.container, false);
    match outcome {
        Some(outcome) => end(place, held, &tracker, &outcome, drain).await,
        None => tracing::warn!(container = place.name(), id, "the job is another process's by now"),
    }
}

/// Signs and marks at intervals; ends where somebody asked for the end, or with nothing where the job is another process's.
async fn sign(place: &Place, held: &mut Held, tracker: &Tracker) -> Option<Outcome> {
    let pause = MARK_INTERVAL.min(place.parts.expiration / MARKS_OF_EXPIRATION);
    loop {
        if held.record.cancel {
            return Some(Outcome::Cancelled);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tracker.changed.notified() => {}
        }
        match mark(place, held, tracker).await {
            Ok(Sign::Written) => {}
            Ok(Sign::Lost) => return None,
            Err(failure) => {
                tracing::warn!(container = place.name(), id = held.record.id, error = %failure, "the job was not marked; trying again");
            }
        }
    }
}

async fn mark(place: &Place, held: &mut Held, tracker: &Tracker) -> Result<Sign, Failure> {
    let now = place.parts.feed.service_time().await?;
    let signed = |record: &JobRecord| JobRecord { alive: record.alive.max(now), ..tracker.marked(record) };
    write(place, held, &signed).await
}

/// Writes what `make` makes of the job's record, as long as it is ours.
async fn write(place: &Place, held: &mut Held, make: &impl Fn(&JobRecord) -> JobRecord) -> Result<Sign, Failure> {
    for attempt in 1.. {
        // A write that is cut off here leaves none, so the next one looks.
        let etag = match held.etag.take() {
            Some(etag) => etag,
            None => match place.ledger.current().await? {
                Some((record, etag)) if record.id == held.record.id && steps::is_ours(&record, &place.me) => {
                    held.record = record;
                    etag
                }
                // The end of the job was told, and the answer was lost. A job that another process works on has that one's mark.
                Some((record, _))
                    if record.id == held.record.id
                        && record.process.is_none()
                        && record.state == make(&held.record).state =>
                {
                    held.record = record;
                    return Ok(Sign::Written);
                }
                _ => return Ok(Sign::Lost),
            },
        };
        let record = make(&held.record);
        match place.ledger.put(&record, Some(etag)).await {
            Ok(etag) => {
                (held.record, held.etag) = (record, Some(etag));
                place.forget();
                return Ok(Sign::Written);
            }
            Err(failure) if failure.kind == Kind::Conflict && attempt <= MARK_ATTEMPTS => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Sign::Lost)
}

/// Writes how the job ended here. Where that cannot be said, the next process finds everything done that was marked.
async fn end(place: &Place, mut held: Held, tracker: &Tracker, outcome: &Outcome, drain: &CancellationToken) {
    let id = held.record.id.clone();
    let late = async {
        drain.cancelled().await;
        tokio::time::sleep(RELEASE_TIME).await;
    };
    tokio::select! {
        biased;
        () = tell(place, &mut held, tracker, outcome) => {}
        () = late => tracing::warn!(container = place.name(), id, "the job's end was not told everywhere"),
    }
}

async fn tell(place: &Place, held: &mut Held, tracker: &Tracker, outcome: &Outcome) {
    let (mut backoff, id) = (Backoff::default(), held.record.id.clone());
    loop {
        let told = async {
            let now = place.parts.feed.service_time().await?;
            let made = |record: &JobRecord| steps::ended(&tracker.marked(record), outcome, now);
            write(place, held, &made).await
        };
        match told.await {
            Ok(Sign::Written) if held.record.state.has_ended() => return place.has_ended(&held.record).await,
            Ok(Sign::Written) => {
                return tracing::info!(container = place.name(), id, "the job is left to another process");
            }
            Ok(Sign::Lost) => {
                return tracing::warn!(container = place.name(), id, "the job is another process's by now");
            }
            Err(failure) => {
                tracing::warn!(container = place.name(), id, error = %failure, "the job's end was not told; trying again");
                tokio::time::sleep(backoff.next(failure.retry_after)).await;
            }
        }
    }
}

fn error(failure: &Failure) -> JobError {
    let again = "see that the source and the target answer, and start the job again: what it has put right stays";
    let remedy = if failure.remedy.is_empty() { again } else { &failure.remedy };
    JobError { code: failure.kind.name().to_owned(), message: failure.message.clone(), remedy: remedy.to_owned() }
}
