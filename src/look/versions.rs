//! The versions of one document in the contract's form, oldest first.

use cosmirror_formats::Encryption;
use serde::Serialize;
use serde_json::Value;

use crate::history::{DocumentHistory, Entry, Life, Origins};

/// The origin of what no change of the source has made.
const PURGE: &str = "purge";

/// The contract's form of a history.
#[derive(Debug, Serialize)]
pub(crate) struct View<'a> {
    pub(crate) id: &'a str,
    pub(crate) partition_key: Value,
    pub(crate) versions: Vec<VersionView<'a>>,
}

/// One version of it.
#[derive(Debug, Serialize)]
pub(crate) struct VersionView<'a> {
    pub(crate) version: String,
    pub(crate) op: &'static str,
    pub(crate) ts: i64,
    pub(crate) lsn: Option<u64>,
    pub(crate) etag: Option<&'a str>,
    pub(crate) bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) omitted: Option<u32>,
    pub(crate) sha256: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<String>,
    pub(crate) current: bool,
    pub(crate) origin: &'a str,
    /// The life of the container that it belongs to, by its resource id.
    pub(crate) generation: &'a str,
    /// When that life began and ended.
    #[serde(skip)]
    pub(crate) life: Life,
}

/// What the history and the restores say.
pub(crate) fn view<'a>(history: &'a DocumentHistory, origins: &'a Origins) -> View<'a> {
    let version = |entry: &'a Entry| VersionView {
        version: entry.place.version(),
        op: entry.version.op.as_str(),
        ts: entry.version.ts,
        lsn: entry.version.lsn,
        etag: entry.version.etag.as_deref(),
        bytes: entry.length,
        omitted: entry.version.omitted,
        sha256: &entry.version.sha256,
        encryption: entry.version.encryption.as_ref().map(Encryption::to_string),
        current: entry.current,
        origin: if entry.version.is_purge() { PURGE } else { origins.of(entry) },
        generation: &entry.version.rid,
        life: entry.life,
    };
    View {
        id: &history.id,
        partition_key: history.key.to_json(),
        versions: history.entries.iter().map(version).collect(),
    }
}
