//! Lease documents of the change feed processor's format.
//!
//! Readable by the .NET estimator and KEDA's scalers, and able to continue what a .NET processor left. Source: the
//! .NET SDK's `DocumentServiceLeaseCore` and `DocumentServiceLeaseCoreEpk` (azure-cosmos-dotnet-v3,
//! `Microsoft.Azure.Cosmos/src/ChangeFeedProcessor/LeaseManagement`). Version 0 names a partition key range, version 1 an
//! interval of effective partition keys. Top-level fields we do not know are kept, yet .NET drops them when it
//! writes; what must survive is in `properties`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An interval `[min, max)` of effective partition keys in upper-case hex; `""` is the beginning and `FF` the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EpkRange {
    /// Inclusive lower bound.
    pub min: String,
    /// Exclusive upper bound.
    pub max: String,
}

impl EpkRange {
    /// An interval from its bounds.
    pub fn new(min: impl Into<String>, max: impl Into<String>) -> Self {
        Self { min: min.into(), max: max.into() }
    }

    /// The whole key space.
    pub fn full() -> Self {
        Self::new("", "FF")
    }

    /// Whether the two have a key in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.min < other.max && other.min < self.max
    }
}

impl std::fmt::Display for EpkRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{},{})", self.min, self.max)
    }
}

/// The first holes between `ranges` over the whole key space; empty if they cover it.
pub fn uncovered(ranges: &[EpkRange]) -> Vec<EpkRange> {
    let mut sorted: Vec<&EpkRange> = ranges.iter().collect();
    sorted.sort();
    let mut holes = Vec::new();
    let mut covered_to = String::new();
    for range in sorted {
        if range.min > covered_to {
            holes.push(EpkRange::new(covered_to.clone(), range.min.clone()));
        }
        if range.max > covered_to {
            covered_to.clone_from(&range.max);
        }
    }
    if covered_to.as_str() < "FF" {
        holes.push(EpkRange::new(covered_to, "FF"));
    }
    holes
}

/// The value of `Mode` for latest-version feeds.
pub const MODE_LATEST_VERSION: &str = "Incremental Feed";
/// The value of `Mode` for feeds of all versions and deletes.
pub const MODE_ALL_VERSIONS: &str = "Full-Fidelity Feed";

/// One lease: who follows a range, and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The document's id.
    pub id: String,
    /// 0: `token` is a partition key range id. 1: it is `{min}-{max}`.
    pub version: u64,
    /// `LeaseToken`.
    pub token: String,
    /// `FeedRange`; old leases have none.
    pub range: Option<EpkRange>,
    /// `Owner`; none when free.
    pub owner: Option<String>,
    /// `ContinuationToken`: the etag of the last durable page, with its quotes; none before the first.
    pub continuation: Option<String>,
    /// The processor's own state; survives replacement by .NET and is copied to the children of a split.
    pub properties: BTreeMap<String, String>,
    /// `timestamp` as it stands: RFC 3339.
    pub timestamp: String,
    /// `Mode` as it stands; none means latest version.
    pub mode: Option<String>,
    /// Fields of others.
    pub unknown: Map<String, Value>,
}

/// Why a document in the lease container could not be read as a lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Not JSON of the expected shape.
    #[error("the lease document is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// Neither `LeaseToken` nor the older `PartitionId`.
    #[error("the lease document {0:?} has no LeaseToken")]
    NoToken(String),
    /// A version this program does not know.
    #[error("the lease document {id:?} has version {version}; this program knows 0 and 1")]
    Version {
        /// The document's id.
        id: String,
        /// Its version.
        version: u64,
    },
    /// Written by the Java processor, whose tokens have another form.
    #[error(
        "the lease document {0:?} was written by the Java change feed processor, whose tokens differ: stop that \
         processor and configure another leases.processor name, so that cosmirror creates leases of its own"
    )]
    Java(String),
}

impl Lease {
    /// Reads a lease document of any of the .NET forms.
    pub fn from_json(bytes: &[u8]) -> Result<Self, LeaseError> {
        let wire: Wire = serde_json::from_slice(bytes)?;
        let version = wire.version.unwrap_or(0);
        if version > 1 {
            return Err(LeaseError::Version { id: wire.id, version });
        }
        if wire.continuation.as_deref().is_some_and(is_java_token) {
            return Err(LeaseError::Java(wire.id));
        }
        let Some(token) = wire.token.or(wire.partition_id) else {
            return Err(LeaseError::NoToken(wire.id));
        };
        Ok(Self {
            id: wire.id,
            version,
            token,
            range: wire.feed_range.map(|feed_range| feed_range.range),
            owner: wire.owner.filter(|owner| !owner.is_empty()),
            continuation: wire.continuation.filter(|token| !token.is_empty()),
            properties: wire.properties.unwrap_or_default(),
            timestamp: wire.timestamp.unwrap_or_default(),
            mode: wire.mode,
            unknown: wire.unknown,
        })
    }

