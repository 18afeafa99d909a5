//! Durations as settings write them: `"250ms"`, `"1s"`, `"5m"`, `"1h30m"`, `"2d"`; `0` alone needs no unit.
//!
//! The same reader serves flags (relative times such as `-2h`) and the `max_lag` of a health request.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Units from the longest to the shortest, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Longer ones are mistakes, and would overflow sums of instants.
const MILLISECONDS_MAX: u64 = 3_650 * 86_400_000;

/// Reads a duration; the error says what one looks like.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let faulty = || format!("{text:?} is not a duration such as \"250ms\", \"5s\", \"1h30m\" or \"0s\"");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units_left = UNITS.as_slice();
    if rest.is_empty() {
        return Err(faulty());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(faulty)?;
        let number: u64 = rest[..digits].parse().map_err(|_| faulty())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let at = units_left.iter().position(|(unit, _)| *unit == &rest[..letters]).ok_or_else(faulty)?;
        total = number.checked_mul(units_left[at].1).and_then(|part| total.checked_add(part)).ok_or_else(faulty)?;
        units_left = &units_left[at + 1..];
        rest = &rest[letters..];
    }
    if total > MILLISECONDS_MAX {
        return Err(format!("{text:?} is longer than ten years"));
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration so that [`parse_duration`] reads the same one, to the millisecond: the longest units first.
pub fn format_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, length) in UNITS {
        // Up to two minutes people write "60s" and "90s".
        let skip_minutes = unit == "m" && left < 120_000;
        if left >= length && !skip_minutes {
            text += &format!("{}{unit}", left / length);
            left %= length;
        }
    }
    text
}

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as \"5s\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            parse_duration(text).map_err(E::custom)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
            if number == 0 {
                return Ok(Duration::ZERO);
            }
            Err(E::custom(format!("{number} lacks a unit: write \"{number}s\" or \"{number}ms\"")))
        }
    }

    deserializer.deserialize_any(Text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("60s", 60_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "5", "s", "5 s", "-5s", "1s1h", "1m1m", "5x", "1.5s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("4000d").unwrap_err().contains("ten years"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(milliseconds in 0..MILLISECONDS_MAX) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }
    }
}
