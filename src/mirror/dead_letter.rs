//! Changes that cannot be stored as versions, kept whole with the reason and their place in the feed.
//!
//! The name is made of the range, the LSN and the hash of the bytes (of a delete, which has none: of its document's name and its
//! identity), so a page that is read again finds its dead letters stored. Where content is encrypted the bytes of a version are not hashed
//! either: their hash would tell whoever guesses them that the guess is right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cosmirror_formats::records::{DeadLetter, FORMAT};
use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{EpkRange, MirrorPaths, Version};

use super::checkpoint::lsn_of;
use super::plan::{Incoming, Unreadable};
use super::write::Terms;
use crate::encryption::Recipients;
use crate::failure::Failure;
use crate::records;
use crate::store::{Condition, Put};

/// A dead letter and the hash that names it.
pub struct Letter {
    /// Without its bytes.
    record: DeadLetter,
    raw: Bytes,
    sha256: String,
    /// The hash of the name of the document's blob and the version's identity, where both are known.
    of_version: Option<String>,
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
    let of_version = sha256_hex(format!("{name}\n{}", version.identity()).as_bytes());
    if incoming.body.is_empty() {
        // Deletes of one transaction share their LSN and have no bytes that would tell them apart.
        letter.sha256.clone_from(&of_version);
    }
    letter.of_version = Some(of_version);
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
        raw_base64: String::new(),
        encryption: None,
        resolved: false,
        resolution: None,
    };
    Letter { record, raw: raw.clone(), sha256: sha256_hex(raw), of_version: None }
}

impl Letter {
    /// The same with its content encrypted. The reason and the document's id and key stay readable: a listing tells them.
    pub fn encrypted(mut self, recipients: &Recipients) -> Result<Self, Failure> {
        if self.raw.is_empty() {
            return Ok(self);
        }
        self.raw = match &mut self.record.metadata {
            Some(metadata) => recipients.encrypt_version(&self.raw, metadata)?,
            None => recipients.encrypt(&self.raw)?,
        };
        self.record.encryption = Some(recipients.encryption().to_string());
        self.sha256 = self.of_version.take().unwrap_or(self.sha256);
        Ok(self)
    }

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
        let record = DeadLetter { raw_base64: STANDARD.encode(&self.raw), ..self.record.clone() };
        records::put(name, &record, Condition::Absent)
    }
}
