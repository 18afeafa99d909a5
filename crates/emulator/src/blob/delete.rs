//! Operations that delete and restore: Delete Blob (base, version, snapshot) and Undelete Blob.

use http::StatusCode;
use jiff::Timestamp;

use super::conditions::Conditions;
use super::entry::{Kind, Policy};
use super::errors::{Error, Result};
use super::get::Which;
use super::reply::Reply;
use super::request::Call;
use super::store::{Container, Store};

/// Delete Blob.
pub(super) fn blob(store: &Store, call: &Call<'_>, policy: Policy, now: Timestamp) -> Result<Reply> {
    if call.headers.contains_key("x-ms-lease-id") {
        return Err(Error::lacks("the header x-ms-lease-id"));
    }
    if call.query.get("deletetype").is_some_and(|kind| kind.eq_ignore_ascii_case("permanent")) {
        return Err(Error::lacks("permanent deletes (deletetype=permanent)"));
    }
    let conditions = Conditions::parse(call)?;
    let which = Which::of(call)?;
    let kept = store.with(call.container(), |container| {
        let kept = match which {
            Which::Current => base(container, call, &conditions, policy, now),
            Which::Version(id) => {
                let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
                let (version, is_current) = entry.version(id).ok_or(Error::BlobNotFound)?;
                if is_current {
                    return Err(Error::OperationNotAllowedOnRootBlob);
                }
                conditions.for_change(version.validators())?;
                entry.delete_older(id, Kind::Version, policy, now).ok_or(Error::BlobNotFound)
            }
            Which::Snapshot(id) => {
                let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
                let snapshot = entry.snapshot(id).ok_or(Error::BlobNotFound)?;
                conditions.for_change(snapshot.validators())?;
                entry.delete_older(id, Kind::Snapshot, policy, now).ok_or(Error::BlobNotFound)
            }
        }?;
        // Drops the entry if nothing is left of it.
        container.entry(call.blob(), now);
        Ok(kept)
    })?;
    let mut reply = Reply::new(StatusCode::ACCEPTED);
    reply.set("x-ms-delete-type-permanent", if kept { "false" } else { "true" });
    Ok(reply)
}

/// Deletes the current state, its snapshots, or both, as `x-ms-delete-snapshots` says.
fn base(
    container: &mut Container,
    call: &Call<'_>,
    conditions: &Conditions,
    policy: Policy,
    now: Timestamp,
) -> Result<bool> {
    let entry = container.entry(call.blob(), now).ok_or(Error::BlobNotFound)?;
    let current = entry.current().ok_or(Error::BlobNotFound)?;
    conditions.for_change(current.validators())?;
    match call.header("x-ms-delete-snapshots")? {
        None if entry.has_snapshots() => Err(Error::SnapshotsPresent),
        None => Ok(entry.delete_current(policy, now)),
        Some("include") => {
            entry.delete_snapshots(policy, now);
            Ok(entry.delete_current(policy, now))
        }
        Some("only") => {
            entry.delete_snapshots(policy, now);
            Ok(policy.soft_delete_days > 0)
        }
        Some(other) => Err(Error::InvalidHeader { name: "x-ms-delete-snapshots".to_owned(), value: other.to_owned() }),
    }
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
