//! Rehearsals: restores into a scratch container that are compared and thrown away.
//!
//! `_mirror/rehearsals/last.json` is the last rehearsal of a container, or the one that goes on. It is the claim, the sign of life and the result in
//! one document, and every change of it is conditional. It is also the only proof that a scratch container is a rehearsal's: nothing is ever deleted in
//! a container whose resource id does not stand here. Times are seconds since 1970 of the source's service.

use serde::{Deserialize, Serialize};

/// The `format` of a rehearsal's record.
pub const FORMAT: u32 = 1;

/// The number that stands for all in [`Rehearsal::sample_per_million`].
pub const MILLION: u32 = 1_000_000;

/// One rehearsal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// 1.
    pub format: u32,
    /// Its id, which also chooses the sample: another one each time.
    pub id: String,
    /// The database's name.
    pub database: String,
    /// The container's name.
    pub container: String,
    /// `command` or `schedule`.
    pub by: String,
    /// Where it stands, or how it ended.
    pub state: State,
    /// Where it restores into.
    pub scratch: Scratch,
    /// The instant that was restored.
    pub instant: Option<i64>,
    /// Documents restored of each million.
    pub sample_per_million: u32,
    /// When it began.
    pub began: i64,
    /// The last sign of life.
    pub alive: i64,
    /// When it ended; none while it goes on.
    pub ended: Option<i64>,
    /// Whether what it wrote was removed again.
    pub cleaned: bool,
    /// What was found.
    pub counts: Counts,
    /// How long it took.
    pub took: Took,
    /// Why it failed.
    pub error: Option<RehearsalError>,
    /// When the last one ended well, this one included.
    pub succeeded: Option<i64>,
    /// What rehearsals may have left in the scratch container.
    pub traces: Vec<Trace>,
}

/// Where a rehearsal stands, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It goes on, or was killed.
    Running,
    /// Everything that was restored is what the mirror holds.
    Equal,
    /// Something is not.
    Differs,
    /// It could not be carried through.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Running, Self::Equal, Self::Differs, Self::Failed, Self::Cancelled];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A container that rehearsals restore into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scratch {
    /// The account's endpoint.
    pub account: String,
    /// Its name as `database/container`.
    pub name: String,
    /// Its resource id; none where it is not there, or not known yet.
    pub rid: Option<String>,
    /// Whether a rehearsal created it.
    pub created: bool,
}

/// What tells a rehearsal's documents from others in the scratch container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The rehearsal's id.
    pub id: String,
    /// Its share.
    pub sample_per_million: u32,
    /// When it began: its documents are not older.
    pub began: i64,
}

/// Documents by what was found of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// All that the mirror says existed at the instant.
    pub all: u64,
    /// Those of the sample.
    pub documents: u64,
    /// The bytes that were written.
    pub bytes: u64,
    /// As the mirror holds them.
    pub equal: u64,
    /// Otherwise.
    pub different: u64,
    /// Not in the scratch container.
    pub missing: u64,
    /// In the scratch container, and did not exist then.
    pub extra: u64,
    /// Of which the mirror cannot tell the state at the instant.
    pub unknown: u64,
    /// Of which the mirror's bytes or metadata are damaged.
    pub damaged: u64,
    /// Of which the write failed.
    pub failed: u64,
}

impl Counts {
    /// Documents that are not what they should be.
    pub fn wrong(&self) -> u64 {
        self.different + self.missing + self.extra + self.damaged
    }
}

/// How long its steps took, in seconds of the host's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Took {
    /// Finding out what to write.
    pub plan_seconds: f64,
    /// Writing it and reading it back.
    pub restore_seconds: f64,
    /// Holding the result against the mirror.
    pub compare_seconds: f64,
    /// Documents restored in a second; none where nothing was.
    pub documents_per_second: Option<f64>,
    /// Measured: from the beginning of the plan until all of the sample was restored.
    pub rto_seconds: f64,
    /// Extrapolated: the same for all documents, at the same rate; none where nothing was restored.
    pub rto_seconds_all: Option<f64>,
}

/// Why a rehearsal failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalError {
    /// The kind of the error.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_rehearsal() {
        let rehearsal = Rehearsal {
            format: FORMAT,
            id: "20260131T080000Z-00c0ffee".to_owned(),
            database: "shop".to_owned(),
            container: "orders".to_owned(),
            by: "schedule".to_owned(),
            state: State::Equal,
            scratch: Scratch {
                account: "https://a/".to_owned(),
                name: "rehearsals/orders".to_owned(),
                rid: None,
                created: true,
            },
            instant: Some(90),
            sample_per_million: 10_000,
            began: 100,
            alive: 120,
            ended: Some(130),
            cleaned: true,
            counts: Counts { all: 500, documents: 5, bytes: 900, equal: 5, ..Counts::default() },
            took: Took {
                plan_seconds: 1.0,
                restore_seconds: 2.0,
                compare_seconds: 0.5,
                documents_per_second: Some(2.5),
                rto_seconds: 3.0,
                rto_seconds_all: Some(201.0),
            },
            error: None,
            succeeded: Some(130),
            traces: vec![Trace { id: "t".to_owned(), sample_per_million: MILLION, began: 1 }],
        };
        let golden = concat!(
            r#"{"format":1,"id":"20260131T080000Z-00c0ffee","database":"shop","container":"orders","by":"schedule","state":"equal","#,
            r#""scratch":{"account":"https://a/","name":"rehearsals/orders","rid":null,"created":true},"instant":90,"sample_per_million":10000,"#,
            r#""began":100,"alive":120,"ended":130,"cleaned":true,"counts":{"all":500,"documents":5,"bytes":900,"equal":5,"different":0,"#,
            r#""missing":0,"extra":0,"unknown":0,"damaged":0,"failed":0},"took":{"plan_seconds":1.0,"restore_seconds":2.0,"#,
            r#""compare_seconds":0.5,"documents_per_second":2.5,"rto_seconds":3.0,"rto_seconds_all":201.0},"error":null,"succeeded":130,"#,
            r#""traces":[{"id":"t","sample_per_million":1000000,"began":1}]}"#,
        );
        assert_eq!(serde_json::to_string(&rehearsal).unwrap(), golden);
        assert_eq!(serde_json::from_str::<Rehearsal>(golden).unwrap(), rehearsal);
    }

    #[test]
    fn every_state_has_the_name_that_is_written() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
