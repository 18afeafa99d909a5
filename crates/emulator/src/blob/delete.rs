//! Operations that delete and restore: Delete Blob (base, version, snapshot) and Undelete Blob.

use http::StatusCode;
use jiff::Timestamp;

use super::conditions::Conditions;
use super::context::Context;
use super::entry::{Entry, Kind};
use super::errors::{Error, Result};
use super::reply::Reply;
use super::request::Call;
use super::store::Store;
use super::which::Which;

/// Delete Blob.
pub(super) fn blob(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    if call.query.get("deletetype").is_some_and(|kind| kind.eq_ignore_ascii_case("permanent")) {
        return Err(Error::lacks("permanent deletes (deletetype=permanent)"));
    }
    let conditions = Conditions::parse(call)?;
    let which = Which::of(call)?;
    let (policy, now) = (context.policy, context.now);
    let kept = store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
        let (state, is_current) = entry.find(which).ok_or(Error::BlobNotFound)?;
        if is_current && which != Which::Current {
            return Err(Error::OperationNotAllowedOnRootBlob);
        }
        conditions.for_change(state.validators())?;
        if which != Which::Current && call.headers.contains_key("x-ms-delete-snapshots") {
            return Err(Error::InvalidOperation);
        }
        let kept = match which {
            Which::Current => base(entry, call, context)?,
            Which::Version(id) | Which::Snapshot(id) => {
                state.aside.protection.guard(now)?;
                let kind = if matches!(which, Which::Version(_)) { Kind::Version } else { Kind::Snapshot };
                entry.delete_older(id, kind, policy, now).ok_or(Error::BlobNotFound)?
            }
        };
        // Drops the entry if nothing is left of it.
        container.entry(call.blob(), now);
        Ok(kept)
    })?;
    let mut reply = Reply::new(StatusCode::ACCEPTED);
    reply.set("x-ms-delete-type-permanent", if kept { "false" } else { "true" });
    Ok(reply)
}

/// Deletes the current state, its snapshots, or both, as `x-ms-delete-snapshots` says. What is protected is not
/// deleted, although versioning would keep it: the service refuses that too.
fn base(entry: &mut Entry, call: &Call<'_>, context: &Context) -> Result<bool> {
    let (policy, now) = (context.policy, context.now);
    let (with_snapshots, with_base) = match call.header("x-ms-delete-snapshots")? {
        None if entry.snapshots().next().is_some() => return Err(Error::SnapshotsPresent),
        None => (false, true),
        Some("include") => (true, true),
        Some("only") => (true, false),
        Some(other) => return Err(Error::header("x-ms-delete-snapshots", other)),
    };
    entry.guard_write(call.header("x-ms-lease-id")?, now)?;
    let snapshots = entry.snapshots().filter(|_| with_snapshots);
    let doomed = snapshots.chain(entry.current().filter(|_| with_base));
    for state in doomed {
        state.aside.protection.guard(now)?;
    }
    if with_snapshots {
        entry.delete_snapshots(policy, now);
    }
    Ok(if with_base { entry.delete_current(policy, now) } else { policy.soft_delete_days > 0 })
}

/// Undelete Blob: everything soft-deleted under the name comes back; no version becomes the current one.
pub(super) fn undelete(store: &Store, call: &Call<'_>, now: Timestamp) -> Result<Reply> {
    store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
        entry.undelete();
        Ok(())
    })?;
    Ok(Reply::new(StatusCode::OK))
}
