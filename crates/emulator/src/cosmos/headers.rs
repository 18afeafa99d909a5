//! Reading request headers.

use http::request::Parts;

use super::errors::CosmosError;

pub(crate) const A_IM: &str = "a-im";
pub(crate) const IF_MATCH: &str = "if-match";
pub(crate) const IF_NONE_MATCH: &str = "if-none-match";
pub(crate) const IF_MODIFIED_SINCE: &str = "if-modified-since";
pub(crate) const PARTITION_KEY: &str = "x-ms-documentdb-partitionkey";
pub(crate) const RANGE_ID: &str = "x-ms-documentdb-partitionkeyrangeid";
pub(crate) const START_EPK: &str = "x-ms-start-epk";
pub(crate) const END_EPK: &str = "x-ms-end-epk";
pub(crate) const CONTINUATION: &str = "x-ms-continuation";
pub(crate) const INTENDED_RID: &str = "x-ms-cosmos-intended-collection-rid";
pub(crate) const WIRE_FORMAT: &str = "x-ms-cosmos-changefeed-wire-format-version";
const MAX_ITEM_COUNT: &str = "x-ms-max-item-count";

/// Items in a page when the client names no number.
const PAGE_ITEMS_DEFAULT: usize = 100;

/// Items in a page when the client leaves the number to the server (-1), and the most it gets.
const PAGE_ITEMS_MAX: usize = 1_000;

/// A header's text. Values that are not ASCII are never sent by the SDKs and count as absent.
pub(crate) fn text<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a header says `true`, in any case.
pub(crate) fn flag(parts: &Parts, name: &str) -> bool {
    text(parts, name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Whether a POST is a query or asks for a query's plan.
pub(crate) fn is_query(parts: &Parts) -> bool {
    flag(parts, "x-ms-documentdb-isquery")
        || is_query_plan(parts)
        || text(parts, "content-type").is_some_and(|kind| kind.starts_with("application/query+json"))
}

/// Whether a POST asks for a query's plan.
pub(crate) fn is_query_plan(parts: &Parts) -> bool {
    flag(parts, "x-ms-cosmos-is-query-plan-request")
}

/// Whether the client wants no body after a write.
pub(crate) fn wants_minimal(parts: &Parts) -> bool {
    text(parts, "prefer").is_some_and(|value| value.eq_ignore_ascii_case("return=minimal"))
}

/// The range id; older clients prefix it with the container's resource id.
pub(crate) fn range_id(parts: &Parts) -> Option<&str> {
    let value = text(parts, RANGE_ID)?;
    Some(value.rsplit_once(',').map_or(value, |(_, id)| id))
}

/// The number of items a page may have.
pub(crate) fn page_items(parts: &Parts) -> Result<usize, CosmosError> {
    match text(parts, MAX_ITEM_COUNT).map(|value| (value, value.trim().parse::<i64>())) {
        None => Ok(PAGE_ITEMS_DEFAULT),
        Some((_, Ok(-1))) => Ok(PAGE_ITEMS_MAX),
        Some((_, Ok(count @ 1..))) => Ok(usize::try_from(count).unwrap_or(PAGE_ITEMS_MAX).min(PAGE_ITEMS_MAX)),
        Some((value, _)) => {
            Err(CosmosError::bad_request(format!("{MAX_ITEM_COUNT} {value:?} is not -1 or a positive number.")))
        }
    }
}
