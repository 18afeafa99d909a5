//! One state of a blob, and what decides how long it is kept.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::blob::conditions::Validators;
use crate::blob::content::Content;
use crate::blob::copy::Copied;
use crate::blob::immutability::Protection;
use crate::blob::tags::Tags;
use crate::blob::tier::Tiered;
use crate::blob::time::{Etag, Stamp};

/// How the account treats overwritten and deleted states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::blob) struct Policy {
    pub(in crate::blob) versioning: bool,
    /// 0: soft delete is off.
    pub(in crate::blob) soft_delete_days: u32,
    /// Whether states may be protected by immutability policies and legal holds.
    pub(in crate::blob) worm: bool,
}

/// When a state was soft-deleted, and for how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::blob) struct Deletion {
    pub(in crate::blob) at: Timestamp,
    days: u32,
}

impl Deletion {
    fn expires(self) -> Timestamp {
        self.at.checked_add(SignedDuration::from_hours(i64::from(self.days) * 24)).unwrap_or(Timestamp::MAX)
    }

    /// Whole days until the state vanishes.
    pub(in crate::blob) fn days_left(self, now: Timestamp) -> i64 {
        self.expires().duration_since(now).as_hours().max(0) / 24
    }
}

/// What stands beside the content of a state and changes without making another state.
#[derive(Debug, Clone, Default)]
pub(in crate::blob) struct Aside {
    pub(in crate::blob) tags: Tags,
    /// `None`: the account's default, Hot.
    pub(in crate::blob) tier: Option<Tiered>,
    pub(in crate::blob) protection: Protection,
    /// The copy that made the state.
    pub(in crate::blob) copied: Option<Arc<Copied>>,
}

/// One state of a blob. Cloning it does not copy content.
#[derive(Debug, Clone)]
pub(in crate::blob) struct State {
    /// Names the state: its version id or snapshot.
    pub(in crate::blob) stamp: Stamp,
    /// Whether the state was written with versioning on, so that it has a version id.
    pub(in crate::blob) versioned: bool,
    pub(in crate::blob) etag: Etag,
    pub(in crate::blob) created: Timestamp,
    pub(in crate::blob) last_modified: Timestamp,
    pub(in crate::blob) content: Arc<Content>,
    pub(in crate::blob) aside: Aside,
    pub(in crate::blob) deleted: Option<Deletion>,
}

impl State {
    /// What conditions compare with.
    pub(in crate::blob) fn validators(&self) -> Validators<'_> {
        Validators { etag: self.etag, last_modified: self.last_modified, tags: &self.aside.tags }
    }

    /// The version id, if the state has one.
    pub(in crate::blob) fn version_id(&self) -> Option<String> {
        self.versioned.then(|| self.stamp.id())
    }

    /// When the state vanishes; `None`: it is not deleted, or held for ever.
    pub(super) fn vanishes(&self) -> Option<Timestamp> {
        self.aside.protection.not_before(self.deleted?.expires())
    }

    pub(super) fn expired(&self, now: Timestamp) -> bool {
        self.vanishes().is_some_and(|at| at <= now)
    }

    /// Marks the state deleted, if deleted states are kept. Whether they are.
    pub(super) fn soft_delete(&mut self, policy: Policy, now: Timestamp) -> bool {
        if policy.soft_delete_days > 0 && self.deleted.is_none() {
            self.deleted = Some(Deletion { at: now, days: policy.soft_delete_days });
        }
        policy.soft_delete_days > 0
    }
}
