//! Reading a mirror: the versions of a document in source order, and its state at an instant.
//!
//! | step | file |
//! |---|---|
//! | list versions with their metadata, grouped by document | `history/groups.rs` |
//! | the same of two mirrors beside each other | `history/pairs.rs` |
//! | add the dead letters whose document is known | `history/dead_letters.rs` |
//! | put them in source order, each identity once | `history/order.rs` |
//! | the state at an instant, and what cannot be known | `history/point.rs` |
//! | whether its time to live had run out | `history/expiry.rs` |
//! | the window in which instants can be asked for at all | `history/coverage.rs` |
//! | the bytes, held against their hash | `history/reader.rs` |
//! | which containers a place holds mirrors of | `history/mirrored.rs` |
//! | which versions a restore wrote | `history/origin.rs` |
//! | the partition keys under which an id occurs | `history/find.rs` |
//! | which histories were erased | `history/purges.rs` |
//!
//! Nothing here writes. Reading needs neither the source nor the leases: the mirror describes itself. Versions of all
//! lives of a container are one history; what belongs to an earlier life is absent from the moment of recreation.

use bytes::Bytes;
use cosmirror_formats::records::Gap;
use cosmirror_formats::{PartitionKey, Version};
use serde::{Deserialize, Serialize};

mod coverage;
mod dead_letters;
mod expiry;
mod find;
mod groups;
#[cfg(test)]
pub(crate) mod memory;
mod mirrored;
mod order;
mod origin;
mod pairs;
mod point;
mod purges;
mod reader;

pub use coverage::Coverage;
pub(crate) use coverage::instant;
pub use dead_letters::unresolved as unresolved_dead_letters;
pub(crate) use dead_letters::{
    Letter, encryption as dead_letter_encryption, incoming as dead_letter_version, resolution,
};
pub use expiry::{DefaultTtls, Expiry};
pub(crate) use groups::groups;
pub use mirrored::{Mirrored, mirrored};
pub(crate) use order::source_order;
pub use origin::{Origins, origins};
pub(crate) use pairs::{Pair, pairs};
pub use point::State;
pub use purges::Purges;
pub use reader::{MirrorReader, described, key_definition};

/// Where the bytes of a version are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In a version of the document's blob.
    Version {
        /// The blob's name.
        name: String,
        /// The store's name of the version.
        version: String,
    },
    /// In a dead letter that was not replayed.
    DeadLetter {
        /// The record's name.
        name: String,
    },
}

impl Place {
    /// What names this version on the command line: the store's version id, or `dead-letter:` and the record's name.
    pub fn version(&self) -> String {
        match self {
            Self::Version { version, .. } => version.clone(),
            Self::DeadLetter { name } => format!("dead-letter:{name}"),
        }
    }
}

/// One version of a document, without its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its metadata.
    pub version: Version,
    /// Where its bytes are.
    pub place: Place,
    /// How many bytes that are.
    pub length: u64,
    /// Whether it is the store's current version.
    pub current: bool,
    /// The life of the container that it belongs to.
    pub life: Life,
}

/// One life of a container: it ends when the container is removed, and what it held is absent from then on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Life {
    /// When the mirror first saw it, in seconds since 1970; none of the first one, or where it is not known.
    pub began: Option<i64>,
    /// When the mirror first saw the next one; none of the present one.
    pub ended: Option<i64>,
}

/// A change of a document that is known to exist but cannot be read: a dead letter that no parser understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its commit time in seconds since 1970, where it is known.
    pub ts: Option<i64>,
    /// The dead letter's name.
    pub name: String,
}

/// Everything the mirror holds of one document, without bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentHistory {
    /// The document's partition key.
    pub key: PartitionKey,
    /// The document's id.
    pub id: String,
    /// Its versions in source order, oldest first, each identity once.
    pub entries: Vec<Entry>,
    /// Changes that cannot be read.
    pub unreadable: Vec<Unreadable>,
}

impl DocumentHistory {
    /// Whether the mirror has never heard of the document.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.unreadable.is_empty()
    }

    /// The version with this name (see [`Place::version`]).
    pub fn version(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.place.version() == name)
    }

    /// Whether the version directly beneath this one is gone from the mirror.
    pub(crate) fn lacks_beneath(&self, entry: &Entry) -> bool {
        let beneath = entry.version.prev.as_ref();
        beneath.is_some_and(|beneath| self.entries.iter().all(|entry| entry.version.identity() != *beneath))
    }

    /// Whether its history was purged up to an instant behind `at`.
    pub(crate) fn is_purged_behind(&self, at: i64) -> bool {
        self.entries.iter().any(|entry| entry.version.is_purge() && entry.version.ts > at)
    }

    /// The document's state at the end of second `at`.
    pub fn state_at(&self, at: i64) -> State<'_> {
        point::state_at(self, at)
    }

    /// The state directly before the version with this etag; none where there is no such version.
    pub fn state_before(&self, etag: &str, gaps: &[Gap]) -> Option<State<'_>> {
        point::state_before(self, etag, gaps)
    }

    /// For an instant whose state is not known: the newest known state up to it, and the next one after it.
    pub fn known_around(&self, at: i64) -> (State<'_>, Option<State<'_>>) {
        point::known_around(self, at)
    }
}

/// A document's text without the service's properties, as a client would send it. The error names no content.
pub(crate) fn client_text(document: &[u8], what: &str) -> Result<Bytes, crate::failure::Failure> {
    let text = std::str::from_utf8(document).ok();
    let stripped = text.and_then(|text| cosmirror_formats::feed_page::without_system_properties(text).ok());
    stripped.map(Bytes::from).ok_or_else(|| {
        crate::failure::Failure::new(crate::failure::Kind::Integrity, format!("{what} is not a JSON document"))
    })
}
