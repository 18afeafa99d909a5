//! One committed change of one item.

use std::sync::Arc;

use azure_data_cosmos_driver::models::EffectivePartitionKey;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What happened to the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Op {
    Create,
    Replace,
    Delete,
    /// Deleted because its time to live was over.
    Expire,
}

impl Op {
    /// The name in the emulator's history.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Expire => "expire",
        }
    }

    /// Whether the item is gone after it.
    pub(crate) fn removes(self) -> bool {
        matches!(self, Self::Delete | Self::Expire)
    }
}

/// A change in a container's log. Never altered once committed.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Place among all changes of the container, from 1; those of a transaction follow each other.
    pub(crate) seq: u64,
    /// The range that committed it.
    pub(crate) range: Arc<str>,
    /// The transaction's sequence number in the range; a batch's changes share it.
    pub(crate) lsn: u64,
    pub(crate) op: Op,
    pub(crate) id: Arc<str>,
    /// The partition key's components as a JSON array.
    pub(crate) key: Arc<str>,
    pub(crate) epk: EffectivePartitionKey,
    /// The version's entity tag with its quotes; a removal has the removed version's.
    pub(crate) etag: Arc<str>,
    /// Seconds since 1970.
    pub(crate) ts: i64,
    /// The stored text; `None` for a removal.
    pub(crate) document: Option<Bytes>,
    /// The sequence number of the version before, if the item existed.
    pub(crate) previous_lsn: Option<u64>,
    /// The item's ordinal, which its resource id holds.
    pub(crate) ordinal: u64,
    /// When its time to live is over, in seconds since 1970.
    pub(crate) expires_at: Option<i64>,
}

impl Change {
    /// The text of the document, empty for a removal.
    pub(crate) fn text(&self) -> &str {
        // Stored documents were made from a `String`.
        self.document.as_deref().map_or("", |bytes| std::str::from_utf8(bytes).unwrap_or_default())
    }
}
