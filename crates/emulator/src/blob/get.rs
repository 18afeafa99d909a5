//! Operations that read a blob: Get Blob and Get Blob Properties, of the current state, a version or a snapshot.

use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;

use super::checksum;
use super::conditions::Conditions;
use super::entry::State;
use super::errors::{Error, Result};
use super::reply::Reply;
use super::request::{Call, Query};
use super::store::Store;
use super::time::{Stamp, http_date};

/// The largest range whose checksum the service computes.
const CHECKED_RANGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Which state of a blob a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Current,
    Version(Stamp),
    Snapshot(Stamp),
}

impl Which {
    /// Reads `versionid` and `snapshot`.
    pub(super) fn of(call: &Call<'_>) -> Result<Self> {
        let stamp = |name: &'static str, id: &str| {
            Stamp::from_id(id).ok_or_else(|| Error::InvalidQuery {
                name,
                value: id.to_owned(),
                reason: "Not the id of a version or snapshot.",
            })
        };
        match (call.query.get("versionid"), call.query.get("snapshot")) {
            (None, None) => Ok(Self::Current),
            (Some(id), None) => stamp("versionid", id).map(Self::Version),
            (None, Some(id)) => stamp("snapshot", id).map(Self::Snapshot),
            (Some(_), Some(id)) => Err(Error::InvalidQuery {
                name: "snapshot",
                value: id.to_owned(),
                reason: "A version and a snapshot exclude each other.",
            }),
        }
    }
}

/// A state found, with what only its place in the blob's history tells.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) state: State,
    which: Which,
    current: bool,
}

/// Get Blob, and with `HEAD` Get Blob Properties.
pub(super) fn blob(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Reply> {
    for name in ["x-ms-lease-id", "x-ms-encryption-key", "x-ms-structured-body"] {
        if call.headers.contains_key(name) {
            return Err(Error::lacks(format!("the header {name}")));
        }
    }
    let conditions = Conditions::parse(call)?;
    let found = find(store, call, now)?;
    conditions.for_read(found.state.validators())?;
    let content = &found.state.content;
    let md5 = content.headers.md5.as_deref();
    // `comp=metadata` is read with GET as well and has no body either.
    let with_body = *call.method == Method::GET && call.query.get("comp").is_none();
    let range = if with_body { range(call, content.body.len())? } else { None };
    let mut reply = Reply::new(if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK });
    describe(&found, &mut reply);
    override_headers(&call.query, &mut reply);
    if let Some((start, end)) = range {
        let part = content.body.slice(start..end);
        let length = content.body.len();
        reply.set("content-range", &format!("bytes {start}-{}/{length}", end - 1));
        reply.set_optional("x-ms-blob-content-md5", md5);
        range_checksum(call, &part, &mut reply)?;
        reply.set("content-length", &part.len().to_string());
        reply.set_body(part);
    } else {
        reply.set_optional("content-md5", md5);
        if with_body {
            reply.set_body(content.body.clone());
        }
        if with_body || *call.method == Method::HEAD {
            reply.set("content-length", &content.body.len().to_string());
        }
    }
    Ok(reply)
}

/// Finds the state a request means.
pub(super) fn find(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Found> {
    let which = Which::of(call)?;
    store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
        let found = match which {
            Which::Current => entry.current().map(|state| (state, true)),
            Which::Version(id) => entry.version(id),
            Which::Snapshot(id) => entry.snapshot(id).map(|state| (state, false)),
        };
        let (state, current) = found.ok_or(Error::BlobNotFound)?;
        Ok(Found { state: state.clone(), which, current })
    })
}

fn describe(found: &Found, reply: &mut Reply) {
    let state = &found.state;
    state.content.describe(reply);
    reply.set_written(state);
    if state.versioned && found.current {
        reply.set("x-ms-is-current-version", "true");
    }
    if let Which::Snapshot(id) = found.which {
        reply.set("x-ms-snapshot", &id.id());
    }
    reply.set("x-ms-blob-type", "BlockBlob");
    reply.set("x-ms-creation-time", &http_date(state.created));
    reply.set("x-ms-server-encrypted", "true");
    reply.set("accept-ranges", "bytes");
    if found.current {
        reply.set("x-ms-lease-status", "unlocked");
        reply.set("x-ms-lease-state", "available");
    }
    reply.set("x-ms-access-tier", state.content.tier.as_deref().unwrap_or("Hot"));
    if state.content.tier.is_none() {
        reply.set("x-ms-access-tier-inferred", "true");
    }
}

/// A shared access signature may change the content headers of the answer.
fn override_headers(query: &Query, reply: &mut Reply) {
    for (parameter, header) in [
        ("rscc", "cache-control"),
        ("rscd", "content-disposition"),
        ("rsce", "content-encoding"),
        ("rscl", "content-language"),
        ("rsct", "content-type"),
    ] {
        if query.get("sig").is_some() {
            reply.set_optional(header, query.get(parameter));
        }
    }
}

fn range_checksum(call: &Call<'_>, part: &Bytes, reply: &mut Reply) -> Result<()> {
    for (wish, header) in
        [("x-ms-range-get-content-md5", "content-md5"), ("x-ms-range-get-content-crc64", "x-ms-content-crc64")]
    {
        if !call.flag(wish)? {
            continue;
        }
        if part.len() > CHECKED_RANGE_BYTES_MAX {
            return Err(Error::InvalidHeader { name: wish.to_owned(), value: "true".to_owned() });
        }
        let sum = if header == "content-md5" { checksum::md5(part) } else { checksum::crc64(part) };
        reply.set(header, &sum);
    }
    Ok(())
}

/// The part of the body that is asked for: start, and end exclusive. A malformed range counts as none, as
/// RFC 9110 section 14.2 has it; the service knows no suffix ranges.
fn range(call: &Call<'_>, length: usize) -> Result<Option<(usize, usize)>> {
    let text = match call.header("x-ms-range")? {
        Some(text) => Some(text),
        None => call.header("range")?,
    };
    let Some((start, end)) = text.and_then(parse_range) else {
        return Ok(None);
    };
    if start >= length {
        return Err(Error::InvalidRange { length });
    }
    Ok(Some((start, end.map_or(length, |end| end.saturating_add(1).min(length)))))
}

fn parse_range(text: &str) -> Option<(usize, Option<usize>)> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse().ok()?;
    let end = match end {
        "" => None,
        // A client may ask up to the largest 64-bit number.
        end => Some(end.parse::<u64>().ok()?).map(|end| usize::try_from(end).unwrap_or(usize::MAX)),
    };
    end.is_none_or(|end| end >= start).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_with_and_without_an_end() {
        assert_eq!(parse_range("bytes=0-4"), Some((0, Some(4))));
        assert_eq!(parse_range("bytes=3-"), Some((3, None)));
        assert_eq!(parse_range("bytes=0-18446744073709551615"), Some((0, Some(usize::MAX))));
        for malformed in ["bytes=-5", "bytes=4-3", "items=0-1", "bytes=a-b", "bytes=0-1,3-4"] {
            assert_eq!(parse_range(malformed), None, "{malformed}");
        }
    }
}
