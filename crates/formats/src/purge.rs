//! That a document's history was erased: when and by which command, but not what.
//!
//! `_mirror/purges/<hash>.json` is named after the SHA-256 of the document's name, so that whoever is about to bring a document back can ask
//! whether it may, and nobody can read from it whose history it was. What keeps the mirror itself from storing the history again is the
//! mark at the document's own place ([`Version::purge`](crate::Version::purge)).

use serde::{Deserialize, Serialize};

/// The `format` of the record.
pub const FORMAT: u32 = 1;

/// One document's purges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeRecord {
    /// 1.
    pub format: u32,
    /// What was committed up to this second, since 1970, stays away.
    pub until: i64,
    /// The command's runs, oldest first.
    pub runs: Vec<PurgeRun>,
}

/// One run of the command. What a crash ended has no counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeRun {
    /// When it began, RFC 3339, by the clock of the host that ran it.
    pub began: String,
    /// Which command.
    pub command: String,
    /// The program's version.
    pub program: String,
    /// When it ended, RFC 3339; none while it runs, and after a crash.
    pub ended: Option<String>,
    /// Versions, snapshots and dead letters that it erased.
    pub erased: u64,
    /// What a policy or a legal hold kept.
    pub held: u64,
    /// Erased ones that the service can still bring back.
    pub recoverable: u64,
    /// When the last of these is gone, seconds since 1970; none where there is none, or nobody knows.
    pub gone_by: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_record() {
        let run = PurgeRun {
            began: "2026-01-31T08:00:00Z".to_owned(),
            command: "purge --confirm".to_owned(),
            program: "1.2.3".to_owned(),
            ended: None,
            erased: 0,
            held: 0,
            recoverable: 0,
            gone_by: None,
        };
        let record = PurgeRecord { format: FORMAT, until: 1_700_000_000, runs: vec![run] };
        let golden = r#"{"format":1,"until":1700000000,"runs":[{"began":"2026-01-31T08:00:00Z","command":"purge --confirm","program":"1.2.3","ended":null,"erased":0,"held":0,"recoverable":0,"gone_by":null}]}"#;
        assert_eq!(serde_json::to_string(&record).unwrap(), golden);
        assert_eq!(serde_json::from_str::<PurgeRecord>(golden).unwrap(), record);
    }
}
