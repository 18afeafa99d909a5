//! The contract of erasing: what is left under a name, and removing it for good.
//!
//! It stands beside the [contract of a store](super), not in it: a daemon has a store and no eraser, and needs no right to delete. An
//! eraser sees what a store does not show any more, because a service may keep what was deleted for a while, and may be bound to keep what
//! nobody is allowed to delete.
//!
//! - **Everything**: [`Eraser::left`] shows every version and snapshot under exactly a name, those that can be brought back included.
//! - **One by one**: [`Eraser::erase`] removes one of them. It may have been removed before, so an answer that was lost is asked for
//!   again. Removing what is current leaves what is beneath it, and a service that keeps versions makes it one of those.
//! - **Held is no failure**: what a policy or a legal hold protects stays, and it is said.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::failure::Failure;

/// In which form something is left.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shape {
    /// What is current.
    Current,
    /// A version by its name, older than what is current.
    Version(String),
    /// A snapshot by its time.
    Snapshot(String),
}

/// What keeps it from being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hold {
    /// A policy, up to this second since 1970.
    pub until: Option<i64>,
    /// A legal hold, until somebody takes it off.
    pub legal: bool,
}

/// Something that is left under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// The object's name.
    pub name: String,
    /// In which form.
    pub shape: Shape,
    /// Length of its content in bytes.
    pub length: u64,
    /// Its metadata; of what was deleted a service may not show them.
    pub metadata: BTreeMap<String, String>,
    /// What protects it; none where nothing is known to.
    pub hold: Option<Hold>,
    /// It was deleted and can be brought back.
    pub deleted: bool,
    /// When what was deleted is gone for good, seconds since 1970; none where that is not known.
    pub gone_by: Option<i64>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased {
    /// It is deleted. Whether it can be brought back, the next look tells.
    Deleted,
    /// A policy or a legal hold forbids it.
    Held,
}

/// A place from which objects can be removed.
#[async_trait]
pub trait Eraser: Send + Sync + 'static {
    /// Everything that is left under exactly this name. One attempt.
    async fn left(&self, name: &str) -> Result<Vec<Left>, Failure>;

    /// For how many days what is deleted from now on can be brought back; none where it is gone at once, or nobody tells us.
    async fn recoverable_days(&self) -> Option<u32> {
        None
    }

    /// Removes one of them, which was not deleted before. One attempt.
    async fn erase(&self, left: &Left) -> Result<Erased, Failure>;
}
