//! The seam through which the host's clock enters.
//!
//! Nothing the mirror records as an instant of the source comes from here: those are the service's times. The host's clock
//! names the `timestamp` of leases, resolves relative times such as `-2h`, and shows ages to people.

use jiff::Timestamp;

/// The host's present time.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the seam through which the host's time enters")]
    Timestamp::now()
}
