//! One blob: its current state and everything kept beneath it.
//!
//! This is the table "Overwrite and delete" of the service's documentation on versioning and soft delete as
//! pure functions. Invariants: stamps are unique within an entry; `older` holds previous versions and snapshots
//! only; a soft-deleted state stays until its retention has run out by the service's clock.

mod state;

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::conditions::Validators;
use super::content::Block;
use super::errors::{Error, Result};
use super::lease::{Lease, Resource};
use super::time::Stamp;
use super::which::Which;

pub(super) use state::{Aside, Policy, State};

/// How long blocks wait for a block list, by the service's documentation.
const STAGED_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a state beneath the current one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Version,
    Snapshot,
}

/// A blob with its history.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    base: Option<State>,
    older: BTreeMap<Stamp, (Kind, State)>,
    /// Blocks that wait for a block list, by id, and when the last one came.
    staged: BTreeMap<Vec<u8>, Bytes>,
    staged_at: Timestamp,
    /// Before this nothing vanishes, so that a look at the blob need not go through its history.
    sweep_at: Option<Timestamp>,
    /// The lease on the base blob.
    lease: Option<Box<Lease>>,
}

impl Entry {
    /// The current state.
    pub(super) fn current(&self) -> Option<&State> {
        self.base.as_ref().filter(|state| state.deleted.is_none())
    }

    /// The base blob, soft-deleted or not.
    pub(super) fn base(&self, now: Timestamp) -> Option<&State> {
        self.base.as_ref().filter(|state| !state.expired(now))
    }

