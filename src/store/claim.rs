//! Who writes a mirror: a claim on it, for stores that can hold one.
//!
//! Puts are conditional, so two writers that do not know of each other destroy nothing; but each would take the other's versions for
//! strangers, and a document's history would be that of two accounts in turn. Replicas share their work through leases and make one claim
//! together. Whoever only reads claims nothing.

use std::fs::File;

use serde::{Deserialize, Serialize};

/// What all replicas of one daemon have in common, and two daemons have not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimant {
    /// The source account's endpoint.
    pub account: String,
    /// The database and the container of the leases.
    pub leases: String,
    /// The name under which replicas share the work.
    pub processor: String,
}

/// The right to write a mirror, for as long as this is held.
#[derive(Debug, Default)]
pub struct Claim {
    locks: Vec<File>,
}

impl Claim {
    /// A claim that ends when the file is closed, by whatever end the process comes to.
    pub(super) fn of_lock(lock: File) -> Self {
        Self { locks: vec![lock] }
    }

    /// Both claims together.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        self.locks.extend(other.locks);
        self
    }
}
