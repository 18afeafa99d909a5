//! Writing a blob anew: Put Blob, and the step that it shares with Put Block List and the copies.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;

use super::conditions::Conditions;
use super::content::Content;
use super::context::Context;
use super::draft::Draft;
use super::entry::{Aside, Policy, State};
use super::errors::{Error, Result};
use super::reply::Reply;
use super::request::Call;
use super::store::{Container, Store};
use super::time::{Etag, Stamp};

/// Put Blob.
pub(super) fn blob(store: &Store, call: &Call<'_>, body: Bytes, context: &Context) -> Result<Reply> {
    let conditions = Conditions::parse(call)?;
    let draft = Draft::of_put(call, body, context)?;
    let written = store.with(call.container(), |container| write(container, call, draft, &conditions, context))?;
    let mut reply = Reply::new(StatusCode::CREATED);
    reply.set_written(&written);
    reply.set_optional("content-md5", written.content.headers.md5.as_deref());
    reply.set_optional("x-ms-content-crc64", call.header("x-ms-content-crc64")?);
    reply.set("x-ms-request-server-encrypted", "true");
    Ok(reply)
}

/// Writes a blob anew, if caller, lease, conditions, container and the state that is there allow it.
pub(super) fn write(
    container: &mut Container,
    call: &Call<'_>,
    draft: Draft,
    conditions: &Conditions,
    context: &Context,
) -> Result<State> {
    let Context { access, policy, now, .. } = *context;
    let Draft { content: mut new_content, aside } = draft;
    new_content.encryption = new_content.encryption.under(&container.scope_rule)?;
    let lease = call.header("x-ms-lease-id")?;
    let mut created = now;
    if let Some(entry) = container.entry(call.blob(), now) {
        if let Some(current) = entry.current() {
            if !access.overwrite {
                return Err(Error::UnauthorizedOverwrite);
            }
            conditions.for_put(Some(current.validators()))?;
            if !policy.versioning && !current.versioned {
                // Without a version to keep it, the state would be lost.
                current.aside.protection.guard(now)?;
            }
            created = current.created;
        } else {
            conditions.for_put(None)?;
        }
        entry.guard_write(lease, now)?;
    } else {
        conditions.for_put(None)?;
        super::lease::Lease::guard_write(None, lease, super::lease::Resource::Blob, now)?;
    }
    let new = state(container, Arc::new(new_content), aside, created, policy, now);
    match container.blobs.get_mut(call.blob()) {
        Some(entry) => {
            entry.settle_lease(now);
            entry.overwrite(new.clone(), policy, now);
        }
        None => {
            container.blobs.entry(call.blob().to_owned()).or_default().overwrite(new.clone(), policy, now);
        }
    }
    Ok(new)
}

/// A state written now.
pub(super) fn state(
    container: &mut Container,
    content: Arc<Content>,
    aside: Aside,
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
        aside,
        deleted: None,
    }
}
