//! Version-level immutability: the policy and the legal hold of a state, and the operations that set them.
//!
//! Invariants: a locked policy is only ever extended; neither operation changes ETag or Last-Modified. What a
//! protected state refuses is asked of [`Protection::guard`]. A new state starts with what its own request says,
//! never with what the state before it had. (Azure Storage: "Version-level WORM policies for immutable blob data".)

use http::StatusCode;
use jiff::Timestamp;

use super::conditions::Conditions;
use super::context::Context;
use super::entry::State;
use super::errors::{Error, Result};
use super::reply::Reply;
use super::request::Call;
use super::store::Store;
use super::time::{http_date, parse_http_date};
use super::which::Which;

const UNTIL: &str = "x-ms-immutability-policy-until-date";
const MODE: &str = "x-ms-immutability-policy-mode";
const HOLD: &str = "x-ms-legal-hold";

/// A time-based retention policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retention {
    pub(super) until: Timestamp,
    pub(super) locked: bool,
}

impl Retention {
    /// The mode as headers and listings write it.
    pub(super) fn mode(self) -> &'static str {
        if self.locked { "locked" } else { "unlocked" }
    }

    fn parse(call: &Call<'_>, now: Timestamp) -> Result<Option<Self>> {
        let mode = call.header(MODE)?;
        let Some(until) = call.header(UNTIL)? else {
            return if mode.is_some() { Err(Error::MissingHeader { name: UNTIL }) } else { Ok(None) };
        };
        let instant = parse_http_date(until).filter(|instant| *instant > now);
        let instant = instant.ok_or_else(|| Error::header(UNTIL, until))?;
        let locked = match mode {
            None => false,
            Some(mode) if mode.eq_ignore_ascii_case("unlocked") => false,
            Some(mode) if mode.eq_ignore_ascii_case("locked") => true,
            Some(mode) => return Err(Error::header(MODE, mode)),
        };
        Ok(Some(Self { until: instant, locked }))
    }

    /// Whether this one may take the place of `old`.
    fn may_replace(self, old: Option<Self>) -> bool {
        old.is_none_or(|old| !old.locked || (self.locked && self.until >= old.until))
    }
}

/// What protects a state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Protection {
    pub(super) retention: Option<Retention>,
    pub(super) legal_hold: bool,
}

impl Protection {
    /// Reads the headers of a write.
    pub(super) fn of_headers(call: &Call<'_>, context: &Context) -> Result<Self> {
        let protection = Self { retention: Retention::parse(call, context.now)?, legal_hold: call.flag(HOLD)? };
        if protection != Self::default() {
            demand_support(context)?;
        }
        Ok(protection)
    }

    /// Refuses what a protected state does not allow.
    pub(super) fn guard(&self, now: Timestamp) -> Result<()> {
        if self.legal_hold {
            return Err(Error::ImmutableDueToLegalHold);
        }
        match self.retention {
            Some(retention) if retention.until > now => Err(Error::ImmutableDueToPolicy),
            _ => Ok(()),
        }
    }

    /// Refuses a change of metadata, which even an expired policy does not allow.
    pub(super) fn guard_metadata(&self) -> Result<()> {
        match self.retention {
            _ if self.legal_hold => Err(Error::ImmutableDueToLegalHold),
            Some(_) => Err(Error::ImmutableDueToPolicy),
            None => Ok(()),
        }
    }

    /// From when on a deleted state may vanish that otherwise would at `at`; `None`: never.
    pub(super) fn not_before(&self, at: Timestamp) -> Option<Timestamp> {
        if self.legal_hold {
            return None;
        }
        Some(self.retention.map_or(at, |retention| at.max(retention.until)))
    }

    /// Writes the headers of a read.
    pub(super) fn describe(&self, reply: &mut Reply) {
        if let Some(retention) = self.retention {
            reply.set(UNTIL, &http_date(retention.until));
            reply.set(MODE, retention.mode());
        }
        if self.legal_hold {
            reply.set(HOLD, "true");
        }
    }
}

/// Set Blob Immutability Policy.
pub(super) fn set_policy(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    demand_support(context)?;
    let retention = Retention::parse(call, context.now)?.ok_or(Error::MissingHeader { name: UNTIL })?;
    change(store, call, context, |state| {
        let old = &mut state.aside.protection.retention;
        if !retention.may_replace(*old) {
            return Err(Error::ImmutableDueToPolicy);
        }
        *old = Some(retention);
        Ok(())
    })?;
    let mut reply = Reply::new(StatusCode::OK);
    reply.set(UNTIL, &http_date(retention.until));
    reply.set(MODE, retention.mode());
    Ok(reply)
}

/// Delete Blob Immutability Policy.
pub(super) fn delete_policy(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    demand_support(context)?;
    change(store, call, context, |state| {
        let old = &mut state.aside.protection.retention;
        if old.is_some_and(|old| old.locked) {
            return Err(Error::DeleteOfLockedPolicy);
        }
        *old = None;
        Ok(())
    })?;
    Ok(Reply::new(StatusCode::OK))
}

/// Set Blob Legal Hold.
pub(super) fn set_hold(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    demand_support(context)?;
    if call.header(HOLD)?.is_none() {
        return Err(Error::MissingHeader { name: HOLD });
    }
    let hold = call.flag(HOLD)?;
    change(store, call, context, |state| {
        state.aside.protection.legal_hold = hold;
        Ok(())
    })?;
    let mut reply = Reply::new(StatusCode::OK);
    reply.set(HOLD, if hold { "true" } else { "false" });
    Ok(reply)
}

fn change(
    store: &Store,
    call: &Call<'_>,
    context: &Context,
    work: impl FnOnce(&mut State) -> Result<()>,
) -> Result<()> {
    let conditions = Conditions::parse(call)?;
    let which = Which::of(call)?;
    store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), context.now).ok_or(Error::BlobNotFound)?;
        let state = entry.find_mut(which).ok_or(Error::BlobNotFound)?;
        conditions.for_change(state.validators())?;
        work(state)
    })
}

fn demand_support(context: &Context) -> Result<()> {
    if context.policy.worm { Ok(()) } else { Err(Error::VersionLevelImmutabilityOff) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(second: i64, locked: bool) -> Retention {
        Retention { until: Timestamp::from_second(second).unwrap(), locked }
    }

    #[test]
    fn a_locked_policy_is_extended_and_nothing_else() {
        let locked = Some(retention(100, true));
        assert!(retention(100, true).may_replace(locked));
        assert!(retention(101, true).may_replace(locked));
        assert!(!retention(99, true).may_replace(locked));
        assert!(!retention(200, false).may_replace(locked));
        assert!(retention(1, true).may_replace(Some(retention(100, false))));
        assert!(retention(1, false).may_replace(None));
    }

    #[test]
    fn protection_ends_with_the_policy_but_not_with_time_for_a_hold() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let policy = Protection { retention: Some(retention(100, false)), legal_hold: false };
        assert_eq!(policy.guard(at(99)), Err(Error::ImmutableDueToPolicy));
        assert_eq!(policy.guard(at(100)), Ok(()));
        assert_eq!(policy.guard_metadata(), Err(Error::ImmutableDueToPolicy));
        assert_eq!(policy.not_before(at(50)), Some(at(100)));
        assert_eq!(policy.not_before(at(150)), Some(at(150)));
        let held = Protection { retention: None, legal_hold: true };
        assert_eq!(held.guard(at(1_000)), Err(Error::ImmutableDueToLegalHold));
        assert_eq!(held.not_before(at(50)), None);
        assert_eq!(Protection::default().guard_metadata(), Ok(()));
    }
}
