//! The lock under which leases are created and repaired: a document that only one replica can create.
//!
//! It asks the service to remove it after a time; where the lease container has no time to live, that does not happen, so a lock
//! whose owner died is taken over by its age. A crash leaves the lock; what was done under it is done so that anyone can go on.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::LeaseStore;
use crate::failure::Failure;
use crate::feed::ChangeFeed;

/// Age in seconds at which a lock's owner is taken for dead.
const AGE_MAX: i64 = 30;
const POLL: Duration = Duration::from_secs(1);
const NAME: &str = "lock";

/// The lock, held.
pub struct Lock<'a> {
    leases: &'a LeaseStore,
    etag: String,
}

fn fields() -> Map<String, Value> {
    Map::from_iter([("ttl".to_owned(), json!(AGE_MAX))])
}

impl<'a> Lock<'a> {
    /// Waits for the lock.
    pub async fn wait(leases: &'a LeaseStore, feed: &dyn ChangeFeed) -> Result<Self, Failure> {
        loop {
            if let Some(lock) = Self::attempt(leases, feed).await? {
                return Ok(lock);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes the lock; none if another replica has it.
    pub async fn attempt(leases: &'a LeaseStore, feed: &dyn ChangeFeed) -> Result<Option<Self>, Failure> {
        let held = |etag| Self { leases, etag };
        if let Some(etag) = leases.create_note(NAME, &fields()).await? {
            return Ok(Some(held(etag)));
        }
        let Some(note) = leases.note(NAME).await? else { return Ok(None) };
        if feed.service_time().await? - note.written <= AGE_MAX {
            return Ok(None);
        }
        Ok(leases.replace_note(NAME, &fields(), &note.etag).await?.map(held))
    }

    /// Gives it back after what was done under it; what went wrong there is the error that counts. A lock that was taken over in the
    /// meantime is its new owner's.
    pub async fn release_after<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        let released = self.leases.delete_note(NAME, &self.etag).await;
        let done = done?;
        released.map(|_| done)
    }
}
