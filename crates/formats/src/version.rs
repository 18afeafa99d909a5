//! The metadata that rides with every version, in the same request as the bytes.
//!
//! Names are C# identifiers and values ASCII, as Azure asks of `x-ms-meta-*`; ids and partition keys are base64url
//! because they may hold any character. Format number 1, and 2 where the content is [encrypted](Encryption), so that a reader that
//! knows of no encryption refuses it instead of taking it for a document. Format number 3 is the mark of a purge, for the same reason: a
//! reader that does not know it would take what is beneath for the document's history.
//!
//! | name | value |
//! |---|---|
//! | `format` | `1`, or `2` with `encryption`, or `3` with `op` `purge` |
//! | `op` | `create`, `replace`, `delete`, `expire`, `backfill`, `reconcile`, `purge` |
//! | `ts` | the source's commit time, seconds since 1970; of a purge, up to when what was committed is purged |
//! | `lsn` | the change's log sequence number, where the feed told it |
//! | `nth` | which of several deletes of one document in one transaction, from 2; absent for the first or only one |
//! | `lineage` | the unbroken sequence that the LSN belongs to |
//! | `etag` | the document's `_etag`, absent for deletes |
//! | `rid` | the resource id of the source container: its generation |
//! | `id` | base64url of the document's id |
//! | `pk` | base64url of the partition key as a JSON array |
//! | `prev` | identity of the version beneath, absent for the first |
//! | `after` | latest-version mode, and behind a gap: up to here the range was completely mirrored before, seconds since 1970. With `omitted`: the last second before the first change that was left out |
//! | `omitted` | how many changes between the version beneath and this one were left out on purpose; absent where none was |
//! | `encryption` | how the stored bytes are encrypted; absent where they are not |
//! | `sha256` | lower-case hex over the stored bytes |

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::blob_name::hex;
use crate::encryption::Encryption;
use crate::partition_key::PartitionKey;

/// The number that `format` holds where the bytes are stored as they came.
pub const FORMAT: &str = "1";
/// The number that `format` holds where the bytes are encrypted.
pub const ENCRYPTED_FORMAT: &str = "2";
/// The number that `format` holds in the mark of a purge.
pub const PURGE_FORMAT: &str = "3";
/// What the identity of a purge's mark begins with, and no other: an etag begins with its quote.
const PURGE_IDENTITY: &str = "purge:";

/// What brought a version about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// The document did not exist before.
    Create,
    /// The document existed before.
    Replace,
    /// A tombstone: the document was deleted.
    Delete,
    /// A tombstone: the document's time to live ran out.
    Expire,
    /// Found by the first reading of what existed before following began.
    Backfill,
    /// Found by comparing store and mirror.
    Reconcile,
    /// A tombstone: the document's history was erased up to here.
    Purge,
}

impl Op {
    /// The word used in metadata and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Expire => "expire",
            Self::Backfill => "backfill",
            Self::Reconcile => "reconcile",
            Self::Purge => "purge",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Op {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        let all =
            [Self::Create, Self::Replace, Self::Delete, Self::Expire, Self::Backfill, Self::Reconcile, Self::Purge];
        all.into_iter().find(|op| op.as_str() == s).ok_or(())
    }
}

/// Metadata of one stored version.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// What brought it about.
    pub op: Op,
    /// The source's commit time, seconds since 1970.
    pub ts: i64,
    /// Log sequence number, where the feed told it.
    pub lsn: Option<u64>,
    /// Which of several deletes of this document in one transaction, from 2; none for the first or only one.
    pub nth: Option<u32>,
    /// The unbroken sequence that `lsn` belongs to.
    pub lineage: String,
    /// The document's `_etag` with its quotes; none makes this version a tombstone.
    pub etag: Option<String>,
    /// Resource id of the source container.
    pub rid: String,
    /// The document's id.
    pub id: String,
    /// The document's partition key.
    pub pk: PartitionKey,
    /// Identity of the version beneath.
    pub prev: Option<String>,
    /// Up to here the version beneath held; what was between this second and `ts` is not known. Latest-version mode, reconciliations,
    /// and where changes were left out.
    pub after: Option<i64>,
    /// Changes beneath this version that were left out on purpose; `after` then says since when nothing is known.
    pub omitted: Option<u32>,
    /// How the stored bytes are encrypted; none where they are the document's text.
    pub encryption: Option<Encryption>,
    /// Lower-case hex of the SHA-256 over the stored bytes.
    pub sha256: String,
}

