//! Work that somebody asked for: which job, what came of it, and how far it is.
//!
//! `_mirror/jobs/current.json` holds the one job of a container that runs, or the last one. It is the claim, the sign of life and the mark of
//! progress in one document, and every change of it is conditional, so no two of them can disagree. A job that has ended is put once more as
//! `_mirror/jobs/<id>.json` and never changes again. Times are seconds since 1970 of the source's service.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lease::EpkRange;

/// The `format` of a job's record.
pub const FORMAT: u32 = 1;

/// The number that stands for all in [`Work::Verify`].
pub const MILLION: u32 = 1_000_000;

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// 1.
    pub format: u32,
    /// Its id; in the order of ids is the order of time.
    pub id: String,
    /// The database's name.
    pub database: String,
    /// The container's name.
    pub container: String,
    /// Resource id of the container's generation that `finished` speaks of.
    pub rid: String,
    /// What is to be done.
    pub work: Work,
    /// Where it stands.
    pub state: State,
    /// Somebody asked for its end.
    pub cancel: bool,
    /// The replica that works on it, for people; none where nobody does.
    pub owner: Option<String>,
    /// The mark of that replica's process, which no other has.
    pub process: Option<String>,
    /// The owner's last sign of life.
    pub alive: i64,
    /// How many processes have worked on it.
    pub attempts: u32,
    /// When it was asked for.
    pub created: i64,
    /// When work on it began.
    pub started: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// The part of the key space that is done; a process that takes the job over leaves it out.
    pub finished: Vec<EpkRange>,
    /// What was found there.
    pub counts: JobCounts,
    /// How far it is, for people.
    pub progress: JobProgress,
    /// Why it failed.
    pub error: Option<JobError>,
    /// What came of it, where that is more than counts; its fields depend on the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// Bring into the mirror what the source holds and the mirror lacks.
    Backfill,
    /// Compare source and mirror.
    Verify {
        /// `presence`, `hash` or `full`.
        mode: String,
        /// Documents compared of each million.
        sample_per_million: u32,
        /// Whether to put right what differs.
        repair: bool,
    },
    /// Restore a sample into a scratch container and compare it.
    Rehearse {
        /// The instant, seconds since 1970; none: the newest one that is known completely.
        at: Option<i64>,
        /// Documents of each million; none: as the daemon's settings say.
        sample_per_million: Option<u32>,
    },
    /// Write documents as they were into files.
    Export {
        /// The instant, seconds since 1970; none: the newest one that is covered when it begins.
        at: Option<i64>,
        /// The id of an earlier export's job, on which it builds.
        since: Option<String>,
        /// Whether the files are compressed.
        compress: bool,
    },
}

