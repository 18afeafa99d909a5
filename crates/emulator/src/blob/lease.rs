//! Leases of blobs and containers: the state machine, pure.
//!
//! The outcomes are the tables of "Lease Blob" and "Lease Container" of the Azure Storage REST reference. Time
//! enters as an argument, so a lease expires and breaks by the service's clock without anything running.

pub(super) mod requests;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::errors::{Error, Result};

/// A lease that was acquired, whatever became of it since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    id: String,
    /// `None`: it never expires.
    duration: Option<SignedDuration>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Held until then, or for ever.
    Held(Option<Timestamp>),
    /// Broken from then on.
    Ending(Timestamp),
}

/// What a lease is at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Available,
    Leased,
    Expired,
    Breaking,
    Broken,
}

/// What kind of resource a lease is on; it is part of the error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Blob,
    Container,
}

/// What a lease request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Acquire { proposed: String, duration: Option<SignedDuration> },
    Renew { id: String },
    Change { id: String, proposed: String },
    Release { id: String },
    Break { period: Option<SignedDuration> },
}

fn conflict(code: &'static str) -> Error {
    Error::Lease { status: StatusCode::CONFLICT, code }
}

fn failed(code: &'static str) -> Error {
    Error::Lease { status: StatusCode::PRECONDITION_FAILED, code }
}

fn view(lease: Option<&Lease>, now: Timestamp) -> View {
    match lease.map(|lease| lease.phase) {
        None => View::Available,
        Some(Phase::Held(until)) if until.is_some_and(|until| until <= now) => View::Expired,
        Some(Phase::Held(_)) => View::Leased,
        Some(Phase::Ending(at)) if at <= now => View::Broken,
        Some(Phase::Ending(_)) => View::Breaking,
    }
}

impl Lease {
    fn new(id: String, duration: Option<SignedDuration>, now: Timestamp) -> Self {
        let until = duration.map(|duration| now.checked_add(duration).unwrap_or(Timestamp::MAX));
        Self { id, duration, phase: Phase::Held(until) }
    }

    fn is(&self, id: &str) -> bool {
        self.id.eq_ignore_ascii_case(id)
    }

    /// Status, state and duration, as headers and listings show them.
    pub(super) fn shown(lease: Option<&Self>, now: Timestamp) -> (&'static str, &'static str, Option<&'static str>) {
        let duration = lease.map(|lease| if lease.duration.is_some() { "fixed" } else { "infinite" });
        match view(lease, now) {
            View::Available => ("unlocked", "available", None),
            View::Leased => ("locked", "leased", duration),
            View::Expired => ("unlocked", "expired", None),
            View::Breaking => ("locked", "breaking", None),
            View::Broken => ("unlocked", "broken", None),
        }
    }

    /// Judges a write (or the deletion of a container) that names `given`.
    pub(super) fn guard_write(lease: Option<&Self>, given: Option<&str>, on: Resource, now: Timestamp) -> Result<()> {
        match view(lease, now) {
            View::Leased | View::Breaking if given.is_none() => Err(failed("LeaseIdMissing")),
            _ => Self::guard_read(lease, given, on, now),
        }
    }

