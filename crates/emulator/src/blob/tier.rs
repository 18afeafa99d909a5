//! Access tiers, and Set Blob Tier.
//!
//! A tier belongs to one state and changes in place, without another ETag. An archived state is not read until
//! another tier is set; the service takes hours to bring its bytes back, here they are back at once.

use http::StatusCode;
use jiff::Timestamp;

use super::conditions::Conditions;
use super::context::Context;
use super::errors::{Error, Result};
use super::reply::Reply;
use super::request::Call;
use super::store::Store;
use super::time::http_date;
use super::which::Which;

const HEADER: &str = "x-ms-access-tier";

/// The tiers of block blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    Hot,
    Cool,
    Cold,
    Archive,
    Smart,
}

impl Tier {
    /// The tier as headers and listings write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hot => "Hot",
            Self::Cool => "Cool",
            Self::Cold => "Cold",
            Self::Archive => "Archive",
            Self::Smart => "Smart",
        }
    }
}

/// A tier that was set, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiered {
    pub(super) tier: Tier,
    pub(super) since: Timestamp,
}

impl Tiered {
    /// Reads the header of a request; absent: the account's default stays.
    pub(super) fn of_header(call: &Call<'_>, now: Timestamp) -> Result<Option<Self>> {
        let Some(text) = call.header(HEADER)? else {
            return Ok(None);
        };
        let tiers = [Tier::Hot, Tier::Cool, Tier::Cold, Tier::Archive, Tier::Smart];
        let tier = tiers.into_iter().find(|tier| tier.name().eq_ignore_ascii_case(text));
        let tier = tier.ok_or_else(|| Error::header(HEADER, text))?;
        Ok(Some(Self { tier, since: now }))
    }

    /// Writes the headers of a read.
    pub(super) fn describe(tiered: Option<Self>, reply: &mut Reply) {
        reply.set(HEADER, tiered.map_or(Tier::Hot, |tiered| tiered.tier).name());
        match tiered {
            Some(tiered) => reply.set("x-ms-access-tier-change-time", &http_date(tiered.since)),
            None => reply.set("x-ms-access-tier-inferred", "true"),
        }
    }

    /// Refuses what needs the bytes of an archived state.
    pub(super) fn guard(tiered: Option<Self>) -> Result<()> {
        match tiered {
            Some(Self { tier: Tier::Archive, .. }) => Err(Error::BlobArchived),
            _ => Ok(()),
        }
    }
}

/// Set Blob Tier, of the current state, a version or a snapshot.
pub(super) fn set(store: &Store, call: &Call<'_>, context: &Context) -> Result<Reply> {
    let tiered = Tiered::of_header(call, context.now)?.ok_or(Error::MissingHeader { name: HEADER })?;
    let conditions = Conditions::parse(call)?;
    let which = Which::of(call)?;
    let lease = call.header("x-ms-lease-id")?;
    let before = store.with(call.container(), |container| {
        let entry = container.entry(call.blob(), context.now).ok_or(Error::BlobNotFound)?;
        // A lease does not stand in the way of another tier, but one that is named must be there.
        entry.guard_read(lease, context.now)?;
        let state = entry.find_mut(which).ok_or(Error::BlobNotFound)?;
        conditions.for_change(state.validators())?;
        Ok(state.aside.tier.replace(tiered))
    })?;
    let rehydrates = Tiered::guard(before).is_err() && Tiered::guard(Some(tiered)).is_ok();
    Ok(Reply::new(if rehydrates { StatusCode::ACCEPTED } else { StatusCode::OK }))
}
