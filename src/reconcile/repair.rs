//! Putting right what differs: one conditional put on the head that was compared, or nothing.
//!
//! What the source holds and the mirror lacks becomes a version (`reconcile`), and what the source no longer holds a tombstone. Nothing is
//! overwritten that changed since the comparison: then the follower was quicker, and the document is looked at the next time.
//! What stood in between is not known, and the version says so: `after` is the last instant for which the head beneath is known to
//! have been the document's state. Damaged bytes are not mended: what the source holds now need not be what was damaged.

use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{Op, PartitionKey, Version};

use super::compare::{Candidate, State};
use super::judge::{Drift, look};
use super::{Reconcile, Repair, Report};
use crate::crash::crash_point;
use crate::failure::{Action, Failure};
use crate::history::MirrorReader;
use crate::mirror::order::{Decision, decide};
use crate::retry::Backoff;
use crate::store::{Condition, Put};

/// Attempts where the target does not answer; each looks first at what the one before has done.
const ATTEMPTS_MAX: u32 = 8;

/// How a repair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repaired {
    /// The mirror's newest version is right again.
    Yes,
    /// The document changed in the mirror meanwhile.
    Overtaken,
    /// It is not of a kind that can be put right, or the mirror's version is the newer one.
    No,
}

/// What is the same for every repair.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// Resource id of the source container.
    pub(super) rid: &'a str,
    /// An upper bound of the instant at which the documents were last looked for.
    pub(super) now: i64,
    /// Whether the start of the last reconciliation says that what is there now was there then.
    pub(super) by_reconciliation: bool,
}

/// The version that puts a difference right; none where none does. Pure.
pub(super) fn version(drift: &Drift, candidate: &Candidate, key: PartitionKey, terms: &Terms<'_>) -> Option<Version> {
    let part = drift.part.as_ref()?;
    let tombstone = match drift.state {
        State::Missing | State::Stale => false,
        State::Extra => true,
        State::Equal | State::Different | State::Absent => return None,
    };
    let live = drift.live.as_ref().filter(|_| !tombstone);
    // The scan's number belongs to the version it saw.
    let numbered = candidate.seen.as_ref().zip(live).filter(|((etag, _), live)| *etag == live.document.etag);
    // More may have happened in the second in which the head beneath was committed.
    let held_until = drift.held_ts.map(|ts| ts - 1);
    let known_until = match part.reconciled.filter(|_| tombstone && terms.by_reconciliation) {
        Some(reconciled) => held_until.map(|ts| ts.max(reconciled)),
        None => held_until,
    };
    let body = live.map(|live| &live.document.bytes[..]).unwrap_or_default();
    let version = Version {
        op: if tombstone { Op::Delete } else { Op::Reconcile },
        ts: live.map_or(terms.now, |live| live.ts),
        lsn: numbered.and_then(|((_, lsn), _)| *lsn),
        nth: None,
        lineage: part.lineage.clone(),
        etag: live.map(|live| live.document.etag.clone()),
        rid: terms.rid.to_owned(),
        id: candidate.id.clone(),
        pk: key,
        prev: drift.known.as_ref().map(|known| known.identity.clone()),
        after: known_until,
        omitted: None,
        encryption: None,
        sha256: sha256_hex(body),
    };
    // A tombstone's time is only the end of an interval; where it would not be the later one, a clock is wrong.
    let is_newer = match tombstone {
        true => drift.held_ts.is_some_and(|held| held <= version.ts),
        false => matches!(decide(drift.known.as_ref(), &version), Decision::Put | Decision::Open),
    };
    is_newer.then_some(version)
}

/// Puts it right.
pub(super) async fn repair(
    mirror: &MirrorReader,
    drift: &Drift,
    candidate: &Candidate,
    key: PartitionKey,
    terms: &Terms<'_>,
) -> Result<Repaired, Failure> {
    let Some(version) = version(drift, candidate, key, terms) else { return Ok(Repaired::No) };
    // In the same second as the head the order is open, and what is stored beneath it is the older one.
    let open = decide(drift.known.as_ref(), &version) == Decision::Open && !version.is_tombstone();
    if open && is_stored(mirror, &version).await? {
        return Ok(Repaired::No);
    }
    let body = drift.live.as_ref().filter(|_| !version.is_tombstone()).map(|live| live.document.bytes.clone());
    let put = Put {
        name: candidate.name.clone(),
        body: body.unwrap_or_default(),
        metadata: version.to_metadata(),
        condition: drift.known.as_ref().map_or(Condition::Absent, |known| Condition::Matches(known.etag.clone())),
    };
    conditional(mirror, put, &version).await
}

impl Reconcile<'_> {
    /// Compares, and puts right what differs where that is asked for.
    pub async fn run(&self) -> Result<Report, Failure> {
        let report = self.compare().await?;
        if self.request.repair != Repair::No {
            // A repair that died before it was whole is found equal here, and never put again.
            self.mirror.store.settle(&self.mirror.paths).await?;
        }
        Ok(report)
    }
}

async fn conditional(mirror: &MirrorReader, put: Put, version: &Version) -> Result<Repaired, Failure> {
    let mut backoff = Backoff::default();
    for attempt in 1.. {
        crash_point!("repair-to-put");
        let failure = match mirror.store.put(put.clone()).await {
            Ok(_) => {
                crash_point!("repair-put");
                return Ok(Repaired::Yes);
            }
            Err(failure) => failure,
        };
        match failure.kind.action() {
            Action::Look => {
                // An answer that was lost may have been the one that said it is done.
                let head = look(mirror, &put.name).await?;
                let stored = head.and_then(|head| head.version.ok()).map(|stored| stored.identity());
                return Ok(if stored == Some(version.identity()) { Repaired::Yes } else { Repaired::Overtaken });
            }
            Action::Retry if attempt < ATTEMPTS_MAX => {
                tokio::time::sleep(backoff.next(failure.retry_after)).await;
            }
            Action::DeadLetter => {
                tracing::warn!(name = put.name, error = %failure, "the target refuses this document");
                return Ok(Repaired::No);
            }
            _ => return Err(failure),
        }
    }
    Ok(Repaired::No)
}

async fn is_stored(mirror: &MirrorReader, version: &Version) -> Result<bool, Failure> {
    let history = mirror.history(&version.pk, &version.id).await?;
    Ok(history.entries.iter().any(|entry| entry.version.identity() == version.identity()))
}