    /// Whether it has expired or was broken: a write ends such a lease.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        matches!(view(Some(self), now), View::Expired | View::Broken)
    }

    /// Judges an operation that a lease does not stand in the way of, but that may name one.
    pub(super) fn guard_read(lease: Option<&Self>, given: Option<&str>, on: Resource, now: Timestamp) -> Result<()> {
        let Some(given) = given else {
            return Ok(());
        };
        let (absent, mismatch) = match on {
            Resource::Blob => ("LeaseNotPresentWithBlobOperation", "LeaseIdMismatchWithBlobOperation"),
            Resource::Container => ("LeaseNotPresentWithContainerOperation", "LeaseIdMismatchWithContainerOperation"),
        };
        let Some(lease) = lease else {
            return Err(failed(absent));
        };
        match view(Some(lease), now) {
            _ if !lease.is(given) => Err(failed(mismatch)),
            View::Expired | View::Broken => Err(failed("LeaseLost")),
            View::Available | View::Leased | View::Breaking => Ok(()),
        }
    }

    /// Does what a lease request asks for: the lease afterwards, and the seconds until a break is complete.
    pub(super) fn act(lease: Option<&Self>, action: Action, now: Timestamp) -> Result<(Option<Self>, Option<i64>)> {
        let view = view(lease, now);
        match action {
            Action::Acquire { proposed, duration } => Self::acquire(lease, view, proposed, duration, now),
            Action::Break { period } => Self::break_off(lease, view, period, now),
            Action::Renew { id } => {
                let lease = Self::named(lease, &id)?;
                match view {
                    View::Breaking | View::Broken => Err(conflict("LeaseIsBrokenAndCannotBeRenewed")),
                    _ => Ok((Some(Self::new(lease.id.clone(), lease.duration, now)), None)),
                }
            }
            Action::Change { id, proposed } => match (lease, view) {
                (Some(lease), View::Leased) if lease.is(&id) || lease.is(&proposed) => {
                    Ok((Some(Self { id: proposed, ..lease.clone() }), None))
                }
                (_, View::Leased) => Err(conflict("LeaseIdMismatchWithLeaseOperation")),
                (Some(lease), View::Breaking) if lease.is(&id) => Err(conflict("LeaseIsBreakingAndCannotBeChanged")),
                (_, View::Breaking) => Err(conflict("LeaseIdMismatchWithLeaseOperation")),
                _ => Err(conflict("LeaseNotPresentWithLeaseOperation")),
            },
            Action::Release { id } => {
                Self::named(lease, &id)?;
                Ok((None, None))
            }
        }
    }

    fn named<'a>(lease: Option<&'a Self>, id: &str) -> Result<&'a Self> {
        lease.filter(|lease| lease.is(id)).ok_or_else(|| conflict("LeaseIdMismatchWithLeaseOperation"))
    }

    fn acquire(
        lease: Option<&Self>,
        view: View,
        proposed: String,
        duration: Option<SignedDuration>,
        now: Timestamp,
    ) -> Result<(Option<Self>, Option<i64>)> {
        let own = lease.is_some_and(|lease| lease.is(&proposed));
        match view {
            View::Leased if !own => Err(conflict("LeaseAlreadyPresent")),
            View::Breaking if own => Err(conflict("LeaseIsBreakingAndCannotBeAcquired")),
            View::Breaking => Err(conflict("LeaseAlreadyPresent")),
            _ => Ok((Some(Self::new(proposed, duration, now)), None)),
        }
    }

    /// A break takes as long as asked for, but never longer than the lease (or the break under way) has left.
    fn break_off(
        lease: Option<&Self>,
        view: View,
        period: Option<SignedDuration>,
        now: Timestamp,
    ) -> Result<(Option<Self>, Option<i64>)> {
        let lease = lease.ok_or_else(|| conflict("LeaseNotPresentWithLeaseOperation"))?;
        let left = match (lease.phase, view) {
            (_, View::Expired | View::Broken | View::Available) => Some(SignedDuration::ZERO),
            (Phase::Held(until), _) => until.map(|until| until.duration_since(now)),
            (Phase::Ending(at), _) => Some(at.duration_since(now)),
        };
        let wait = match (period, left) {
            (Some(period), Some(left)) => period.min(left),
            (Some(period), None) => period,
            (None, left) => left.unwrap_or(SignedDuration::ZERO),
        };
        let at = now.checked_add(wait).unwrap_or(Timestamp::MAX);
        // Whole seconds, rounded up: a client that waits so long finds the lease broken.
        let seconds = wait.as_secs() + i64::from(wait.subsec_nanos() > 0);
        Ok((Some(Self { phase: Phase::Ending(at), ..lease.clone() }), Some(seconds)))
    }
}

#[cfg(test)]
mod tests;
