//! Entity tags of documents, containers and databases.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// Makes entity tags: unique for the life of the account, and told apart between accounts by the time in them.
#[derive(Debug, Default)]
pub(crate) struct Etags(AtomicU64);

impl Etags {
    /// The next entity tag, with its quotes.
    pub(crate) fn next(&self, now: Timestamp) -> String {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        format!("\"{:08x}-{:04x}-0000-0000-{:012x}\"", number & 0xffff_ffff, (number >> 32) & 0xffff, now.as_second())
    }

    /// Never again gives a tag that was given before.
    pub(crate) fn skip(&self, given: &str) {
        let mut groups = given.trim_matches('"').split('-').map(|group| u64::from_str_radix(group, 16));
        if let (Some(Ok(low)), Some(Ok(high))) = (groups.next(), groups.next()) {
            self.0.fetch_max(high << 32 | low, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_was_given_is_not_given_again() {
        let now = Timestamp::UNIX_EPOCH;
        let before = Etags(AtomicU64::new(0x3_0000_0007));
        let given = before.next(now);
        let after = Etags::default();
        after.skip(&given);
        assert_eq!(after.next(now), before.next(now));
    }
}
