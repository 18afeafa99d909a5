//! Operations that read a blob: Get Blob and Get Blob Properties, of the current state, a version or a snapshot.

use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;

use super::checksum;
use super::conditions::Conditions;
use super::content::refuse_lacking;
use super::encryption::Encryption;
use super::entry::State;
use super::errors::{Error, Result};
use super::lease::Lease;
use super::reply::Reply;
use super::request::{Call, Query};
use super::store::Store;
use super::tier::Tiered;
use super::time::http_date;
use super::which::Which;

/// The largest range whose checksum the service computes.
const CHECKED_RANGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A state found, with what only its place in the blob's history tells.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) state: State,
    current: bool,
    /// Status, state and duration of the lease.
    lease: (&'static str, &'static str, Option<&'static str>),
}

/// Get Blob, and with `HEAD` Get Blob Properties.
pub(super) fn blob(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Reply> {
    refuse_lacking(call)?;
    let key = Encryption::of(call)?;
    let conditions = Conditions::parse(call)?;
    let found = find(store, call, now)?;
    conditions.for_read(found.state.validators())?;
    let content = &found.state.content;
    content.encryption.open(&key)?;
    let md5 = content.headers.md5.as_deref();
    // `comp=metadata` is read with GET as well and has no body.
    let with_body = *call.method == Method::GET && call.query.get("comp").is_none();
    if with_body {
        Tiered::guard(found.state.aside.tier)?;
    }
    let range = if with_body { range(call, content.body.len())? } else { None };
    if call.query.get("comp").is_some() {
        return Ok(metadata_alone(&found));
    }
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

/// Get Blob Metadata.
fn metadata_alone(found: &Found) -> Reply {
    let mut reply = Reply::new(StatusCode::OK);
    found.state.content.describe_metadata(&mut reply);
    reply.set_written(&found.state);
    reply
}

/// Finds the state a request means.
pub(super) fn find(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Found> {
    let which = Which::of(call)?;
    let lease = call.header("x-ms-lease-id")?;
    store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
        let (state, current) = entry.find(which).ok_or(Error::BlobNotFound)?;
        if current {
            entry.guard_read(lease, now)?;
        }
        Ok(Found { state: state.clone(), current, lease: Lease::shown(entry.lease(), now) })
    })
}

fn describe(found: &Found, reply: &mut Reply) {
    let state = &found.state;
    state.content.describe(reply);
    reply.set_written(state);
    if state.versioned && found.current {
        reply.set("x-ms-is-current-version", "true");
    }
    reply.set("x-ms-blob-type", "BlockBlob");
    reply.set("x-ms-creation-time", &http_date(state.created));
    reply.set("x-ms-server-encrypted", "true");
    reply.set("accept-ranges", "bytes");
    if found.current {
        let (status, lease_state, duration) = found.lease;
        reply.set("x-ms-lease-status", status);
        reply.set("x-ms-lease-state", lease_state);
        reply.set_optional("x-ms-lease-duration", duration);
    }
    let aside = &state.aside;
    Tiered::describe(aside.tier, reply);
    aside.protection.describe(reply);
    if aside.tags.len() > 0 {
        reply.set("x-ms-tag-count", &aside.tags.len().to_string());
    }
    if let Some(copied) = &aside.copied {
        copied.describe(reply);
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
    if call.flag("x-ms-range-get-content-md5")? && call.flag("x-ms-range-get-content-crc64")? {
        return Err(Error::header("x-ms-range-get-content-crc64", "true"));
    }
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

/// Reads `bytes=start-end`, the end included and optional.
pub(super) fn parse_range(text: &str) -> Option<(usize, Option<usize>)> {
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
