//! What must hold, concluded from the service's log alone.
//!
//! - A put of a document begins only while its replica's lease of the document's range cannot have run out before the put has
//!   ended, a stored version is the one that follows the stored one, whole, and a tombstone that a reconciliation stores is true
//!   ([`versions`]).
//! - What a lease says is stored is stored: up to its position, its backfill's position and its watermark. A lease is taken only from
//!   an owner that did not renew it in time, and deleted only where others cover its range ([`leases`]).
//! - Every instant for which the mirror says it can answer is answered right ([`window`]).
//! - What a lease says that a second target holds is there ([`replica`]).
//! - In the end everything is stored, and the leases tile the key space ([`settled`]).
//!
//! **All versions**: where following began is what the first lease of a range says it is: everything behind it must come, each
//! version once and in order, and what existed before must come in its state.
//!
//! **Latest version**: what must come is each document's newest version, and of those before it some, each once and in order. What was
//! deleted must be known once a reconciliation says so.

use cosmirror_formats::lease::uncovered;
use cosmirror_formats::{EpkRange, Lease};

use super::world::{Change, Doc, World, contains};
use crate::config::FeedMode;

mod leases;
mod replica;
mod settled;
mod versions;
mod window;

pub(super) use leases::{asked_for_now, lease_deleted, lease_written};
pub(super) use replica::SOUTH;
pub(super) use settled::{last_renewal, orphan, owned, unbalanced, unsettled};
pub(super) use versions::{put_begins, put_done};
pub(super) use window::untrue;

const BACKFILL_TOKEN: &str = "cosmirror.backfill.token";
const BACKFILL_NOW: &str = "cosmirror.backfill.now";
const BACKFILLED: &str = "cosmirror.backfilled";
const RECONCILED: &str = "cosmirror.reconciled";
const WATERMARK: &str = "cosmirror.watermark";

/// Where a lease that was made of nothing says that following its range began.
#[derive(Debug)]
pub(super) struct Began {
    /// None where it was followed before, and a gap lies in between.
    lease: Option<String>,
    range: EpkRange,
    lsn: u64,
    /// Whether it was followed.
    moved: bool,
}

impl World {
    /// Whether the feed gives only the newest version of each document.
    fn shows_newest_only(&self) -> bool {
        self.mode == FeedMode::LatestVersion
    }

    /// The first and the last position at which following this key may be said to have begun. They differ where two
    /// replicas made the leases at the same time and a split lay between, and where it began anew behind a gap.
    fn began(&self, epk: &str) -> Option<(u64, u64)> {
        let all = || self.began.iter().filter(|began| contains(&began.range, epk));
        let first = || all().filter(|began| began.lease.is_some());
        let any_moved = first().any(|began| began.moved);
        let counted = || first().filter(|began| began.moved || !any_moved).map(|began| began.lsn);
        let anew = all().filter(|began| began.lease.is_none()).map(|began| began.lsn).max();
        Some((counted().min().or(anew)?, counted().max().max(anew)?))
    }

    fn epk(&self, change: &Change) -> &str {
        &self.documents[change.document].epk
    }

    /// The changes of a range that the feed gives to whoever followed it from where following began, and that are not stored.
    fn missing(&self, range: &EpkRange) -> impl Iterator<Item = &Change> {
        let changes = self.unstored.iter().map(|&place| (place, &self.log[place]));
        let within = changes.filter(|(_, change)| contains(range, self.epk(change)));
        let given = |(place, change): &(usize, &Change)| {
            if self.shows_newest_only() {
                let newest = self.documents[change.document].changes.last() == Some(place);
                return newest && !change.op.is_delete();
            }
            self.began(self.epk(change)).is_none_or(|(_, last)| change.lsn > last)
        };
        within.filter(given).map(|(_, change)| change)
    }

    /// Documents of a range that stand as they did before following began, not stored.
    fn missing_before(&self, range: &EpkRange, until: u64) -> Option<&str> {
        let within = self.documents.iter().filter(|document| contains(range, &document.epk));
        let mut missing = within.filter(|document| {
            let Some(&last) = document.changes.last() else { return false };
            let Some((_, began)) = self.began(&document.epk) else { return true };
            document.exists && self.log[last].lsn <= until.min(began) && document.newest_stored() != Some(last)
        });
        missing.next().map(|document| document.id.as_str())
    }

    /// Whether the mirror holds what existed before following began; what the feed of newest versions gives has no order to find.
    pub(super) fn knows_what_was_before(&self) -> bool {
        let mut leases = self.leases.values().filter_map(|document| document.lease.as_ref()).peekable();
        let ranges: Vec<EpkRange> = leases.clone().filter_map(|lease| lease.range.clone()).collect();
        let any = leases.peek().is_some() && uncovered(&ranges).is_empty();
        let has = |lease: &Lease, property| lease.properties.contains_key(property);
        let robbed = self.robs || self.retention.is_some();
        self.shows_newest_only()
            || any && !robbed && leases.all(|lease| has(lease, BACKFILLED) && !has(lease, BACKFILL_NOW))
    }

    /// A document that is gone and of which the mirror does not say so.
    fn gone_unnoticed(&self) -> Option<&Doc> {
        let is_kept = |document: &&Doc| document.stored.last().is_some_and(|kept| !kept.version.is_tombstone());
        self.documents.iter().filter(|document| !document.exists).find(is_kept)
    }
}
