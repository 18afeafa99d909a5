//! The change feed: `GET …/docs` with `A-IM`.
//!
//! The continuation is the entity tag, a quoted sequence number of the partition; 304 carries one too. A partition's
//! continuation holds on what it was split into, and on what it was merged into together with its bounds.

mod quirks;
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
use super::session;
use super::state::{FeedMode, FeedPage, FeedRequest, FeedStart, State, feed_page};
use super::store::Container;

pub(crate) use quirks::FeedQuirks;

/// Reads one page.
pub(super) fn read(call: &Call<'_>, container: &Container) -> Result<Reply, CosmosError> {
    let mode = mode(call.parts)?;
    let start = start(call.parts)?;
    if mode == FeedMode::AllVersions {
        check_all_versions(call, start)?;
    }
    let items_max = headers::page_items(call.parts)?;
    let (page, shape, definition) = {
        let mut state = container.current(call.now);
        let page = page(call, &state, mode, start, items_max)?;
        let shape = shape(call.parts, mode, &state.quirks);
        let page = state.quirks.distort(page, start);
        (state.quirks.garble(page), shape, Arc::clone(&state.definition))
    };
    let count = page.changes.len();
    let reply = if count == 0 && page.last {
        Reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        Reply::json(StatusCode::OK, render::body(&container.numbers.rid(), &page.changes, shape, &definition))
    };
    let position = Position { range: page.range.to_string(), lsn: page.lsn, item_lsn: None };
    Ok(reply
        .with_etag(&format!("\"{}\"", page.next))
        .with_count(count)
        .with_charge(2.0 + count as f64)
        .with_paths(container)
        .at(&position))
}

fn page(
    call: &Call<'_>,
    state: &State,
    mode: FeedMode,
    start: FeedStart,
    items_max: usize,
) -> Result<FeedPage, CosmosError> {
    let (partitions, scope) = reach(call.parts, state)?;
    let [partition] = partitions[..] else {
        return Err(CosmosError::bad_request(
            "The change feed is read one partition key range at a time: name one in x-ms-documentdb-partitionkeyrangeid.",
        ));
    };
    let kept_since = state.kept_since(call.now);
    feed_page(partition, &FeedRequest { scope: &scope, mode, start, items_max, kept_since })
}

fn shape(parts: &Parts, mode: FeedMode, quirks: &FeedQuirks) -> render::Shape {
    let keys = if quirks.delete_key_as_array { render::DeleteKeys::Array } else { render::DeleteKeys::Object };
    match mode {
        FeedMode::AllVersions => render::Shape::AllVersions(keys),
        FeedMode::LatestVersion if quirks.flat || headers::text(parts, headers::WIRE_FORMAT).is_none() => {
            render::Shape::Flat
        }
        FeedMode::LatestVersion => render::Shape::Envelope,
    }
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

/// The header that says what the bounds of a request are, and its only value for bounds.
const READ_KEY_TYPE: &str = "x-ms-read-key-type";
const RANGE_KEY_TYPE: &str = "EffectivePartitionKeyRange";

/// The partitions that a request reaches and the part of the hash space it asks for.
pub(super) fn reach<'a>(parts: &Parts, state: &'a State) -> Result<(Vec<&'a Partition>, Scope), CosmosError> {
    let key = headers::text(parts, headers::PARTITION_KEY);
    let (start, end) = (headers::text(parts, headers::START_EPK), headers::text(parts, headers::END_EPK));
    let scope = match (key, start, end) {
        (Some(key), ..) => state.definition.scope(&keys::parse_header(key)?)?,
        (None, None, None) => Scope::all(),
        // The gateway reads bounds as those of a range only, whatever else the header names.
        (None, ..) if headers::text(parts, READ_KEY_TYPE).is_some_and(|kind| kind != RANGE_KEY_TYPE) => {
            return Err(CosmosError::bad_request(format!(
                "{READ_KEY_TYPE} must be {RANGE_KEY_TYPE} where bounds are given."
            )));
        }
        // Either header may be there with an empty value.
        (None, start, end) => Scope::parse(start.unwrap_or_default(), end.unwrap_or_default())?,
    };
    let Some(id) = headers::range_id(parts) else {
        let partitions: Vec<_> =
            state.partitions().iter().filter(|partition| partition.bounds.overlaps(&scope)).collect();
        partitions.iter().try_for_each(|partition| session::check(parts, partition))?;
        return Ok((partitions, scope));
    };
    let partition = state.partition(id)?;
    session::check(parts, partition)?;
    // A client that still asks an old range for keys that moved must refresh, not miss them.
    if scope != Scope::all() && !partition.bounds.covers(&scope) {
        return Err(CosmosError::range_gone(id));
    }
    Ok((vec![partition], scope))
}
