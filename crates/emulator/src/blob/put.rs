//! Operations that write a blob: Put Blob, Set Blob Metadata, Set Blob Properties, Snapshot Blob.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;

use super::auth::Access;
use super::conditions::Conditions;
use super::content::{Content, ContentHeaders, metadata, refuse_lacking};
use super::entry::{Policy, State};
use super::errors::{Error, Result};
use super::reply::Reply;
use super::request::Call;
use super::store::{Container, Store};
use super::time::{Etag, Stamp};

/// Put Blob.
pub(super) fn blob(
    store: &Store,
    call: &Call<'_>,
    body: Bytes,
    access: Access,
    policy: Policy,
    now: Timestamp,
) -> Result<Reply> {
    let conditions = Conditions::parse(call)?;
    let content = Arc::new(Content::of_put(call, body)?);
    let written = store.with(call.container(), |container| {
        write(container, call, Arc::clone(&content), &conditions, access, policy, now)
    })?;
    let mut reply = Reply::new(StatusCode::CREATED);
    reply.set_written(&written);
    reply.set_optional("content-md5", content.headers.md5.as_deref());
    reply.set_optional("x-ms-content-crc64", call.header("x-ms-content-crc64")?);
    reply.set("x-ms-request-server-encrypted", "true");
    Ok(reply)
}

/// Writes a blob anew, if caller and conditions allow it.
pub(super) fn write(
    container: &mut Container,
    call: &Call<'_>,
    content: Arc<Content>,
    conditions: &Conditions,
    access: Access,
    policy: Policy,
    now: Timestamp,
) -> Result<State> {
    let current = container.entry(call.blob(), now).and_then(|entry| entry.current());
    if current.is_some() && !access.overwrite {
        return Err(Error::PermissionMismatch);
    }
    conditions.for_put(current.map(State::validators))?;
    let created = current.map_or(now, |state| state.created);
    let new = state(container, content, created, policy, now);
    let entry = container.blobs.entry(call.blob().to_owned()).or_default();
    entry.overwrite(new.clone(), policy, now);
    Ok(new)
}

/// Set Blob Metadata: another version with the same bytes.
pub(super) fn blob_metadata(store: &Store, call: &Call<'_>, policy: Policy, now: Timestamp) -> Result<Reply> {
    refuse_lacking(call)?;
    let conditions = Conditions::parse(call)?;
    let metadata = metadata(call)?;
    let written = store.with(call.container(), |container| {
        let current = current(container, call, &conditions, now)?;
        let content = Content { metadata, ..Content::clone(&current.content) };
        let new = state(container, Arc::new(content), current.created, policy, now);
        if let Some(entry) = container.blobs.get_mut(call.blob()) {
            entry.amend(new.clone(), policy);
        }
        Ok(new)
    })?;
    let mut reply = Reply::new(StatusCode::OK);
    reply.set_written(&written);
    reply.set("x-ms-request-server-encrypted", "true");
    Ok(reply)
}

/// Set Blob Properties: the current version keeps its id and gets another ETag.
pub(super) fn properties(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Reply> {
    refuse_lacking(call)?;
    let conditions = Conditions::parse(call)?;
    let headers = ContentHeaders::of(call)?;
    let written = store.with(call.container(), |container| {
        let mut new = current(container, call, &conditions, now)?;
        let content = Content { headers, ..Content::clone(&new.content) };
        new.content = Arc::new(content);
        new.etag = Etag(container.stamp(now));
        new.last_modified = now;
        if let Some(slot) = container.blobs.get_mut(call.blob()).and_then(|entry| entry.current_mut()) {
            *slot = new.clone();
        }
        Ok(new)
    })?;
    let mut reply = Reply::new(StatusCode::OK);
    reply.set_validators(written.etag, written.last_modified);
    Ok(reply)
}

/// Snapshot Blob. With versioning it also makes a version, which becomes the current one.
pub(super) fn snapshot(store: &Store, call: &Call<'_>, policy: Policy, now: Timestamp) -> Result<Reply> {
    refuse_lacking(call)?;
    let conditions = Conditions::parse(call)?;
    let replacement = metadata(call)?;
    let (snapshot, base) = store.with(call.container(), |container| {
        let base = current(container, call, &conditions, now)?;
        let mut snapshot = State { stamp: container.stamp(now), versioned: false, ..base.clone() };
        if !replacement.is_empty() {
            snapshot.content = Arc::new(Content { metadata: replacement, ..Content::clone(&base.content) });
            snapshot.etag = Etag(snapshot.stamp);
            snapshot.last_modified = now;
        }
        let base =
            if policy.versioning { State { stamp: container.stamp(now), versioned: true, ..base } } else { base };
        if let Some(entry) = container.blobs.get_mut(call.blob()) {
            entry.add_snapshot(snapshot.clone());
            if policy.versioning {
                entry.amend(base.clone(), policy);
            }
        }
        Ok((snapshot, base))
    })?;
    let mut reply = Reply::new(StatusCode::CREATED);
    reply.set("x-ms-snapshot", &snapshot.stamp.id());
    reply.set_validators(snapshot.etag, snapshot.last_modified);
    reply.set_optional("x-ms-version-id", base.version_id().as_deref());
    Ok(reply)
}

/// The current state, if it exists and meets the conditions.
fn current(container: &mut Container, call: &Call<'_>, conditions: &Conditions, now: Timestamp) -> Result<State> {
    let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
    let current = entry.current().ok_or(Error::BlobNotFound)?;
    conditions.for_change(current.validators())?;
    Ok(current.clone())
}

/// A state written now.
fn state(
    container: &mut Container,
    content: Arc<Content>,
    created: Timestamp,
    policy: Policy,
    now: Timestamp,
) -> State {
    let stamp: Stamp = container.stamp(now);
    State {
        stamp,
        versioned: policy.versioning,
        etag: Etag(stamp),
        created,
        last_modified: now,
        content,
        deleted: None,
    }
}
