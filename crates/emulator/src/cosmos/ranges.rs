//! `GET …/pkranges`: the container's partition key ranges, whole or as an incremental feed.
//!
//! The entity tag is the version of the topology: unchanged topology is 304, any other gets the whole list.

use http::StatusCode;
use serde_json::{Value, json};

use super::Call;
use super::errors::CosmosError;
use super::headers;
use super::ids;
use super::respond::Reply;

/// Lists the ranges.
pub(super) fn list(call: &Call<'_>, database: &str, name: &str) -> Result<Reply, CosmosError> {
    let container = call.service.store.container(database, name)?;
    container.check_intended(call.parts)?;
    let state = container.state();
    let etag = format!("\"{}-{}\"", state.numbers.rid(), state.topology);
    if headers::text(call.parts, headers::IF_NONE_MATCH) == Some(&etag) {
        return Ok(Reply::empty(StatusCode::NOT_MODIFIED).with_etag(&etag));
    }
    let count = state.partitions().len();
    let ranges: Vec<Value> = state
        .partitions()
        .iter()
        .map(|partition| {
            let number = partition.id.parse::<u64>().unwrap_or_default();
            let (min, max) = (partition.bounds.min().to_hex(), partition.bounds.max().to_hex());
            let parents: Vec<&str> = partition.parents.iter().map(|parent| &**parent).collect();
            json!({
                "_rid": ids::range_rid(state.numbers.database, state.numbers.container, number),
                "id": &*partition.id, "_etag": etag, "minInclusive": min, "maxExclusive": max, "ridPrefix": number,
                "_self": format!("{}pkranges/{}/", state.numbers.self_link(), partition.id),
                "throughputFraction": 1.0 / count as f64, "status": "online", "parents": parents,
                "_ts": container.ts(), "_lsn": partition.lsn(),
            })
        })
        .collect();
    let body = json!({ "_rid": state.numbers.rid(), "PartitionKeyRanges": ranges, "_count": count });
    Ok(Reply::json(StatusCode::OK, body.to_string()).with_etag(&etag).with_count(count))
}
