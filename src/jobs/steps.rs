//! What may become of a job's record. Pure: each step looks at the record as it stands and says what to write, so a step whose answer was lost
//! is done again without harm.

use cosmirror_formats::job::{FORMAT, JobError, JobProgress, JobRecord, State, Work};

use crate::history::instant;

/// Who works on jobs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Me {
    pub(super) name: String,
    pub(super) process: String,
}

/// How work on a job ended here.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Succeeded,
    Failed(JobError),
    Cancelled,
    /// It is left to another process.
    Released,
}

/// Whether a new job can begin.
#[derive(Debug, PartialEq)]
pub(super) enum Begin {
    /// It is begun already.
    Done,
    /// Another one has not ended.
    Busy,
    /// It is to be put in the place of this one, which ended.
    After,
}

/// What is to be done about a job that nobody may be working on.
#[derive(Debug, PartialEq)]
pub(super) enum Claim {
    /// Nothing.
    Leave,
    /// It is ours.
    Ours,
    /// Write this; with it the job is ours, or has ended.
    Write(Box<JobRecord>),
}

/// A new job's record.
pub(super) fn new(database: &str, container: &str, rid: &str, work: Work, now: i64, chance: u32) -> JobRecord {
    let seconds: String = instant(now).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    JobRecord {
        format: FORMAT,
        id: format!("{seconds}-{chance:08x}"),
        database: database.to_owned(),
        container: container.to_owned(),
        rid: rid.to_owned(),
        work,
        state: State::Queued,
        cancel: false,
        owner: None,
        process: None,
        alive: now,
        attempts: 0,
        created: now,
        started: None,
        ended: None,
        finished: Vec::new(),
        counts: Default::default(),
        progress: JobProgress::default(),
        error: None,
        result: None,
    }
}

/// Whether a text has the form of an id.
pub(super) fn is_id(text: &str) -> bool {
    let Some((time, chance)) = text.split_once('-') else { return false };
    let digits = |b: u8| b.is_ascii_digit() || matches!(b, b'T' | b'Z');
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (15..=20).contains(&time.len()) && chance.len() == 8 && time.bytes().all(digits) && chance.bytes().all(hex)
}

pub(super) fn begin(current: &JobRecord, wanted: &JobRecord) -> Begin {
    match current {
        current if current.id == wanted.id => Begin::Done,
        current if current.state.has_ended() => Begin::After,
        _ => Begin::Busy,
    }
}

/// Whether the job's owner still gives signs of life.
fn is_owned(current: &JobRecord, now: i64, expiration: i64) -> bool {
    current.process.is_some() && current.alive.saturating_add(expiration) >= now
}

/// Takes up a job that nobody works on.
pub(super) fn claim(current: &JobRecord, me: &Me, rid: &str, now: i64, expiration: i64) -> Claim {
    if current.state.has_ended() {
        return Claim::Leave;
    }
    if is_ours(current, me) {
        return Claim::Ours;
    }
    if is_owned(current, now, expiration) {
        return Claim::Leave;
    }
    if current.cancel {
        return Claim::Write(Box::new(ended(current, &Outcome::Cancelled, now)));
    }
    let mut taken = JobRecord {
        state: State::Running,
        owner: Some(me.name.clone()),
        process: Some(me.process.clone()),
        alive: current.alive.max(now),
        attempts: current.attempts.saturating_add(1),
        started: current.started.or(Some(now)),
        ..current.clone()
    };
    if taken.rid != rid {
        // The container was created again: what was done, was done to another one.
        taken.rid = rid.to_owned();
        taken.finished.clear();
        taken.counts = Default::default();
        taken.progress = JobProgress::default();
    }
    Claim::Write(Box::new(taken))
}

/// Whether the job is this process's.
pub(super) fn is_ours(current: &JobRecord, me: &Me) -> bool {
    current.state == State::Running && current.process.as_ref() == Some(&me.process)
}

/// Asks for a job's end, which comes at once where nobody works on it; none where nothing is to be written.
pub(super) fn cancel(current: &JobRecord, now: i64, expiration: i64) -> Option<JobRecord> {
    if current.state.has_ended() {
        return None;
    }
    if !is_owned(current, now, expiration) {
        return Some(ended(&JobRecord { cancel: true, ..current.clone() }, &Outcome::Cancelled, now));
    }
    (!current.cancel).then(|| JobRecord { cancel: true, ..current.clone() })
}

