//! Instants as the blob service writes them: version ids, ETags and HTTP dates.
//!
//! A [`Stamp`] is unique within its container and strictly increasing there, whatever the clock does; it is
//! the order of versions. Last-Modified comes from the clock alone and has a resolution of one second.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

/// Ticks of 100 ns from 0001-01-01 to 1970-01-01, as .NET counts them.
const DOTNET_TICKS_TO_UNIX: u64 = 621_355_968_000_000_000;

/// An instant in ticks of 100 ns since 1970, which identifies one stored state of a blob or container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Stamp(u64);

impl Stamp {
    /// The first stamp at or after `now` that comes after `last`.
    pub(super) fn after(last: Self, now: Timestamp) -> Self {
        let ticks = u64::try_from(now.as_nanosecond() / 100).unwrap_or(0);
        Self(ticks.max(last.0 + 1))
    }

    /// The stamp before all others.
    pub(super) const fn zero() -> Self {
        Self(0)
    }

    /// The stamp as a version id or snapshot: `2026-11-20T20:25:42.1234567Z`.
    pub(super) fn id(self) -> String {
        let instant = Timestamp::from_nanosecond(i128::from(self.0) * 100).unwrap_or(Timestamp::UNIX_EPOCH);
        format!("{instant:.7}")
    }

    /// Reads what [`Stamp::id`] writes; no other spelling of the instant.
    pub(super) fn from_id(id: &str) -> Option<Self> {
        let instant: Timestamp = id.parse().ok()?;
        let stamp = Self(u64::try_from(instant.as_nanosecond() / 100).ok()?);
        (stamp.id() == id).then_some(stamp)
    }

    /// The stamp in the form of a GUID, where the service gives an id that is one.
    pub(super) fn guid(self) -> String {
        let ticks = self.0;
        format!("{:08x}-{:04x}-4{:03x}-8000-000000000000", ticks >> 28, (ticks >> 12) & 0xFFFF, ticks & 0xFFF)
    }

    /// The stamp's number, for markers.
    pub(super) const fn ticks(self) -> u64 {
        self.0
    }

    /// The stamp with this number.
    pub(super) const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }
}

/// An ETag without its quotes, written like Azure's: the .NET ticks in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Etag(pub(super) Stamp);

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:X}", self.0.0 + DOTNET_TICKS_TO_UNIX)
    }
}

impl Etag {
    /// The ETag as a header carries it.
    pub(super) fn quoted(self) -> String {
        format!("\"{self}\"")
    }
}

/// An instant as HTTP headers and listings carry it: `Fri, 20 Nov 2026 20:25:42 GMT`.
pub(super) fn http_date(instant: Timestamp) -> String {
    // Only years beyond 9999 cannot be written; no clock here reaches them.
    DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).unwrap_or_default()
}

/// Reads an HTTP date.
pub(super) fn parse_http_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

/// Reads the forms of ISO 8601 that a shared access signature may hold: a date, or a time to the minute or finer.
pub(super) fn parse_sas_time(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let date: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == 10)?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_increase_even_when_the_clock_goes_back() {
        let later: Timestamp = "2026-11-20T20:25:42.1234567Z".parse().unwrap();
        let earlier: Timestamp = "2026-11-20T20:25:41Z".parse().unwrap();
        let first = Stamp::after(Stamp::zero(), later);
        let second = Stamp::after(first, earlier);
        assert_eq!(first.id(), "2026-11-20T20:25:42.1234567Z");
        assert_eq!(second.id(), "2026-11-20T20:25:42.1234568Z");
    }

    #[test]
    fn only_the_written_form_of_a_version_id_is_read() {
        let id = "2026-11-20T20:25:42.0000000Z";
        assert_eq!(Stamp::from_id(id).map(Stamp::id).as_deref(), Some(id));
        assert_eq!(Stamp::from_id("2026-11-20T20:25:42Z"), None);
        assert_eq!(Stamp::from_id("2026-11-20T21:25:42.0000000+01:00"), None);
        assert_eq!(Stamp::from_id("current"), None);
    }

    #[test]
    fn etags_are_dotnet_ticks_in_hexadecimal() {
        // 2023-01-01T00:00:00Z is 638081280000000000 ticks of .NET.
        let instant: Timestamp = "2023-01-01T00:00:00Z".parse().unwrap();
        let etag = Etag(Stamp::after(Stamp::zero(), instant));
        assert_eq!(etag.quoted(), "\"0x8DAEB8B203A0000\"");
    }

    #[test]
    fn http_dates_round_trip() {
        let text = "Fri, 20 Nov 2026 20:25:42 GMT";
        assert_eq!(http_date(parse_http_date(text).unwrap()), text);
        assert_eq!(parse_http_date("yesterday"), None);
    }

    #[test]
    fn sas_times_may_leave_out_the_time_or_its_seconds() {
        let midnight: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        assert_eq!(parse_sas_time("2026-11-20"), Some(midnight));
        assert_eq!(parse_sas_time("2026-11-20T00:00Z"), Some(midnight));
        assert_eq!(parse_sas_time("2026-11-20T00:00:00Z"), Some(midnight));
        assert_eq!(parse_sas_time("soon"), None);
    }
}
