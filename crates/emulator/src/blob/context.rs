//! What an operation is given beside its request: the caller's rights, the account's policy and the time.

use jiff::Timestamp;

use super::ContainerImmutability;
use super::auth::Access;
use super::entry::Policy;

/// What an operation is given beside its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) access: Access,
    pub(super) policy: Policy,
    pub(super) immutability: ContainerImmutability,
    pub(super) now: Timestamp,
}
