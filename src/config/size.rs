//! Sizes as settings write them: `"64MiB"`, `"512KiB"`, `"1GiB"`. Units are powers of 1,024, so that nobody has to guess.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Units from the largest to the smallest, with their bytes.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Larger ones are mistakes: no process of this program has that much memory.
const BYTES_MAX: u64 = 1 << 40;

/// Reads a size; the error says what one looks like.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let faulty = || format!("{text:?} is not a size such as \"64MiB\", \"512KiB\" or \"1GiB\"");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(faulty)?;
    let number: u64 = text[..digits].parse().map_err(|_| faulty())?;
    let (_, bytes) = UNITS.iter().find(|(unit, _)| *unit == &text[digits..]).ok_or_else(faulty)?;
    let size = number.checked_mul(*bytes).filter(|size| *size <= BYTES_MAX);
    size.ok_or_else(|| format!("{text:?} is more than {}", format_size(BYTES_MAX)))
}

/// Writes a size so that [`parse_size`] reads the same one, in the largest unit that divides it.
pub fn format_size(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    let (name, unit) = unit.unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(super) fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_size(*bytes))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size such as \"64MiB\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
            parse_size(text).map_err(E::custom)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
            Err(E::custom(format!("{number} lacks a unit: write \"{number}MiB\" or \"{number}B\"")))
        }
    }

    deserializer.deserialize_any(Text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [("0B", 0), ("64MiB", 64 << 20), ("512KiB", 512 << 10), ("1GiB", 1 << 30), ("7B", 7)] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "64", "MiB", "64MB", "64mib", "64 MiB", "-1MiB", "1.5GiB", "99999999999999999999B"] {
            assert!(parse_size(text).unwrap_err().contains("is not a size"), "{text}");
        }
        assert!(parse_size("18446744073709551615GiB").unwrap_err().contains("is more than 1024GiB"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(bytes in 0..BYTES_MAX) {
            prop_assert_eq!(parse_size(&format_size(bytes)).unwrap(), bytes);
        }
    }
}
