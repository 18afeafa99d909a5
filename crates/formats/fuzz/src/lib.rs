//! Hostile input for everything that cosmirror persists or decodes, and for the conditions that select documents.
//!
//! Each file of `fuzz_targets` names what must hold and panics where it does not; this library makes the identifiers and versions
//! they have in common out of the fuzzer's bytes. A finding is fixed in `cosmirror-formats` or `cosmirror-sql` and kept
//! there as a test.
//!
//! `cargo fuzz run -s none TARGET -- -max_len=4096` in `crates/formats` needs no nightly toolchain. `seeds/TARGET` holds what a search
//! begins with; what it finds on its way goes to `corpus`, which is not kept.

use cosmirror_formats::{KeyValue, Op, PartitionKey, Version};
use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// Longest partition key, in components.
const LEVELS_MAX: usize = 3;
/// Longest text that comes of repeating one; the service allows an id 1,023 bytes and a key 2,048.
const REPEATED_BYTES_MAX: usize = 2_048;

fn repeated(text: &str, times: u8) -> String {
    text.repeat(usize::from(times).min(REPEATED_BYTES_MAX / text.len().max(1)).max(1))
}

/// Any value of a partition key.
#[derive(Arbitrary, Debug, Clone)]
pub enum AnyValue {
    /// As it is.
    String(String),
    /// The same many times, for names that are too long.
    Long(String, u8),
    /// What is not finite counts as 0.
    Number(f64),
    /// Numbers that occur.
    Small(i8),
    /// Either.
    Bool(bool),
    /// JSON `null`.
    Null,
    /// Not there.
    Undefined,
}

impl AnyValue {
    fn value(&self) -> KeyValue {
        match self {
            Self::String(text) => KeyValue::String(text.clone()),
            Self::Long(text, times) => KeyValue::String(repeated(text, *times)),
            Self::Number(number) => KeyValue::Number(if number.is_finite() { *number } else { 0.0 }),
            Self::Small(number) => KeyValue::Number((*number).into()),
            Self::Bool(value) => KeyValue::Bool(*value),
            Self::Null => KeyValue::Null,
            Self::Undefined => KeyValue::Undefined,
        }
    }
}

/// What names a document.
#[derive(Arbitrary, Debug, Clone)]
pub struct AnyDocument {
    key: Vec<AnyValue>,
    id: String,
    times: u8,
}

impl AnyDocument {
    /// A key of one to three components.
    pub fn key(&self) -> PartitionKey {
        let mut values: Vec<KeyValue> = self.key.iter().take(LEVELS_MAX).map(AnyValue::value).collect();
        if values.is_empty() {
            values.push(KeyValue::Undefined);
        }
        PartitionKey(values)
    }

    /// An id, never empty.
    pub fn id(&self) -> String {
        let id = repeated(&self.id, self.times);
        if id.is_empty() { "0".to_owned() } else { id }
    }
}

/// Any version of any document.
#[derive(Arbitrary, Debug, Clone)]
pub struct AnyVersion {
    /// Which document.
    pub document: AnyDocument,
    op: u8,
    ts: i64,
    lsn: Option<u64>,
    nth: Option<u32>,
    lineage: String,
    etag: Option<String>,
    rid: String,
    prev: Option<String>,
    after: Option<i64>,
    omitted: Option<u32>,
    recipients: Vec<u64>,
    body: Vec<u8>,
}

impl AnyVersion {
    /// The version.
    pub fn version(&self) -> Version {
        if self.op == u8::MAX {
            return Version::purge(self.ts, &self.rid, &self.document.id(), &self.document.key());
        }
        let ops = [Op::Create, Op::Replace, Op::Delete, Op::Expire, Op::Backfill, Op::Reconcile];
        Version {
            op: ops[usize::from(self.op) % ops.len()],
            ts: self.ts,
            lsn: self.lsn,
            nth: self.nth,
            lineage: self.lineage.clone(),
            etag: self.etag.clone(),
            rid: self.rid.clone(),
            id: self.document.id(),
            pk: self.document.key(),
            prev: self.prev.clone(),
            after: self.after,
            omitted: self.omitted,
            encryption: (!self.recipients.is_empty()).then(|| cosmirror_formats::Encryption {
                recipients: self.recipients.iter().map(|id| format!("{id:016x}")).collect(),
            }),
            sha256: cosmirror_formats::version::sha256_hex(&self.body),
        }
    }
}