/// Why metadata could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VersionError {
    /// A field that must be there is not.
    #[error("metadata lacks `{0}`: this blob was not written by cosmirror, or its metadata was changed")]
    Missing(&'static str),
    /// A field holds something else than its format allows.
    #[error("metadata field `{field}` holds {value:?}, which is not valid")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// Written by a later program.
    #[error("metadata has format {0}, this program reads formats 1 to 3: use the release that wrote it")]
    Format(String),
    /// The blob's name and its metadata speak of different documents.
    #[error("the blob {path:?} holds the document {id:?} of another path: its name collided or it was copied there")]
    WrongPath {
        /// The blob's name.
        path: String,
        /// The id in its metadata.
        id: String,
    },
}

impl Version {
    /// What tells this version of its document from every other: the etag, or place in the log for a delete.
    pub fn identity(&self) -> String {
        match &self.etag {
            Some(etag) => etag.clone(),
            None if self.op == Op::Purge => format!("{PURGE_IDENTITY}{}", self.ts),
            None => delete_identity(&self.lineage, self.lsn, self.nth, self.ts),
        }
    }

    /// Whether this version says that the document does not exist.
    pub fn is_tombstone(&self) -> bool {
        self.etag.is_none()
    }

    /// Whether this is a tombstone that a reconciliation wrote. The feed's own tell when the document was deleted; a reconciliation's
    /// time is only the end of an interval in which it vanished.
    pub fn is_of_reconciliation(&self) -> bool {
        self.is_tombstone() && (self.op == Op::Reconcile || (self.after.is_some() && self.omitted.is_none()))
    }

    /// The mark of a purge: what was committed up to this second is erased, and nothing of it is stored again.
    pub fn purge(until: i64, rid: &str, id: &str, pk: &PartitionKey) -> Self {
        Self {
            op: Op::Purge,
            ts: until,
            lsn: None,
            nth: None,
            lineage: rid.to_owned(),
            etag: None,
            rid: rid.to_owned(),
            id: id.to_owned(),
            pk: pk.clone(),
            prev: None,
            after: None,
            omitted: None,
            encryption: None,
            sha256: sha256_hex(b""),
        }
    }

    /// Whether this version is the mark of a purge.
    pub fn is_purge(&self) -> bool {
        self.op == Op::Purge
    }

    /// The fields as metadata.
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                map.insert(name.to_owned(), value);
            }
        };
        let format = match &self.encryption {
            _ if self.is_purge() => PURGE_FORMAT,
            Some(_) => ENCRYPTED_FORMAT,
            None => FORMAT,
        };
        set("format", Some(format.to_owned()));
        set("op", Some(self.op.to_string()));
        set("ts", Some(self.ts.to_string()));
        set("lsn", self.lsn.map(|lsn| lsn.to_string()));
        set("nth", self.nth.map(|nth| nth.to_string()));
        set("lineage", Some(self.lineage.clone()));
        set("etag", self.etag.clone());
        set("rid", Some(self.rid.clone()));
        set("id", Some(URL_SAFE_NO_PAD.encode(&self.id)));
        set("pk", Some(URL_SAFE_NO_PAD.encode(self.pk.to_string())));
        set("prev", self.prev.clone());
        set("after", self.after.map(|after| after.to_string()));
        set("omitted", self.omitted.map(|omitted| omitted.to_string()));
        set("encryption", self.encryption.as_ref().map(Encryption::to_string));
        set("sha256", Some(self.sha256.clone()));
        map
    }

    /// Reads metadata back. Names are compared without case: HTTP headers have none.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self, VersionError> {
        let fields = Fields(metadata);
        let encryption: Option<Encryption> = fields.parsed("encryption")?;
        match (fields.required("format")?, &encryption) {
            (FORMAT, None) | (ENCRYPTED_FORMAT, Some(_)) => {}
            (FORMAT, Some(_)) => return Err(fields.invalid("encryption")),
            (ENCRYPTED_FORMAT, None) => return Err(VersionError::Missing("encryption")),
            (PURGE_FORMAT, None) => {}
            (PURGE_FORMAT, Some(_)) => return Err(fields.invalid("encryption")),
            (format, _) => return Err(VersionError::Format(format.to_owned())),
        }
        let op = fields.parsed::<Op>("op")?.ok_or(VersionError::Missing("op"))?;
        let etag = fields.optional("etag").map(str::to_owned);
        if (op == Op::Purge) != (fields.required("format")? == PURGE_FORMAT) || op == Op::Purge && etag.is_some() {
            return Err(fields.invalid("op"));
        }
        let pk = serde_json::from_str(&fields.decoded("pk")?).ok().and_then(|v| PartitionKey::from_json(&v));
        Ok(Self {
            op,
            ts: fields.parsed("ts")?.ok_or(VersionError::Missing("ts"))?,
            lsn: fields.parsed("lsn")?,
            nth: fields.parsed("nth")?,
            lineage: fields.required("lineage")?.to_owned(),
            etag,
            rid: fields.required("rid")?.to_owned(),
            id: fields.decoded("id")?,
            pk: pk.ok_or_else(|| fields.invalid("pk"))?,
            prev: fields.optional("prev").map(str::to_owned),
            after: fields.parsed("after")?,
            omitted: fields.parsed("omitted")?,
            encryption,
            sha256: fields.required("sha256")?.to_owned(),
        })
    }
}

