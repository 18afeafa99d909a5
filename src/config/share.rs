//! Shares as settings and flags write them: `"1%"`, `"0.05"`. Kept as documents of each million.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// All of them.
const MILLION: u32 = 1_000_000;

/// Reads a share: above 0 and at most 1, or a percentage.
pub fn parse_share(text: &str) -> Result<u32, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|number| number / whole);
    let share = share.filter(|share| *share > 0.0 && *share <= 1.0);
    let share = share.ok_or_else(|| format!("{text:?} is neither a share such as 0.05 nor 5%"))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and a million")]
    let part = (share * f64::from(MILLION)).round() as u32;
    Ok(part.max(1))
}

/// Writes a share so that [`parse_share`] reads the same one.
pub fn format_share(per_million: u32) -> String {
    format!("{}%", f64::from(per_million) / f64::from(MILLION / 100))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(super) fn serialize<S: Serializer>(share: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_share(*share))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a share such as \"1%\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u32, E> {
            parse_share(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_is_a_number_or_a_percentage() {
        assert_eq!(
            [parse_share("0.05"), parse_share("5%"), parse_share("1"), parse_share("100%"), parse_share("0.0000001")],
            [Ok(50_000), Ok(50_000), Ok(MILLION), Ok(MILLION), Ok(1)]
        );
        for text in ["0", "-1", "1.1", "101%", "%", "x", "NaN", "inf", ""] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(share in 1..=MILLION) {
            prop_assert_eq!(parse_share(&format_share(share)), Ok(share));
        }
    }
}
