//! The change feed: `GET …/docs` with `A-IM`.
//!
//! The continuation is the entity tag, a quoted sequence number of the partition; 304 carries one too.

mod render;

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;

use super::Call;
use super::errors::CosmosError;
use super::headers;
use super::keys::{self, Scope};
use super::partition::Partition;
use super::respond::{Position, Reply};
use super::state::{FeedMode, FeedStart, State, feed_page};
use super::store::Container;

/// Reads one page.
pub(super) fn read(call: &Call<'_>, container: &Container) -> Result<Reply, CosmosError> {
    let mode = mode(call.parts)?;
    let start = start(call.parts)?;
    if mode == FeedMode::AllVersions {
        check_all_versions(call, start)?;
    }
    let items_max = headers::page_items(call.parts)?;
    let (page, definition) = {
        let state = container.current(call.now);
        let (partitions, scope) = reach(call.parts, &state)?;
        let [partition] = partitions[..] else {
            return Err(CosmosError::bad_request(
                "The change feed is read one partition key range at a time: name one in x-ms-documentdb-partitionkeyrangeid.",
            ));
        };
        (feed_page(partition, &scope, mode, start, items_max)?, Arc::clone(&state.definition))
    };
    let status = if page.changes.is_empty() { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let reply = if page.changes.is_empty() {
        Reply::empty(status)
    } else {
        let enveloped = mode == FeedMode::AllVersions || headers::text(call.parts, headers::WIRE_FORMAT).is_some();
        let shape = match (mode, enveloped) {
            (FeedMode::AllVersions, _) => render::Shape::AllVersions,
            (FeedMode::LatestVersion, true) => render::Shape::Envelope,
            (FeedMode::LatestVersion, false) => render::Shape::Flat,
        };
        Reply::json(status, render::body(&container.numbers.rid(), &page.changes, shape, &definition))
    };
    let count = page.changes.len();
    let position = Position { range: page.range.to_string(), lsn: page.lsn, item_lsn: None };
    Ok(reply
        .with_etag(&format!("\"{}\"", page.next))
        .with_count(count)
        .with_charge(2.0 + count as f64)
        .with_paths(container)
        .at(&position))
}

fn mode(parts: &Parts) -> Result<FeedMode, CosmosError> {
    match headers::text(parts, headers::A_IM) {
        Some(value) if value.eq_ignore_ascii_case("Incremental Feed") => Ok(FeedMode::LatestVersion),
        Some(value) if value.eq_ignore_ascii_case("Full-Fidelity Feed") => Ok(FeedMode::AllVersions),
        other => {
            Err(CosmosError::bad_request(format!("A-IM {other:?} is neither Incremental Feed nor Full-Fidelity Feed.")))
        }
    }
}

fn start(parts: &Parts) -> Result<FeedStart, CosmosError> {
    match headers::text(parts, headers::IF_NONE_MATCH) {
        Some("*") => return Ok(FeedStart::Now),
        Some(etag) => {
            let lsn = etag.trim_matches('"').parse().map_err(|_| {
                CosmosError::bad_request(format!("If-None-Match {etag:?} is no continuation of this change feed."))
            })?;
            return Ok(FeedStart::After(lsn));
        }
        None => {}
    }
    // Only without an entity tag: SDKs go on sending the start time along with it.
    match headers::text(parts, headers::IF_MODIFIED_SINCE) {
        None => Ok(FeedStart::Beginning),
        Some(date) => jiff::fmt::rfc2822::parse(date)
            .map(|time| FeedStart::Time(time.timestamp()))
            .map_err(|_| CosmosError::bad_request(format!("If-Modified-Since {date:?} is not an HTTP date."))),
    }
}

fn check_all_versions(call: &Call<'_>, start: FeedStart) -> Result<(), CosmosError> {
    use std::sync::atomic::Ordering;
    if !call.service.all_versions.load(Ordering::Relaxed) {
        return Err(CosmosError::bad_request(
            "The all versions and deletes change feed is not enabled for this account: it needs continuous backup and \
             enableAllVersionsAndDeletesChangeFeed.",
        ));
    }
    match start {
        FeedStart::Now | FeedStart::After(_) => Ok(()),
        FeedStart::Beginning | FeedStart::Time(_) => Err(CosmosError::bad_request(
            "The all versions and deletes change feed starts from now or from a continuation, not from the beginning or a time.",
        )),
    }
}

/// The partitions that a request reaches and the part of the hash space it asks for.
pub(super) fn reach<'a>(parts: &Parts, state: &'a State) -> Result<(Vec<&'a Partition>, Scope), CosmosError> {
    let key = headers::text(parts, headers::PARTITION_KEY);
    let (start, end) = (headers::text(parts, headers::START_EPK), headers::text(parts, headers::END_EPK));
    let scope = match (key, start, end) {
        (Some(key), ..) => state.definition.scope(&keys::parse_header(key)?)?,
        (None, None, None) => Scope::all(),
        // Either header may be there with an empty value.
        (None, start, end) => Scope::parse(start.unwrap_or_default(), end.unwrap_or_default())?,
    };
    let Some(id) = headers::range_id(parts) else {
        return Ok((state.partitions().iter().filter(|partition| partition.bounds.overlaps(&scope)).collect(), scope));
    };
    let partition = state.partition(id)?;
    // A client that still asks an old range for keys that moved must refresh, not miss them.
    if scope != Scope::all() && !partition.bounds.covers(&scope) {
        return Err(CosmosError::range_gone(id));
    }
    Ok((vec![partition], scope))
}
