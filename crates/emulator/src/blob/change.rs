//! Operations that change a blob and keep its bytes: Set Blob Metadata, Set Blob Properties, Snapshot Blob.

use std::sync::Arc;

use http::StatusCode;

use super::conditions::Conditions;
use super::content::{Content, ContentHeaders, metadata, refuse_lacking};
use super::context::Context;
use super::encryption::Encryption;
use super::entry::{Aside, State};
use super::errors::{Error, Result};
use super::immutability::Protection;
use super::put::state;
use super::reply::Reply;
use super::request::Call;
use super::store::{Container, Store};
use super::time::Etag;

/// Set Blob Metadata: another version with the same bytes.
pub(super) fn blob_metadata(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    refuse_lacking(call)?;
    let conditions = Conditions::parse(call)?;
    let metadata = metadata(call)?;
    let key = Encryption::of(call)?;
    let written = store.with(call.container(), |container| {
        let current = current(container, call, &conditions, context)?;
        current.content.encryption.open(&key)?;
        current.aside.protection.guard_metadata()?;
        let content = Content { metadata, ..Content::clone(&current.content) };
        let new = state(container, Arc::new(content), current.aside, current.created, context.policy, context.now);
        if let Some(entry) = container.blobs.get_mut(call.blob()) {
            entry.settle_lease(context.now);
            entry.amend(new.clone(), context.policy);
        }
        Ok(new)
    })?;
    let mut reply = Reply::new(StatusCode::OK);
    reply.set_written(&written);
    reply.set("x-ms-request-server-encrypted", "true");
    Ok(reply)
}

/// Set Blob Properties: the current version keeps its id and gets another ETag. Version-level policies and holds do
/// not forbid it: what they protect is bytes and metadata.
pub(super) fn properties(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    refuse_lacking(call)?;
    let conditions = Conditions::parse(call)?;
    let headers = ContentHeaders::of(call)?;
    let written = store.with(call.container(), |container| {
        let mut new = current(container, call, &conditions, context)?;
        let content = Content { headers, ..Content::clone(&new.content) };
        new.content = Arc::new(content);
        new.etag = Etag(container.stamp(context.now));
        new.last_modified = context.now;
        // A blob that was changed no longer tells of the copy that made it.
        new.aside.copied = None;
        if let Some(entry) = container.blobs.get_mut(call.blob()) {
            entry.settle_lease(context.now);
            if let Some(slot) = entry.current_mut() {
                *slot = new.clone();
            }
        }
        Ok(new)
    })?;
    let mut reply = Reply::new(StatusCode::OK);
    reply.set_validators(written.etag, written.last_modified);
    Ok(reply)
}

/// Snapshot Blob. With versioning it also makes a version, which becomes the current one. Protection stays with the
/// states that have it: neither the snapshot nor the new version takes it over.
pub(super) fn snapshot(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    refuse_lacking(call)?;
    let conditions = Conditions::parse(call)?;
    let replacement = metadata(call)?;
    let key = Encryption::of(call)?;
    let lease = call.header("x-ms-lease-id")?;
    let (policy, now) = (context.policy, context.now);
    let (snapshot, base) = store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
        let base = entry.current().ok_or(Error::BlobNotFound)?;
        conditions.for_change(base.validators())?;
        entry.guard_read(lease, now)?;
        base.content.encryption.open(&key)?;
        let base = base.clone();
        let aside = Aside { protection: Protection::default(), ..base.aside.clone() };
        let mut snapshot =
            State { stamp: container.stamp(now), versioned: false, aside: aside.clone(), ..base.clone() };
        if !replacement.is_empty() {
            snapshot.content = Arc::new(Content { metadata: replacement, ..Content::clone(&base.content) });
            snapshot.etag = Etag(snapshot.stamp);
            snapshot.last_modified = now;
        }
        let base = match policy.versioning {
            true => State { stamp: container.stamp(now), versioned: true, aside, ..base },
            false => base,
        };
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

/// The current state, if it exists, meets the conditions and its lease is named.
fn current(container: &mut Container, call: &Call<'_>, conditions: &Conditions, context: &Context) -> Result<State> {
    let entry = container.entry(call.blob(), context.now).ok_or(Error::BlobNotFound)?;
    let current = entry.current().ok_or(Error::BlobNotFound)?;
    conditions.for_change(current.validators())?;
    entry.guard_write(call.header("x-ms-lease-id")?, context.now)?;
    Ok(current.clone())
}
