//! A part of the documents, another one for each salt.

use std::fmt;

use crate::sha256::sha256_hex;

/// Which documents are of the part: about so many of each million, chosen by name and salt. What the same salt chooses is the same each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampling {
    per_million: u32,
    salt: String,
}

/// All of them.
const MILLION: u32 = 1_000_000;

impl Sampling {
    /// So many of each million, at least one.
    pub fn new(per_million: u32, salt: &str) -> Self {
        Self { per_million: per_million.clamp(1, MILLION), salt: salt.to_owned() }
    }

    /// Whether the document of this name is of the part.
    pub fn contains(&self, name: &str) -> bool {
        const DIGITS: usize = 12;
        if self.per_million >= MILLION {
            return true;
        }
        let hash = sha256_hex(format!("{}\n{name}", self.salt).as_bytes());
        u64::from_str_radix(&hash[..DIGITS], 16)
            .is_ok_and(|place| place % u64::from(MILLION) < u64::from(self.per_million))
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per_million {
            MILLION => f.write_str("each of them"),
            part => write!(f, "a sample of {} %", f64::from(part) / f64::from(MILLION / 100)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_salt_chooses_its_own_part_of_about_the_size_that_was_asked_for() {
        let chosen = |salt: &str, per_million| {
            let sampling = Sampling::new(per_million, salt);
            (0..10_000).map(|n| format!("d{n}")).filter(|name| sampling.contains(name)).collect::<Vec<_>>()
        };
        let (one, other) = (chosen("one", 100_000), chosen("other", 100_000));
        assert!((900..1_100).contains(&one.len()) && (900..1_100).contains(&other.len()), "{}", one.len());
        assert_eq!(one, chosen("one", 100_000));
        let both = one.iter().filter(|name| other.contains(name)).count();
        assert!((50..200).contains(&both), "they are chosen anew: {both}");
        assert_eq!(chosen("one", MILLION).len(), 10_000);
        assert_eq!(Sampling::new(10_000, "x").to_string(), "a sample of 1 %");
    }
}