    /// Previous versions and snapshots that came after `after`, oldest first, soft-deleted ones included.
    pub(super) fn older(
        &self,
        after: Option<Stamp>,
        now: Timestamp,
    ) -> impl DoubleEndedIterator<Item = (Kind, &State)> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.older
            .range((from, std::ops::Bound::Unbounded))
            .map(|(_, (kind, state))| (*kind, state))
            .filter(move |(_, state)| !state.expired(now))
    }

    /// All states, soft-deleted ones included.
    pub(super) fn all(&self, now: Timestamp) -> impl Iterator<Item = &State> {
        self.older(None, now).map(|(_, state)| state).chain(self.base(now))
    }

    /// The state that is meant, unless it is deleted, and whether it is the current one.
    pub(super) fn find(&self, which: Which) -> Option<(&State, bool)> {
        match which {
            Which::Current => self.current().map(|state| (state, true)),
            Which::Version(id) => match self.current().filter(|state| state.versioned && state.stamp == id) {
                Some(current) => Some((current, true)),
                None => self.undeleted(id, Kind::Version).map(|state| (state, false)),
            },
            Which::Snapshot(id) => self.undeleted(id, Kind::Snapshot).map(|state| (state, false)),
        }
    }

    /// The same state, to change what stands beside its content.
    pub(super) fn find_mut(&mut self, which: Which) -> Option<&mut State> {
        let (state, current) = self.find(which)?;
        let stamp = state.stamp;
        if current { self.current_mut() } else { self.older.get_mut(&stamp).map(|(_, state)| state) }
    }

    fn undeleted(&self, id: Stamp, wanted: Kind) -> Option<&State> {
        let (kind, state) = self.older.get(&id)?;
        (*kind == wanted && state.deleted.is_none()).then_some(state)
    }

    /// The lease on the base blob.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_deref()
    }

    /// The place of the lease, with what conditions on the blob compare with.
    pub(super) fn leasing(&mut self) -> Option<(Validators<'_>, &mut Option<Box<Lease>>)> {
        let base = self.base.as_ref().filter(|state| state.deleted.is_none())?;
        Some((base.validators(), &mut self.lease))
    }

    /// Judges a write to the base blob that names `lease`.
    pub(super) fn guard_write(&self, lease: Option<&str>, now: Timestamp) -> Result<()> {
        Lease::guard_write(self.lease(), lease, Resource::Blob, now)
    }

    /// Drops a lease that is over, because the base blob is written.
    pub(super) fn settle_lease(&mut self, now: Timestamp) {
        self.lease.take_if(|lease| lease.is_over(now));
    }

    /// Judges a read that may name a lease.
    pub(super) fn guard_read(&self, lease: Option<&str>, now: Timestamp) -> Result<()> {
        Lease::guard_read(self.lease(), lease, Resource::Blob, now)
    }

    /// Whether nothing at all is left.
    pub(super) fn is_empty(&self) -> bool {
        self.base.is_none() && self.older.is_empty() && self.staged.is_empty()
    }

    /// Drops what its retention no longer keeps.
    pub(super) fn purge(&mut self, now: Timestamp) {
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.older.retain(|_, (_, state)| !state.expired(now));
            if self.base.as_ref().is_some_and(|state| state.expired(now)) {
                self.base = None;
            }
            let left = self.older.values().map(|(_, state)| state).chain(&self.base);
            self.sweep_at = left.filter_map(State::vanishes).min();
        }
        if !self.staged.is_empty() && now.duration_since(self.staged_at) >= STAGED_MAX {
            self.staged.clear();
        }
    }

    /// Adds or replaces a block that waits for a block list.
    pub(super) fn stage(&mut self, block: Block, blocks_max: usize, now: Timestamp) -> Result<()> {
        // All that wait have the length of the first.
        if self.staged.keys().next().is_some_and(|id| id.len() != block.id.len()) {
            return Err(Error::InvalidBlobOrBlock);
        }
        if self.staged.len() >= blocks_max && !self.staged.contains_key(&block.id) {
            return Err(Error::BlockCount { limit: blocks_max });
        }
        self.staged.insert(block.id, block.bytes);
        self.staged_at = now;
        Ok(())
    }

    /// The blocks that wait for a block list.
    pub(super) fn staged(&self) -> &BTreeMap<Vec<u8>, Bytes> {
        &self.staged
    }

    /// When the last of them came, if there are any.
    pub(super) fn staged_at(&self) -> Option<Timestamp> {
        (!self.staged.is_empty()).then_some(self.staged_at)
    }

    /// Makes `new` the current state of a blob that is written anew. Blocks that wait are dropped.
    pub(super) fn overwrite(&mut self, new: State, policy: Policy, now: Timestamp) {
        self.staged.clear();
        if let Some(mut old) = self.base.replace(new) {
            if old.deleted.is_some() {
                self.older.insert(old.stamp, (Kind::Snapshot, old));
            } else if policy.versioning || old.versioned {
                self.keep_as_version(old);
            } else if old.soft_delete(policy, now) {
                self.note(&old);
                self.older.insert(old.stamp, (Kind::Snapshot, old));
            }
        }
    }

    /// Remembers when a state that was just deleted vanishes.
    fn note(&mut self, deleted: &State) {
        self.sweep_at = self.sweep_at.into_iter().chain(deleted.vanishes()).min();
    }

    /// Makes `new` the current state after a change of metadata, which only versioning records.
    pub(super) fn amend(&mut self, new: State, policy: Policy) {
        if let Some(old) = self.base.replace(new)
            && (policy.versioning || old.versioned)
        {
            self.keep_as_version(old);
        }
    }

    /// Changes the current state in place: what neither versions nor snapshots record.
    pub(super) fn current_mut(&mut self) -> Option<&mut State> {
        self.base.as_mut().filter(|state| state.deleted.is_none())
    }

    /// Keeps a copy of the current state as a snapshot.
    pub(super) fn add_snapshot(&mut self, snapshot: State) {
        self.older.insert(snapshot.stamp, (Kind::Snapshot, snapshot));
    }

    /// Deletes the current state. Whether it remains, as a version or soft-deleted.
    pub(super) fn delete_current(&mut self, policy: Policy, now: Timestamp) -> bool {
        let Some(mut old) = self.base.take() else {
            return false;
        };
        self.lease = None;
        if policy.versioning || old.versioned {
            self.keep_as_version(old);
            return true;
        }
        let kept = old.soft_delete(policy, now);
        if kept {
            self.note(&old);
            self.base = Some(old);
        }
        kept
    }

    /// The snapshots that are not deleted.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = &State> {
        let live = |(kind, state): &&(Kind, State)| *kind == Kind::Snapshot && state.deleted.is_none();
        self.older.values().filter(live).map(|(_, state)| state)
    }

    /// Deletes all snapshots.
    pub(super) fn delete_snapshots(&mut self, policy: Policy, now: Timestamp) {
        let mut sweep_at = self.sweep_at;
        self.older.retain(|_, (kind, state)| {
            if *kind != Kind::Snapshot || state.deleted.is_some() {
                return true;
            }
            let kept = state.soft_delete(policy, now);
            sweep_at = sweep_at.into_iter().chain(state.vanishes()).min();
            kept
        });
        self.sweep_at = sweep_at;
    }

    /// Deletes one previous version or snapshot. Whether it remains soft-deleted; `None` if there is none.
    pub(super) fn delete_older(&mut self, id: Stamp, wanted: Kind, policy: Policy, now: Timestamp) -> Option<bool> {
        self.undeleted(id, wanted)?;
        let (_, state) = self.older.get_mut(&id)?;
        let kept = state.soft_delete(policy, now);
        let vanishes = state.vanishes();
        if !kept {
            self.older.remove(&id);
        }
        self.sweep_at = self.sweep_at.into_iter().chain(vanishes).min();
        Some(kept)
    }

    /// Restores everything that is soft-deleted. It makes no version the current one.
    pub(super) fn undelete(&mut self) {
        for (_, state) in self.older.values_mut() {
            state.deleted = None;
        }
        if let Some(base) = &mut self.base {
            base.deleted = None;
        }
        self.sweep_at = None;
    }

    /// A state from before versioning was on gets its version id when it is superseded.
    fn keep_as_version(&mut self, mut old: State) {
        old.versioned = true;
        self.older.insert(old.stamp, (Kind::Version, old));
    }
}

#[cfg(test)]
mod tests;