    /// The document to write. The system properties of the one that was read are left out.
    pub fn to_json(&self) -> Vec<u8> {
        let mut unknown = self.unknown.clone();
        for system in ["_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"] {
            unknown.remove(system);
        }
        let wire = Wire {
            id: self.id.clone(),
            version: Some(self.version),
            token: Some(self.token.clone()),
            partition_id: None,
            feed_range: self.range.clone().map(|range| FeedRange { range }),
            owner: self.owner.clone(),
            continuation: self.continuation.clone(),
            properties: Some(self.properties.clone()),
            timestamp: Some(self.timestamp.clone()),
            mode: self.mode.clone(),
            unknown,
        };
        // A map of strings and plain values has no failing serialisation.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Whether the lease follows every version and delete.
    pub fn is_all_versions(&self) -> bool {
        self.mode.as_deref() == Some(MODE_ALL_VERSIONS)
    }
}

/// The Java processor stores base64 of a JSON object with a version where .NET stores an etag.
fn is_java_token(token: &str) -> bool {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(token);
    decoded.is_ok_and(|bytes| bytes.first() == Some(&b'{'))
}

#[derive(Serialize, Deserialize)]
struct FeedRange {
    #[serde(rename = "Range")]
    range: EpkRange,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    id: String,
    #[serde(default)]
    version: Option<u64>,
    #[serde(rename = "LeaseToken", default)]
    token: Option<String>,
    #[serde(rename = "PartitionId", default, skip_serializing)]
    partition_id: Option<String>,
    #[serde(rename = "FeedRange", default, skip_serializing_if = "Option::is_none")]
    feed_range: Option<FeedRange>,
    #[serde(rename = "Owner", default)]
    owner: Option<String>,
    #[serde(rename = "ContinuationToken", default)]
    continuation: Option<String>,
    #[serde(default)]
    properties: Option<BTreeMap<String, String>>,
    #[serde(default)]
    timestamp: Option<String>,
    #[serde(rename = "Mode", default)]
    mode: Option<String>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The beginning of every id that belongs to one processor on one container:
/// `{processor}{host}_{database rid}_{container rid}`. `host` is that of the configured endpoint, without its port.
pub fn id_prefix(processor: &str, host: &str, container_rid: &str) -> Option<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let rid = STANDARD.decode(container_rid.replace('-', "/")).ok()?;
    let database = STANDARD.encode(rid.get(..4)?).replace('/', "-");
    Some(format!("{processor}{host}_{database}_{container_rid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: &str = r#"{"id":"mirroracct.documents.azure.com_TQxHAA==_TQxHAKF8vo8=..0","version":0,"LeaseToken":"0","FeedRange":{"Range":{"min":"","max":"FF"}},"Owner":"pod-7f","ContinuationToken":"\"1526353662\"","properties":{},"timestamp":"2026-08-07T18:56:44.1234567Z","Mode":"Incremental Feed"}"#;

    #[test]
    fn golden_lease_of_version_0() {
        let lease = Lease::from_json(NET.as_bytes()).unwrap();
        assert_eq!(lease.continuation.as_deref(), Some("\"1526353662\""));
        assert_eq!(lease.range, Some(EpkRange::full()));
        assert_eq!(String::from_utf8(lease.to_json()).unwrap(), NET);
    }

    #[test]
    fn old_leases_name_a_partition_and_lack_most_fields() {
        let old = r#"{"id":"a..7","PartitionId":"7","ContinuationToken":"","Owner":"","_etag":"x","_ts":1,"foreign":{"a":1}}"#;
        let lease = Lease::from_json(old.as_bytes()).unwrap();
        assert_eq!((lease.token.as_str(), lease.version), ("7", 0));
        assert_eq!((&lease.owner, &lease.continuation), (&None, &None));
        let written = String::from_utf8(lease.to_json()).unwrap();
        assert!(written.contains(r#""foreign":{"a":1}"#) && !written.contains("_etag"), "{written}");
        assert!(written.contains(r#""ContinuationToken":null"#), "{written}");
    }

    #[test]
    fn java_and_later_leases_are_refused_with_the_way_out() {
        let java = r#"{"id":"a","LeaseToken":"0","ContinuationToken":"eyJWIjoxfQ=="}"#;
        assert!(Lease::from_json(java.as_bytes()).unwrap_err().to_string().contains("Java"));
        let later = r#"{"id":"a","LeaseToken":"0","version":2}"#;
        assert!(matches!(Lease::from_json(later.as_bytes()), Err(LeaseError::Version { version: 2, .. })));
    }

    #[test]
    fn ids_carry_host_and_resource_ids() {
        let prefix = id_prefix("cosmirror", "acct.documents.azure.com", "TQxHAKF8vo8=").unwrap();
        assert_eq!(prefix, "cosmirroracct.documents.azure.com_TQxHAA==_TQxHAKF8vo8=");
        assert_eq!(id_prefix("p", "h", "not base64"), None);
    }

    #[test]
    fn holes_between_leases_are_found() {
        let range = EpkRange::new;
        assert!(uncovered(&[EpkRange::full()]).is_empty());
        assert!(uncovered(&[range("20", "FF"), range("", "10"), range("10", "20")]).is_empty());
        assert_eq!(uncovered(&[range("", "10"), range("20", "3F")]), [range("10", "20"), range("3F", "FF")]);
        assert_eq!(uncovered(&[]), [EpkRange::full()]);
    }
}
