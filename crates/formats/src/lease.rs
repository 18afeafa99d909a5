//! Lease documents of the change feed processor's format.
//!
//! Readable by the .NET estimator and KEDA's scalers, and able to continue what a .NET processor left. Source: the
//! .NET SDK's `DocumentServiceLeaseCore` and `DocumentServiceLeaseCoreEpk` (azure-cosmos-dotnet-v3,
//! `Microsoft.Azure.Cosmos/src/ChangeFeedProcessor/LeaseManagement`). Version 0 names a partition key range, version 1 an
//! interval of effective partition keys. Top-level fields we do not know are kept, yet .NET drops them when it
//! writes; what must survive is in `properties`.
//!
//! A document that could be understood in two ways is refused: whoever follows the wrong range, or a position that is none,
//! loses changes. `wire` reads and writes the documents; `docs/operations.md` explains their fields to operators.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod strict;
mod wire;

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

    /// What the two have in common; none where that is nothing.
    pub fn common(&self, other: &Self) -> Option<Self> {
        let (min, max) = ((&self.min).max(&other.min), (&self.max).min(&other.max));
        (min < max).then(|| Self::new(min.clone(), max.clone()))
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
    /// Not a JSON object, or one with a name twice.
    #[error("the lease document is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// A field of another type, or none where there must be one.
    #[error("the lease document {id:?} has no valid {field}: it must be {expected}")]
    Field {
        /// The document's id, as far as it has one.
        id: String,
        /// The field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// Neither `LeaseToken` nor the older `PartitionId`.
    #[error("the lease document {0:?} has no LeaseToken")]
    NoToken(String),
    /// `LeaseToken` and the older `PartitionId` name two ranges.
    #[error(
        "the lease document {id:?} names two ranges, LeaseToken {token:?} and PartitionId {partition:?}: remove the wrong \
         one, with every processor stopped"
    )]
    TwoTokens {
        /// The document's id.
        id: String,
        /// `LeaseToken`.
        token: String,
        /// `PartitionId`.
        partition: String,
    },
    /// A `FeedRange` that is not an interval `[min,max)` of effective partition keys.
    #[error(
        "the lease document {id:?} does not stand for an interval [min,max) of effective partition keys: {why}; with every \
         processor stopped, correct its FeedRange or remove the document, whose range is then read anew"
    )]
    Range {
        /// The document's id.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// A version this program does not know.
    #[error("the lease document {id:?} has version {version}; this program knows 0 and 1")]
    Version {
        /// The document's id.
        id: String,
        /// Its version.
        version: u64,
    },
    /// Written by the Java processor, which names documents or notes positions otherwise.
    #[error(
        "the lease document {id:?} was written by the Java change feed processor ({form}): stop that processor and convert \
         its leases, once, as \"Taking over from a Java processor\" in docs/operations.md tells"
    )]
    Java {
        /// The document's id.
        id: String,
        /// How that is seen.
        form: &'static str,
    },
}

impl Lease {
    /// Whether the lease follows every version and delete.
    pub fn is_all_versions(&self) -> bool {
        self.mode.as_deref() == Some(MODE_ALL_VERSIONS)
    }
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
mod tests;
