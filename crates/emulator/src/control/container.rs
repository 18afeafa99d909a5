//! Control requests about one container: its ranges, its retention and the oddities of its feed.

use azure_data_cosmos_driver::models::EffectivePartitionKey;
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refusal, bad_request, done, json, read};
use crate::cosmos::{ContainerControl, FeedQuirks, RangeBounds, TopologyError};
use crate::server::Shared;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Split {
    database: String,
    container: String,
    range: String,
    /// The first effective partition key of the upper half, in hexadecimal; absent: chosen so that both halves have
    /// about as many partition key values.
    at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Merge {
    database: String,
    container: String,
    ranges: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Retention {
    database: String,
    container: String,
    seconds: u32,
}

/// Splits a range in two.
pub(super) fn split(shared: &Shared, body: &Bytes) -> Answer {
    let Split { database, container, range, at } = read(body)?;
    let parsed = at
        .map(|at| EffectivePartitionKey::try_from(at.as_str()).map_err(|_| at))
        .transpose()
        .map_err(|at| bad_request(format!("at: {at:?} is no effective partition key in hexadecimal")))?;
    let children = find(shared, &database, &container)?.split(&range, parsed).map_err(refuse)?;
    Ok(described(&children))
}

/// Merges ranges that adjoin.
pub(super) fn merge(shared: &Shared, body: &Bytes) -> Answer {
    let Merge { database, container, ranges } = read(body)?;
    let merged = find(shared, &database, &container)?.merge(&ranges).map_err(refuse)?;
    Ok(described(&[merged]))
}

/// Sets how far back the all-versions feed goes.
pub(super) fn retention(shared: &Shared, body: &Bytes) -> Answer {
    let Retention { database, container, seconds } = read(body)?;
    find(shared, &database, &container)?.set_retention(seconds).map_err(refuse)?;
    Ok(done())
}

/// Sets the oddities of the feed; those left out are off.
pub(super) fn feed(shared: &Shared, body: &Bytes) -> Answer {
    let mut given: serde_json::Map<String, Value> = read(body)?;
    let mut name = |property: &str| match given.remove(property) {
        Some(Value::String(name)) => Ok(name),
        _ => Err(bad_request(format!("the property {property} is missing or not a string"))),
    };
    let (database, container) = (name("database")?, name("container")?);
    let quirks: FeedQuirks =
        serde_json::from_value(Value::Object(given)).map_err(|error| bad_request(error.to_string()))?;
    find(shared, &database, &container)?.set_quirks(quirks);
    Ok(done())
}

fn find(shared: &Shared, database: &str, container: &str) -> Result<ContainerControl, Refusal> {
    shared.cosmos.control(database, container).map_err(|message| Refusal(StatusCode::NOT_FOUND, message))
}

fn described(ranges: &[RangeBounds]) -> http::Response<crate::server::ResponseBody> {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|range| json!({ "id": range.id, "minInclusive": range.min, "maxExclusive": range.max }))
        .collect();
    json(json!({ "ranges": ranges }).to_string())
}

fn refuse(error: TopologyError) -> Refusal {
    let status = match error {
        TopologyError::NoSuchRange(_) => StatusCode::NOT_FOUND,
        TopologyError::TooNarrow => StatusCode::CONFLICT,
        TopologyError::NotKept(_) => StatusCode::SERVICE_UNAVAILABLE,
        TopologyError::Outside(_) | TopologyError::TooFew | TopologyError::Apart => StatusCode::BAD_REQUEST,
    };
    Refusal(status, error.to_string())
}