/// The record when work on it has ended here.
pub(super) fn ended(current: &JobRecord, outcome: &Outcome, now: i64) -> JobRecord {
    let mut record = JobRecord { owner: None, process: None, alive: current.alive.max(now), ..current.clone() };
    record.progress.per_minute = None;
    record.progress.seconds_left = None;
    record.progress.phase = String::new();
    record.state = match outcome {
        // Who asks for its end shall not see it go on.
        Outcome::Released if current.cancel => State::Cancelled,
        Outcome::Released => State::Queued,
        Outcome::Succeeded => State::Succeeded,
        Outcome::Failed(_) => State::Failed,
        Outcome::Cancelled => State::Cancelled,
    };
    if let Outcome::Failed(error) = outcome {
        record.error = Some(error.clone());
    }
    record.ended = record.state.has_ended().then_some(now);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRATION: i64 = 60;

    fn me(process: &str) -> Me {
        Me { name: "pod".to_owned(), process: process.to_owned() }
    }

    fn record() -> JobRecord {
        new("d", "c", "rid", Work::Backfill, 1_700_000_000, 0xc0_ffee)
    }

    fn taken(current: &JobRecord, process: &str, now: i64) -> JobRecord {
        match claim(current, &me(process), "rid", now, EXPIRATION) {
            Claim::Write(record) => *record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ids_are_in_the_order_of_time_and_recognised() {
        let id = record().id;
        assert_eq!(id, "20231114T221320Z-00c0ffee");
        assert!(is_id(&id) && new("d", "c", "r", Work::Backfill, 1_700_000_001, 0).id > id);
        for text in ["", "current", "../x-00c0ffee", "20231114T221320Z-00C0FFEE", "20231114T221320Z-", &"1".repeat(25)]
        {
            assert!(!is_id(text), "{text}");
        }
    }

    #[test]
    fn a_job_begins_only_after_the_one_before_has_ended() {
        let (current, wanted) = (record(), new("d", "c", "rid", Work::Backfill, 1_700_000_100, 1));
        assert_eq!((begin(&current, &wanted), begin(&current, &current)), (Begin::Busy, Begin::Done));
        for outcome in [Outcome::Succeeded, Outcome::Cancelled] {
            assert_eq!(begin(&ended(&current, &outcome, 9), &wanted), Begin::After);
        }
        assert_eq!(begin(&ended(&current, &Outcome::Released, 9), &wanted), Begin::Busy);
    }

    #[test]
    fn an_owner_that_signs_keeps_its_job_and_one_that_does_not_loses_it() {
        let now = 1_700_000_010;
        let running = taken(&record(), "one", now);
        assert_eq!((running.state, running.attempts, running.started), (State::Running, 1, Some(now)));
        assert_eq!(claim(&running, &me("one"), "rid", now, EXPIRATION), Claim::Ours);
        assert_eq!(claim(&running, &me("other"), "rid", now + EXPIRATION, EXPIRATION), Claim::Leave);
        let inherited = taken(&running, "other", now + EXPIRATION + 1);
        assert_eq!((inherited.attempts, inherited.started), (2, Some(now)));
        assert!(!is_ours(&inherited, &me("one")));
        let released = ended(&inherited, &Outcome::Released, now + 100);
        assert_eq!((released.state, released.ended), (State::Queued, None));
        assert_eq!(taken(&released, "one", now + 100).attempts, 3);
    }

    #[test]
    fn what_was_done_to_a_container_that_was_created_again_does_not_count() {
        let mut running = taken(&record(), "one", 5);
        running.finished = vec![cosmirror_formats::EpkRange::full()];
        running.counts.documents = 7;
        let Claim::Write(again) = claim(&running, &me("other"), "new", i64::MAX, EXPIRATION) else { panic!() };
        assert_eq!((again.finished.len(), again.counts.documents, again.rid.as_str()), (0, 0, "new"));
    }

    #[test]
    fn a_cancelled_job_stays_cancelled_whoever_finds_it() {
        let now = 1_700_000_010;
        let running = taken(&record(), "one", now);
        let asked = cancel(&running, now, EXPIRATION).unwrap();
        assert_eq!((asked.state, asked.cancel, &asked.process), (State::Running, true, &running.process));
        assert_eq!(cancel(&asked, now, EXPIRATION), None, "once is enough");
        // Its owner died: nobody takes it up again.
        let found = taken(&asked, "other", now + EXPIRATION + 1);
        assert_eq!((found.state, found.process), (State::Cancelled, None));
        assert_eq!(claim(&ended(&asked, &Outcome::Cancelled, now), &me("x"), "rid", i64::MAX, 0), Claim::Leave);
        assert_eq!(ended(&asked, &Outcome::Released, now).state, State::Cancelled);
    }

    #[test]
    fn a_job_that_nobody_works_on_is_cancelled_at_once_and_one_that_ended_never() {
        let queued = record();
        let done = cancel(&queued, 1_700_000_001, EXPIRATION).unwrap();
        assert_eq!((done.state, done.ended), (State::Cancelled, Some(1_700_000_001)));
        let running = taken(&queued, "one", 1_700_000_001);
        let dead = cancel(&running, 1_700_000_001 + EXPIRATION + 1, EXPIRATION).unwrap();
        assert_eq!(dead.state, State::Cancelled);
        assert_eq!(cancel(&ended(&running, &Outcome::Succeeded, 9), 9, EXPIRATION), None);
    }
}
