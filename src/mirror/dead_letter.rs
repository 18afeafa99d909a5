//! Changes that cannot be stored as versions, kept whole with the reason and their place in the feed.
//!
//! The name is made of the range, the LSN and the hash of the bytes (of a delete, which has none: of its document's name and its
//! identity), so a page that is read again finds its dead letters stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cosmirror_formats::records::{DeadLetter, FORMAT};
use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{EpkRange, MirrorPaths, Version};

use super::checkpoint::lsn_of;
use super::plan::{Incoming, Unreadable};
use super::write::Terms;
use crate::failure::Failure;
use crate::records;
use crate::store::{Condition, Put};

/// A dead letter and the hash that names it.
pub struct Letter {
    record: DeadLetter,
    sha256: String,
}

/// For an entry that could not be understood.
pub fn unreadable(entry: &Unreadable, page: &str, terms: &Terms) -> Letter {
    let lsn = lsn_of(page).unwrap_or_default();
    letter(&entry.entry, entry.reason.clone(), lsn, page, terms)
}

/// For a version that the target refuses for good, as it was to be stored in the blob `name`.
pub fn refused(
    name: &str,
    version: &Version,
    incoming: &Incoming,
    failure: &Failure,
    page: &str,
    terms: &Terms,
) -> Letter {
    let lsn = version.lsn.or_else(|| lsn_of(page)).unwrap_or_default();
    let mut letter = letter(&incoming.body, failure.message.clone(), lsn, page, terms);
    letter.record.id = Some(version.id.clone());
    letter.record.partition_key = Some(version.pk.to_json());
    letter.record.ts = Some(version.ts);
    letter.record.metadata = Some(version.to_metadata());
    letter.record.place = Some(incoming.place);
    if incoming.body.is_empty() {
        // Deletes of one transaction share their LSN and have no bytes that would tell them apart.
        letter.sha256 = sha256_hex(format!("{name}\n{}", version.identity()).as_bytes());
    }
    letter
}

fn letter(raw: &Bytes, reason: String, lsn: u64, page: &str, terms: &Terms) -> Letter {
    let record = DeadLetter {
        format: FORMAT,
        reason,
        range: terms.range.clone(),
        lineage: terms.lineage.clone(),
        lsn,
        page: page.to_owned(),
        id: None,
        partition_key: None,
        ts: None,
        place: None,
        metadata: None,
        raw_base64: STANDARD.encode(raw),
        resolved: false,
        resolution: None,
    };
    Letter { record, sha256: sha256_hex(raw) }
}

impl Letter {
    /// What its name ends with.
    pub fn hash(&self) -> &str {
        &self.sha256
    }

    /// Why it is one.
    pub fn reason(&self) -> &str {
        &self.record.reason
    }

    /// The put that stores it, unless it is there.
    pub fn put(&self, paths: &MirrorPaths, range: &EpkRange) -> Put {
        let name = paths.dead_letter(range, self.record.lsn, &self.sha256);
        records::put(name, &self.record, Condition::Absent)
    }
}
