//! Each service's clock: the host's time plus an offset that tests may move.
//!
//! It is the emulator's only reader of the host's clock. Everything that ages (time to live, retention, soft
//! delete) and every `Date` header asks here, so moving the offset moves all of it together.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// A clock that can be shifted while the emulator runs.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// The service's present time.
    pub(crate) fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_millis(self.offset_ms.load(Ordering::Relaxed));
        #[expect(clippy::disallowed_methods, reason = "the seam through which the host's time enters the emulator")]
        let host = Timestamp::now();
        host.checked_add(offset).unwrap_or(host)
    }

    /// Sets the distance to the host's clock, in milliseconds.
    pub(crate) fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// The distance to the host's clock, in milliseconds.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Moves the clock forward, in milliseconds.
    #[cfg(test)]
    pub(crate) fn advance_ms(&self, by_ms: i64) {
        self.offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}
