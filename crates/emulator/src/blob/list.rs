//! List Blobs: reads the selection, asks [`page`] for it and writes the document.

use http::StatusCode;
use jiff::Timestamp;

use super::entry::State;
use super::errors::{Error, Result};
use super::lease::Lease;
use super::page::{Include, Item, Marker, Page, Role, Selection, page};
use super::reply::Reply;
use super::request::Call;
use super::store::Store;
use super::tier::{Tier, Tiered};
use super::time::http_date;
use super::xml::Xml;

/// Items of one page at most, by the service's documentation.
const PAGE_ITEMS_MAX: usize = 5_000;

/// List Blobs.
pub(super) fn blobs(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Reply> {
    let selection = selection(call)?;
    let page = store.with(call.container(), |container| Ok(page(&container.blobs, &selection, now)))?;
    Ok(Reply::xml(StatusCode::OK, render(call, &selection, &page, now)))
}

/// Reads `maxresults`.
pub(super) fn items_max(call: &Call<'_>) -> Result<usize> {
    let Some(text) = call.query.get("maxresults") else {
        return Ok(PAGE_ITEMS_MAX);
    };
    match text.parse::<i64>() {
        Ok(number) if number > 0 => Ok(usize::try_from(number).map_or(PAGE_ITEMS_MAX, |n| n.min(PAGE_ITEMS_MAX))),
        Ok(_) => Err(Error::OutOfRangeQuery { name: "maxresults", value: text.to_owned() }),
        Err(_) => Err(Error::InvalidQuery { name: "maxresults", value: text.to_owned(), reason: "Not a number." }),
    }
}

fn selection(call: &Call<'_>) -> Result<Selection> {
    let text = |name| call.query.get(name).unwrap_or_default().to_owned();
    let marker = match call.query.get("marker").filter(|marker| !marker.is_empty()) {
        None => None,
        Some(marker) => Some(Marker::decode(marker).ok_or_else(|| Error::InvalidQuery {
            name: "marker",
            value: marker.to_owned(),
            reason: "Not a marker of this service.",
        })?),
    };
    Ok(Selection {
        prefix: text("prefix"),
        delimiter: text("delimiter"),
        start_from: text("startfrom"),
        marker,
        items_max: items_max(call)?,
        include: include(call.query.get("include"))?,
    })
}

fn include(text: Option<&str>) -> Result<Include> {
    let mut include = Include::default();
    // Clients that want none of it send an empty list.
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(include);
    };
    for word in text.split(',') {
        match word {
            "versions" => include.versions = true,
            "snapshots" => include.snapshots = true,
            "deleted" => include.deleted = true,
            "deletedwithversions" => include.deleted_with_versions = true,
            "metadata" => include.metadata = true,
            "uncommittedblobs" => include.uncommitted = true,
            "tags" => include.tags = true,
            "copy" => include.copy = true,
            "immutabilitypolicy" => include.immutability = true,
            "legalhold" => include.legal_hold = true,
            _ => {
                return Err(Error::InvalidQuery {
                    name: "include",
                    value: text.to_owned(),
                    reason: "Invalid query parameter value.",
                });
            }
        }
    }
    Ok(include)
}

fn render(call: &Call<'_>, selection: &Selection, page: &Page, now: Timestamp) -> Xml {
    let endpoint = format!("{}/{}/", call.origin, crate::BLOB_ACCOUNT);
    let mut xml = Xml::new();
    let attributes = [("ServiceEndpoint", endpoint.as_str()), ("ContainerName", call.container())];
    xml.open_with("EnumerationResults", &attributes);
    for (element, parameter) in [
        ("Prefix", "prefix"),
        ("Marker", "marker"),
        ("StartFrom", "startfrom"),
        ("MaxResults", "maxresults"),
        ("Delimiter", "delimiter"),
    ] {
        xml.optional(element, call.query.get(parameter));
    }
    xml.open("Blobs");
    for item in &page.items {
        match item {
            Item::Prefix(prefix) => {
                xml.open("BlobPrefix").blob_name(prefix).close("BlobPrefix");
            }
            Item::Blob { name, state, role, versions_only, lease } => {
                xml.open("Blob").blob_name(name);
                let shown = Lease::shown(lease.as_ref(), now);
                render_blob(&mut xml, state, *role, shown, selection.include, now);
                if *versions_only {
                    xml.element("HasVersionsOnly", "true");
                }
                xml.close("Blob");
            }
            Item::Uncommitted { name, since } => render_uncommitted(&mut xml, name, *since),
        }
    }
    xml.close("Blobs");
    let next = page.next.as_ref().map(Marker::encode).unwrap_or_default();
    xml.element("NextMarker", &next).close("EnumerationResults");
    xml
}

