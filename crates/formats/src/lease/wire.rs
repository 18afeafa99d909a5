//! Lease documents as bytes.
//!
//! Reading accepts what .NET processors of any age write and nothing that could be meant otherwise. Writing gives what the
//! present .NET processor writes, in its order. What has no field in [`Lease`] travels in `unknown`: fields of others;
//! `PartitionId`, for readers as old as the lease; a `FeedRange` without bounds; properties that are no strings.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Serialize;
use serde_json::{Map, Value};

use super::strict::Strict;
use super::{EpkRange, Lease, LeaseError};

const PARTITION_ID: &str = "PartitionId";
const FEED_RANGE: &str = "FeedRange";
const PROPERTIES: &str = "properties";
const TEXT: &str = "a string or null";

impl Lease {
    /// Reads a lease document of any of the .NET forms.
    pub fn from_json(bytes: &[u8]) -> Result<Self, LeaseError> {
        let Strict(value) = serde_json::from_slice(bytes)?;
        let Value::Object(map) = value else {
            return Err(LeaseError::Field { id: String::new(), field: "content", expected: "an object" });
        };
        let mut fields = Fields { id: String::new(), map };
        let Some(id) = fields.text("id")?.filter(|id| !id.is_empty()) else {
            return Err(fields.wrong("id", "a string that is not empty"));
        };
        fields.id = id;
        let version = fields.version()?;
        let timestamp = fields.text("timestamp")?.unwrap_or_default();
        let owner = fields.text("Owner")?.filter(|owner| !owner.trim().is_empty());
        let continuation = fields.text("ContinuationToken")?.filter(|token| !token.is_empty());
        fields.refuse_java(continuation.as_deref())?;
        let token = fields.token(version)?;
        let range = fields.range(version, &token)?;
        let mode = fields.text("Mode")?;
        let properties = fields.properties()?;
        let Fields { id, map: unknown } = fields;
        Ok(Self { id, version, token, range, owner, continuation, properties, timestamp, mode, unknown })
    }

    /// The document to write. The system properties of the one that was read are left out.
    pub fn to_json(&self) -> Vec<u8> {
        let mut others = self.unknown.clone();
        for system in ["_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"] {
            others.remove(system);
        }
        // Ours are written below.
        for own in ["id", "version", "LeaseToken", "Owner", "ContinuationToken", "timestamp", "Mode"] {
            others.remove(own);
        }
        match others.get_mut(PARTITION_ID) {
            Some(partition) if self.version == 0 => *partition = self.token.as_str().into(),
            _ => _ = others.remove(PARTITION_ID),
        }
        let kept = others.remove(FEED_RANGE).map(FeedRange::Kept);
        let feed_range = self.range.as_ref().map(|range| FeedRange::Bounds { range }).or(kept);
        let mut properties = match others.remove(PROPERTIES) {
            Some(Value::Object(odd)) => odd,
            _ => Map::new(),
        };
        properties.extend(self.properties.iter().map(|(name, value)| (name.clone(), value.as_str().into())));
        let wire = Wire {
            id: &self.id,
            version: self.version,
            token: &self.token,
            feed_range,
            owner: self.owner.as_deref(),
            continuation: self.continuation.as_deref(),
            properties,
            timestamp: Some(self.timestamp.as_str()).filter(|timestamp| !timestamp.is_empty()),
            mode: self.mode.as_deref(),
            others,
        };
        // A map of strings and plain values has no failing serialisation.
        serde_json::to_vec(&wire).unwrap_or_default()
    }
}

/// The order is .NET's.
#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    version: u64,
    #[serde(rename = "LeaseToken")]
    token: &'a str,
    #[serde(rename = "FeedRange", skip_serializing_if = "Option::is_none")]
    feed_range: Option<FeedRange<'a>>,
    #[serde(rename = "Owner")]
    owner: Option<&'a str>,
    #[serde(rename = "ContinuationToken")]
    continuation: Option<&'a str>,
    properties: Map<String, Value>,
    timestamp: Option<&'a str>,
    #[serde(rename = "Mode")]
    mode: Option<&'a str>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum FeedRange<'a> {
    Bounds {
        #[serde(rename = "Range")]
        range: &'a EpkRange,
    },
    Kept(Value),
}

/// A document's fields; those that were understood are taken out.
struct Fields {
    id: String,
    map: Map<String, Value>,
}

impl Fields {
    fn wrong(&self, field: &'static str, expected: &'static str) -> LeaseError {
        LeaseError::Field { id: self.id.clone(), field, expected }
    }

    fn no_range(&self, why: impl Into<String>) -> LeaseError {
        LeaseError::Range { id: self.id.clone(), why: why.into() }
    }

    fn java(&self, form: &'static str) -> LeaseError {
        LeaseError::Java { id: self.id.clone(), form }
    }