impl Work {
    /// The names of all kinds.
    pub const KINDS: [&str; 4] = ["backfill", "verify", "export", "rehearse"];

    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Backfill => "backfill",
            Self::Verify { .. } => "verify",
            Self::Export { .. } => "export",
            Self::Rehearse { .. } => "rehearse",
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nobody works on it: it is new, or its process ended.
    Queued,
    /// A replica works on it.
    Running,
    /// It is done.
    Succeeded,
    /// It could not be done.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl State {
    /// The states in which a job has ended.
    pub const ENDS: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Whether it is one of those.
    pub fn has_ended(self) -> bool {
        Self::ENDS.contains(&self)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a job found, in documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCounts {
    /// All that were compared.
    pub documents: u64,
    /// The mirror held what the source holds.
    pub equal: u64,
    /// The mirror lacked them.
    pub missing: u64,
    /// The mirror's newest version was another.
    pub stale: u64,
    /// The source does not hold them.
    pub extra: u64,
    /// Their stored bytes are damaged or of other content.
    pub different: u64,
    /// What differs may be on its way.
    pub pending: u64,
    /// Of the differing ones, those that were put right.
    pub repaired: u64,
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    /// What it does at the moment.
    pub phase: String,
    /// Documents that were worked on.
    pub done: u64,
    /// How many there are, as far as known.
    pub total: Option<u64>,
    /// Parts of the key space that are done.
    pub parts_done: u32,
    /// How many there are; none before it is known.
    pub parts: Option<u32>,
    /// How many documents it lately did in a minute.
    pub per_minute: Option<u64>,
    /// How long it will take, in seconds, where that can be told.
    pub seconds_left: Option<u64>,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// The kind of the error.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> JobRecord {
        JobRecord {
            format: FORMAT,
            id: "20260131T080000Z-00c0ffee".to_owned(),
            database: "shop".to_owned(),
            container: "orders".to_owned(),
            rid: "awEh5IAAAAE=".to_owned(),
            work: Work::Verify { mode: "hash".to_owned(), sample_per_million: 50_000, repair: true },
            state: State::Running,
            cancel: false,
            owner: Some("pod-0".to_owned()),
            process: Some("00c0ffee".to_owned()),
            alive: 1_700_000_010,
            attempts: 1,
            created: 1_700_000_000,
            started: Some(1_700_000_001),
            ended: None,
            finished: vec![EpkRange::new("", "20")],
            counts: JobCounts { documents: 3, equal: 1, missing: 2, repaired: 2, ..JobCounts::default() },
            progress: JobProgress {
                phase: "comparing".to_owned(),
                done: 4,
                total: Some(8),
                parts_done: 1,
                parts: Some(2),
                per_minute: Some(60),
                seconds_left: Some(4),
            },
            error: None,
            result: None,
        }
    }

    #[test]
    fn golden_job() {
        let golden = concat!(
            r#"{"format":1,"id":"20260131T080000Z-00c0ffee","database":"shop","container":"orders","rid":"awEh5IAAAAE=","#,
            r#""work":{"kind":"verify","mode":"hash","sample_per_million":50000,"repair":true},"state":"running","cancel":false,"#,
            r#""owner":"pod-0","process":"00c0ffee","alive":1700000010,"attempts":1,"created":1700000000,"started":1700000001,"#,
            r#""ended":null,"finished":[{"min":"","max":"20"}],"counts":{"documents":3,"equal":1,"missing":2,"stale":0,"extra":0,"#,
            r#""different":0,"pending":0,"repaired":2},"progress":{"phase":"comparing","done":4,"total":8,"parts_done":1,"#,
            r#""parts":2,"per_minute":60,"seconds_left":4},"error":null}"#,
        );
        assert_eq!(serde_json::to_string(&record()).unwrap(), golden);
        assert_eq!(serde_json::from_str::<JobRecord>(golden).unwrap(), record());
    }

    #[test]
    fn golden_job_that_failed() {
        let error = JobError { code: "transient".to_owned(), message: "no".to_owned(), remedy: "again".to_owned() };
        let failed = JobRecord { work: Work::Backfill, state: State::Failed, error: Some(error), ..record() };
        let text = serde_json::to_string(&failed).unwrap();
        assert!(text.contains(r#""work":{"kind":"backfill"},"state":"failed""#), "{text}");
        assert!(text.ends_with(r#""error":{"code":"transient","message":"no","remedy":"again"}}"#), "{text}");
        assert_eq!(serde_json::from_str::<JobRecord>(&text).unwrap(), failed);
    }

    #[test]
    fn states_and_kinds_are_named_as_they_are_written() {
        for state in [State::Queued, State::Running, State::Succeeded, State::Failed, State::Cancelled] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        let verify = Work::Verify { mode: "full".to_owned(), sample_per_million: MILLION, repair: false };
        let export = Work::Export { at: Some(1), since: None, compress: true };
        let rehearse = Work::Rehearse { at: None, sample_per_million: Some(5) };
        for (work, kind) in [Work::Backfill, verify, export, rehearse].into_iter().zip(Work::KINDS) {
            assert_eq!((work.kind(), &serde_json::to_value(&work).unwrap()["kind"]), (kind, &kind.into()));
        }
    }
}