/// A blob that was never committed has no content, and an ETag that no state has.
fn render_uncommitted(xml: &mut Xml, name: &str, since: Timestamp) {
    xml.open("Blob").blob_name(name).open("Properties");
    xml.element("Creation-Time", &http_date(since))
        .element("Last-Modified", &http_date(since))
        .element("Etag", "0x0")
        .element("Content-Length", "0")
        .element("Content-Type", "application/octet-stream")
        .element("BlobType", "BlockBlob");
    xml.close("Properties").close("Blob");
}

/// What a lease shows: status, state and duration.
type ShownLease = (&'static str, &'static str, Option<&'static str>);

fn render_blob(xml: &mut Xml, state: &State, role: Role, lease: ShownLease, include: Include, now: Timestamp) {
    if state.deleted.is_some() {
        xml.element("Deleted", "true");
    }
    if role == Role::Snapshot {
        xml.element("Snapshot", &state.stamp.id());
    }
    if role != Role::VersionsOnly {
        xml.optional("VersionId", state.version_id().as_deref());
        if role == Role::Current && state.versioned {
            xml.element("IsCurrentVersion", "true");
        }
    }
    xml.open("Properties");
    render_content(xml, state);
    if role == Role::Current && state.deleted.is_none() {
        let (status, lease_state, duration) = lease;
        xml.element("LeaseStatus", status).element("LeaseState", lease_state).optional("LeaseDuration", duration);
    }
    render_aside(xml, state, include);
    if let Some(deletion) = state.deleted {
        xml.element("DeletedTime", &http_date(deletion.at))
            .element("RemainingRetentionDays", &deletion.days_left(now).to_string());
    }
    xml.close("Properties");
    if include.metadata {
        xml.open("Metadata");
        for (name, value) in &state.content.metadata {
            xml.element(name, value);
        }
        xml.close("Metadata");
    }
    if include.tags && state.aside.tags.len() > 0 {
        state.aside.tags.render(xml);
    }
}

fn render_content(xml: &mut Xml, state: &State) {
    let content = &state.content;
    let headers = &content.headers;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let content_type = headers.content_type.as_deref();
    xml.element("Creation-Time", &http_date(state.created))
        .element("Last-Modified", &http_date(state.last_modified))
        .element("Etag", &state.etag.to_string())
        .element("Content-Length", &content.body.len().to_string())
        .element("Content-Type", content_type.unwrap_or("application/octet-stream"))
        .element("Content-Encoding", &text(&headers.encoding))
        .element("Content-Language", &text(&headers.language))
        .element("Content-CRC64", "")
        .element("Content-MD5", &text(&headers.md5))
        .element("Cache-Control", &text(&headers.cache_control))
        .element("Content-Disposition", &text(&headers.disposition))
        .element("BlobType", "BlockBlob")
        .element("ServerEncrypted", "true")
        .optional("CustomerProvidedKeySha256", content.encryption.key_sha256.as_deref())
        .optional("EncryptionScope", content.encryption.scope.as_deref());
}

fn render_aside(xml: &mut Xml, state: &State, include: Include) {
    let aside = &state.aside;
    match aside.tier {
        Some(Tiered { tier, since }) => {
            xml.element("AccessTier", tier.name()).element("AccessTierChangeTime", &http_date(since))
        }
        None => xml.element("AccessTier", Tier::Hot.name()).element("AccessTierInferred", "true"),
    };
    if let Some(copied) = aside.copied.as_ref().filter(|_| include.copy) {
        copied.render(xml);
    }
    if aside.tags.len() > 0 {
        xml.element("TagCount", &aside.tags.len().to_string());
    }
    if let Some(retention) = aside.protection.retention.filter(|_| include.immutability) {
        xml.element("ImmutabilityPolicyUntilDate", &http_date(retention.until))
            .element("ImmutabilityPolicyMode", retention.mode());
    }
    if aside.protection.legal_hold && include.legal_hold {
        xml.element("LegalHold", "true");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_combine_and_unknown_or_empty_ones_are_refused() {
        let both = include(Some("versions,metadata,deletedwithversions")).unwrap();
        assert!(both.versions && both.metadata && both.deleted_with_versions && !both.deleted);
        for none in [None, Some("")] {
            assert_eq!(include(none), Ok(Include::default()));
        }
        for bad in ["versions,", "everything"] {
            assert!(matches!(include(Some(bad)), Err(Error::InvalidQuery { .. })));
        }
    }
}