    fn text(&mut self, field: &'static str) -> Result<Option<String>, LeaseError> {
        match self.map.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(field, TEXT)),
        }
    }

    fn version(&mut self) -> Result<u64, LeaseError> {
        let version = match self.map.remove("version") {
            None | Some(Value::Null) => 0,
            Some(value) => value.as_u64().ok_or_else(|| self.wrong("version", "0 or 1"))?,
        };
        if version > 1 {
            return Err(LeaseError::Version { id: self.id.clone(), version });
        }
        Ok(version)
    }

    /// Java's documents of version 1 write `feedRange` and wrap their positions; those of version 0 lack what .NET has written since
    /// its third release, and have the names of database and container in their ids.
    fn refuse_java(&self, continuation: Option<&str>) -> Result<(), LeaseError> {
        if self.map.contains_key("feedRange") || continuation.is_some_and(is_java_state) {
            return Err(self.java("version 1, whose position is base64 of JSON"));
        }
        let bare = !self.map.contains_key(PROPERTIES) && !self.map.contains_key(PARTITION_ID);
        if bare && !self.map.contains_key(FEED_RANGE) && has_names(&self.id) {
            return Err(self.java("version 0, whose id has names instead of resource ids"));
        }
        Ok(())
    }

    fn token(&mut self, version: u64) -> Result<String, LeaseError> {
        let token = self.text("LeaseToken")?;
        let partition = self.text(PARTITION_ID)?;
        if let Some(partition) = &partition
            && version == 0
        {
            self.map.insert(PARTITION_ID.to_owned(), partition.as_str().into());
        }
        match (token, partition) {
            (Some(token), Some(partition)) if token != partition => {
                Err(LeaseError::TwoTokens { id: self.id.clone(), token, partition })
            }
            (Some(token), _) | (None, Some(token)) => Ok(token),
            (None, None) => Err(LeaseError::NoToken(self.id.clone())),
        }
    }

    /// The bounds. Version 1 without a `FeedRange` has them in its token; version 0 may have none at all.
    fn range(&mut self, version: u64, token: &str) -> Result<Option<EpkRange>, LeaseError> {
        let feed_range = match self.map.remove(FEED_RANGE) {
            None | Some(Value::Null) => {
                let Some((min, max)) = token.split_once('-').filter(|_| version == 1) else { return Ok(None) };
                return self.interval(min, max).map(Some);
            }
            Some(Value::Object(feed_range)) => feed_range,
            Some(_) => return Err(self.no_range("FeedRange is not an object")),
        };
        match (feed_range.get("Range"), feed_range.get("PKRangeId")) {
            (Some(Value::Object(bounds)), _) => self.bounds(bounds).map(Some),
            (None, Some(Value::String(named))) if version == 0 && named == token => {
                self.map.insert(FEED_RANGE.to_owned(), Value::Object(feed_range));
                Ok(None)
            }
            _ => Err(self.no_range("FeedRange has no Range")),
        }
    }

    fn bounds(&self, bounds: &Map<String, Value>) -> Result<EpkRange, LeaseError> {
        for (flag, expected) in [("isMinInclusive", true), ("isMaxInclusive", false)] {
            match bounds.get(flag) {
                None => {}
                Some(value) if *value == Value::Bool(expected) => {}
                Some(value) => return Err(self.no_range(format!("{flag} is {value}"))),
            }
        }
        match (bounds.get("min"), bounds.get("max")) {
            (Some(Value::String(min)), Some(Value::String(max))) => self.interval(min, max),
            _ => Err(self.no_range("min and max must be strings")),
        }
    }

    fn interval(&self, min: &str, max: &str) -> Result<EpkRange, LeaseError> {
        let range = EpkRange::new(min.to_ascii_uppercase(), max.to_ascii_uppercase());
        let hexadecimal = range.min.bytes().chain(range.max.bytes()).all(|b| b.is_ascii_hexdigit());
        if !hexadecimal || range.min >= range.max || range.max.as_str() > "FF" {
            return Err(self.no_range(format!("min is {min:?} and max is {max:?}")));
        }
        Ok(range)
    }

    fn properties(&mut self) -> Result<BTreeMap<String, String>, LeaseError> {
        let properties = match self.map.remove(PROPERTIES) {
            None | Some(Value::Null) => return Ok(BTreeMap::new()),
            Some(Value::Object(properties)) => properties,
            Some(_) => return Err(self.wrong(PROPERTIES, "an object or null")),
        };
        let mut texts = BTreeMap::new();
        let mut odd = Map::new();
        for (name, value) in properties {
            match value {
                Value::String(text) => _ = texts.insert(name, text),
                other => _ = odd.insert(name, other),
            }
        }
        if !odd.is_empty() {
            self.map.insert(PROPERTIES.to_owned(), Value::Object(odd));
        }
        Ok(texts)
    }
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Where .NET notes an etag, Java notes base64 of a JSON object (`ChangeFeedStateV1`), in the alphabet of URLs.
fn is_java_state(token: &str) -> bool {
    [&alphabet::URL_SAFE, &alphabet::STANDARD].into_iter().any(|alphabet| {
        let decoded = GeneralPurpose::new(alphabet, LENIENT).decode(token);
        decoded.is_ok_and(|bytes| bytes.first() == Some(&b'{'))
    })
}

/// Whether what stands for the container in an id `{…}_{container}..{token}` is no resource id, which has eight bytes.
fn has_names(id: &str) -> bool {
    let Some((_, container)) = id.split_once("..").and_then(|(prefix, _)| prefix.rsplit_once('_')) else {
        return false;
    };
    let decoded = GeneralPurpose::new(&alphabet::STANDARD, LENIENT).decode(container.replace('-', "/"));
    !decoded.is_ok_and(|bytes| bytes.len() == 8)
}
