//! The seam through which the host's clock enters.
//!
//! Nothing the mirror records as an instant of the source comes from here: those are the service's times. The host's clock
//! names the `timestamp` of leases, resolves relative times such as `-2h`, and shows ages to people.

use std::sync::Arc;

use jiff::Timestamp;

/// A host's clock, for what is stamped with it.
#[derive(Clone)]
pub struct HostClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl HostClock {
    /// A clock that reads another source of time.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Its present time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for HostClock {
    fn default() -> Self {
        Self::new(now)
    }
}

/// The host's present time.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the seam through which the host's time enters")]
    Timestamp::now()
}