/// The identity of a delete, which has no etag of its own: its place in the log, and its place among the deletes of the same
/// document there.
fn delete_identity(lineage: &str, lsn: Option<u64>, nth: Option<u32>, ts: i64) -> String {
    let nth = nth.map(|nth| format!("#{nth}")).unwrap_or_default();
    match lsn {
        Some(lsn) => format!("del:{lineage}:{lsn}{nth}"),
        None => format!("del:{lineage}:ts{ts}{nth}"),
    }
}

/// SHA-256 of stored bytes in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Up to when the purge goes whose mark has this identity; none of any other version.
pub fn purged_until(identity: &str) -> Option<i64> {
    identity.strip_prefix(PURGE_IDENTITY)?.parse().ok()
}

struct Fields<'a>(&'a BTreeMap<String, String>);

impl Fields<'_> {
    fn optional(&self, name: &str) -> Option<&str> {
        // Nearly always they are lower case already.
        let in_any_case = || self.0.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        self.0.get(name).or_else(in_any_case).map(String::as_str)
    }

    fn required(&self, name: &'static str) -> Result<&str, VersionError> {
        self.optional(name).ok_or(VersionError::Missing(name))
    }

    fn invalid(&self, field: &'static str) -> VersionError {
        VersionError::Invalid { field, value: self.optional(field).unwrap_or_default().to_owned() }
    }

    fn parsed<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, VersionError> {
        self.optional(name).map(|text| text.parse().map_err(|_| self.invalid(name))).transpose()
    }

    fn decoded(&self, name: &'static str) -> Result<String, VersionError> {
        let bytes = URL_SAFE_NO_PAD.decode(self.required(name)?).map_err(|_| self.invalid(name))?;
        String::from_utf8(bytes).map_err(|_| self.invalid(name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version() -> Version {
        Version {
            op: Op::Replace,
            ts: 1_700_000_000,
            lsn: Some(42),
            nth: None,
            lineage: "TQxHAKF8vo8=..FF".to_owned(),
            etag: Some("\"0100\"".to_owned()),
            rid: "TQxHAKF8vo8=".to_owned(),
            id: "☃ #%".to_owned(),
            pk: PartitionKey::from_json(&json!(["a", 1, null, {}])).unwrap(),
            prev: Some("\"00ff\"".to_owned()),
            after: Some(1_699_999_990),
            omitted: None,
            encryption: None,
            sha256: sha256_hex(b"{}"),
        }
    }

    #[test]
    fn golden_metadata() {
        let text: Vec<String> = version().to_metadata().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        let expected = [
            "after=1699999990",
            "etag=\"0100\"",
            "format=1",
            "id=4piDICMl",
            "lineage=TQxHAKF8vo8=..FF",
            "lsn=42",
            "op=replace",
            "pk=WyJhIiwxLG51bGwse31d",
            "prev=\"00ff\"",
            "rid=TQxHAKF8vo8=",
            "sha256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "ts=1700000000",
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn metadata_reads_back_whatever_the_case_of_its_names() {
        let upper = version().to_metadata().into_iter().map(|(k, v)| (k.to_uppercase(), v)).collect();
        assert_eq!(Version::from_metadata(&upper).unwrap(), version());
    }

    #[test]
    fn a_delete_is_known_by_its_place_in_the_log() {
        let delete = Version { op: Op::Delete, etag: None, ..version() };
        assert_eq!(delete.identity(), "del:TQxHAKF8vo8=..FF:42");
        assert!(Version::from_metadata(&delete.to_metadata()).unwrap().is_tombstone());
        let second = Version { nth: Some(2), ..delete };
        assert_eq!(second.identity(), "del:TQxHAKF8vo8=..FF:42#2");
        assert_eq!(Version::from_metadata(&second.to_metadata()).unwrap(), second);
    }

    #[test]
    fn a_delete_with_versions_left_out_beneath_it_is_still_the_feeds() {
        let delete = Version { op: Op::Delete, etag: None, ..version() };
        assert!(delete.is_of_reconciliation());
        let thinned = Version { omitted: Some(3), ..delete };
        assert!(!thinned.is_of_reconciliation());
        assert_eq!(thinned.to_metadata()["omitted"], "3");
        assert_eq!(Version::from_metadata(&thinned.to_metadata()).unwrap(), thinned);
    }

    #[test]
    fn what_is_encrypted_has_a_format_of_its_own_that_says_so() {
        let encryption = Encryption { recipients: vec!["00112233aabbccdd".to_owned(), "8899aabb00112233".to_owned()] };
        let encrypted = Version { encryption: Some(encryption.clone()), ..version() };
        let metadata = encrypted.to_metadata();
        assert_eq!(metadata["format"], "2");
        assert_eq!(metadata["encryption"], "age:00112233aabbccdd,8899aabb00112233");
        assert_eq!(Version::from_metadata(&metadata).unwrap(), encrypted);
        assert_eq!(encrypted.identity(), version().identity(), "it is the same version of its document");
        let mut marked = version().to_metadata();
        encryption.mark(&mut marked, encrypted.sha256.clone());
        assert_eq!(marked, metadata);
        for (format, encryption) in [("1", Some("age:00")), ("2", None), ("2", Some("rot13:00")), ("2", Some("age:"))] {
            let mut wrong = version().to_metadata();
            wrong.insert("format".to_owned(), format.to_owned());
            wrong.extend(encryption.map(|text| ("encryption".to_owned(), text.to_owned())));
            assert!(Version::from_metadata(&wrong).is_err(), "{format} {encryption:?}");
        }
    }

    #[test]
    fn the_mark_of_a_purge_has_a_format_of_its_own_and_says_up_to_when() {
        let mark = Version::purge(1_700_000_000, "rid", "id", &version().pk);
        let metadata = mark.to_metadata();
        assert_eq!((metadata["format"].as_str(), metadata["op"].as_str()), ("3", "purge"));
        assert_eq!(Version::from_metadata(&metadata).unwrap(), mark);
        assert!(mark.is_tombstone() && !mark.is_of_reconciliation());
        assert_eq!(purged_until(&mark.identity()), Some(1_700_000_000));
        assert_eq!([version(), Version { etag: None, ..version() }].map(|v| purged_until(&v.identity())), [None, None]);
        for (name, value) in [("format", "1"), ("op", "delete"), ("etag", "\"1\""), ("encryption", "age:00")] {
            let mut wrong = metadata.clone();
            wrong.insert(name.to_owned(), value.to_owned());
            assert!(Version::from_metadata(&wrong).is_err(), "{name}");
        }
    }

    #[test]
    fn foreign_or_later_metadata_is_refused_by_name() {
        assert_eq!(Version::from_metadata(&BTreeMap::new()), Err(VersionError::Missing("format")));
        let mut later = version().to_metadata();
        later.insert("format".to_owned(), "4".to_owned());
        assert_eq!(Version::from_metadata(&later), Err(VersionError::Format("4".to_owned())));
        let mut bad = version().to_metadata();
        bad.insert("lsn".to_owned(), "x".to_owned());
        assert!(matches!(Version::from_metadata(&bad), Err(VersionError::Invalid { field: "lsn", .. })));
    }
}
