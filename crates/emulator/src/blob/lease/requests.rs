//! Lease Blob and Lease Container: reading the request and writing the answer.

use http::StatusCode;
use jiff::SignedDuration;

use super::{Action, Lease};
use crate::blob::conditions::Conditions;
use crate::blob::context::Context;
use crate::blob::errors::{Error, Result};
use crate::blob::reply::Reply;
use crate::blob::request::Call;
use crate::blob::store::Store;
use crate::blob::time::Stamp;

const ACTION: &str = "x-ms-lease-action";
const ID: &str = "x-ms-lease-id";
const PROPOSED: &str = "x-ms-proposed-lease-id";
const DURATION: &str = "x-ms-lease-duration";
const PERIOD: &str = "x-ms-lease-break-period";

/// Lease Blob.
pub(in crate::blob) fn blob(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    let conditions = Conditions::parse(call)?;
    store.with(call.container(), |container| {
        let action = action(call, container.upcoming(context.now))?;
        let entry = container.entry(call.blob(), context.now).ok_or(Error::BlobNotFound)?;
        let (validators, lease) = entry.leasing().ok_or(Error::BlobNotFound)?;
        conditions.for_change(validators)?;
        let mut reply = perform(lease, action, context)?;
        let current = entry.current().ok_or(Error::BlobNotFound)?;
        reply.set_validators(current.etag, current.last_modified);
        container.stamp(context.now);
        Ok(reply)
    })
}

/// Lease Container.
pub(in crate::blob) fn container(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    let conditions = Conditions::of_container(call)?;
    store.with(call.container(), |container| {
        let action = action(call, container.upcoming(context.now))?;
        conditions.for_change(container.validators())?;
        let mut reply = perform(&mut container.lease, action, context)?;
        reply.set_validators(container.etag, container.last_modified);
        // Uses up the stamp that may have become the lease's id.
        container.stamp(context.now);
        Ok(reply)
    })
}

fn perform(lease: &mut Option<Box<Lease>>, action: Action, context: &Context) -> Result<Reply> {
    let (status, shows_id) = match action {
        Action::Acquire { .. } => (StatusCode::CREATED, true),
        Action::Renew { .. } | Action::Change { .. } => (StatusCode::OK, true),
        Action::Release { .. } => (StatusCode::OK, false),
        Action::Break { .. } => (StatusCode::ACCEPTED, false),
    };
    let (after, seconds) = Lease::act(lease.as_deref(), action, context.now)?;
    *lease = after.map(Box::new);
    let mut reply = Reply::new(status);
    if let Some(lease) = lease.as_ref().filter(|_| shows_id) {
        reply.set(ID, &lease.id);
    }
    reply.set_optional("x-ms-lease-time", seconds.map(|seconds| seconds.to_string()).as_deref());
    Ok(reply)
}

/// Reads what is asked for; a lease that the caller names no id for gets one made of `stamp`.
fn action(call: &Call<'_>, stamp: Stamp) -> Result<Action> {
    let id = || call.header(ID)?.ok_or(Error::MissingHeader { name: ID }).map(str::to_owned);
    Ok(match call.header(ACTION)? {
        Some("acquire") => {
            Action::Acquire { proposed: proposed(call)?.unwrap_or_else(|| stamp.guid()), duration: duration(call)? }
        }
        Some("renew") => Action::Renew { id: id()? },
        Some("change") => {
            Action::Change { id: id()?, proposed: proposed(call)?.ok_or(Error::MissingHeader { name: PROPOSED })? }
        }
        Some("release") => Action::Release { id: id()? },
        Some("break") => Action::Break { period: period(call)? },
        Some(other) => return Err(Error::header(ACTION, other)),
        None => return Err(Error::MissingHeader { name: ACTION }),
    })
}

/// Reads a proposed id, which is a GUID.
fn proposed(call: &Call<'_>) -> Result<Option<String>> {
    let Some(text) = call.header(PROPOSED)? else {
        return Ok(None);
    };
    let bare = text.trim_start_matches(['{', '(']).trim_end_matches(['}', ')']);
    let digits = bare.chars().filter(|c| *c != '-');
    if digits.clone().count() == 32 && digits.clone().all(|c| c.is_ascii_hexdigit()) {
        Ok(Some(bare.to_ascii_lowercase()))
    } else {
        Err(Error::header(PROPOSED, text))
    }
}

/// Reads the duration: 15 to 60 seconds, or -1 for ever.
fn duration(call: &Call<'_>) -> Result<Option<SignedDuration>> {
    let text = call.header(DURATION)?.ok_or(Error::MissingHeader { name: DURATION })?;
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(seconds @ 15..=60) => Ok(Some(SignedDuration::from_secs(seconds))),
        _ => Err(Error::header(DURATION, text)),
    }
}

/// Reads the break period: 0 to 60 seconds.
fn period(call: &Call<'_>) -> Result<Option<SignedDuration>> {
    let Some(text) = call.header(PERIOD)? else {
        return Ok(None);
    };
    match text.parse::<i64>() {
        Ok(seconds @ 0..=60) => Ok(Some(SignedDuration::from_secs(seconds))),
        _ => Err(Error::header(PERIOD, text)),
    }
}
