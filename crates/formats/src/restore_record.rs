//! What one restore wrote, so that a history can tell a restore's versions from the application's.
//!
//! The first file of a restore, `_mirror/restores/<id>.json`, is put before the first document is written; it is put again
//! when the restore has ended. A restore of more documents than fit one file puts the rest beside it as parts
//! `<id>-000001.json`, `<id>-000002.json`, … of the same shape, each when it is full. Times are the restoring host's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The `format` of a restore's record.
pub const FORMAT: u32 = 1;

/// One file of a restore's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreRecord {
    /// 1.
    pub format: u32,
    /// The restore's id.
    pub id: String,
    /// 0 for the first file.
    pub part: u32,
    /// When it began, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339; none while it runs, after a crash, and in parts.
    pub finished: Option<String>,
    /// What was selected, in words.
    pub selection: String,
    /// The instant that was restored, seconds since 1970; none where a version was named.
    pub at: Option<i64>,
    /// The version that was restored, where one was named.
    pub version: Option<String>,
    /// What was written.
    pub written: Vec<WrittenDocument>,
}

/// One document that a restore wrote or deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrittenDocument {
    /// The document's id.
    pub id: String,
    /// The partition key as a JSON array.
    pub partition_key: Value,
    /// The etag the write made; none for a delete.
    pub etag: Option<String>,
    /// The etag of the document that was deleted; none for a write. The tombstone's `prev` is this etag.
    pub deleted: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn golden_restore_record() {
        let record = RestoreRecord {
            format: FORMAT,
            id: "20260131T080000Z-00c0ffee".to_owned(),
            part: 0,
            started: "2026-01-31T08:00:00Z".to_owned(),
            finished: None,
            selection: "all documents".to_owned(),
            at: Some(1_700_000_000),
            version: None,
            written: vec![WrittenDocument {
                id: "d0".to_owned(),
                partition_key: json!(["p0"]),
                etag: Some("\"1\"".to_owned()),
                deleted: None,
            }],
        };
        let golden = r#"{"format":1,"id":"20260131T080000Z-00c0ffee","part":0,"started":"2026-01-31T08:00:00Z","finished":null,"selection":"all documents","at":1700000000,"version":null,"written":[{"id":"d0","partition_key":["p0"],"etag":"\"1\"","deleted":null}]}"#;
        assert_eq!(serde_json::to_string(&record).unwrap(), golden);
        assert_eq!(serde_json::from_str::<RestoreRecord>(golden).unwrap(), record);
    }
}
