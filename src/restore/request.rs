//! What is asked for: which documents, which state, and what may happen to what is there.

use std::fmt;

use cosmirror_sql::Condition;

use super::{Sampling, Selection};
use crate::history::{DocumentHistory, Entry, Place, instant};

/// Which state to bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// The end of this second, counted from 1970.
    At(i64),
    /// One version of one document.
    Version(String),
    /// Directly before the version with this etag.
    BeforeChange(String),
}

/// What happens to documents that exist and are otherwise than they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// They are written, even if they change after the plan.
    Always,
    /// They are written, unless they change after the plan.
    #[default]
    IfChanged,
    /// They are written where what is restored was committed later than what is there.
    IfNewer,
    /// They are kept.
    Never,
}

impl Overwrite {
    /// Its name on the command line and in plans.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::IfChanged => "if-changed",
            Self::IfNewer => "if-newer",
            Self::Never => "never",
        }
    }
}

/// Which known state stands in for one that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The newest one before.
    Before,
    /// The next one after.
    After,
}

/// Seconds since 1970, both included; without an end up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The first.
    pub from: i64,
    /// The last.
    pub until: Option<i64>,
}

impl Interval {
    /// Whether an instant lies in it.
    pub fn holds(&self, at: i64) -> bool {
        self.from <= at && self.until.is_none_or(|until| at <= until)
    }

    /// Whether something may have happened to a document in it.
    pub(super) fn touches(&self, document: &DocumentHistory) -> bool {
        let changed = |entry: &Entry| {
            let version = &entry.version;
            // What is known to have happened after one instant and by another may have happened anywhere between.
            let between = version
                .after
                .is_some_and(|after| version.ts >= self.from && self.until.is_none_or(|until| after < until));
            let removed = entry.life.ended.is_some_and(|ended| self.holds(ended)) && !version.is_tombstone();
            between || removed || self.holds(version.ts)
        };
        document.entries.iter().any(changed)
            || self.touches_lost(document)
            || document.unreadable.iter().any(|letter| letter.ts.is_none_or(|ts| self.holds(ts)))
    }
}

impl Interval {
    /// Whether versions that the mirror once had and that are gone may have been of it.
    fn touches_lost(&self, document: &DocumentHistory) -> bool {
        let entries = &document.entries;
        entries.iter().enumerate().any(|(at, entry)| {
            let begin = at.checked_sub(1).map_or(i64::MIN, |beneath| entries[beneath].version.ts);
            let overlaps = entry.version.ts >= self.from && self.until.is_none_or(|until| begin <= until);
            overlaps && document.lacks_beneath(entry)
        })
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some(until) => write!(f, "changed between {} and {}", instant(self.from), instant(until)),
            None => write!(f, "changed since {}", instant(self.from)),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which documents.
    pub selection: Selection,
    /// Of these only those that changed then.
    pub changed: Option<Interval>,
    /// Of these only those whose content at the point is so.
    pub condition: Option<Condition>,
    /// Of these only a part, told by their names.
    pub sampling: Option<Sampling>,
    /// Which state.
    pub point: Point,
    /// What may be overwritten.
    pub overwrite: Overwrite,
    /// Remove documents that did not exist then.
    pub delete_extra: bool,
    /// What stands in where the change happened in an interval; nothing where that is refused.
    pub uncertain: Option<Side>,
    /// What stands in where the mirror lacks what would tell; nothing where that is refused.
    pub unknown: Option<Side>,
}

impl Request {
    /// Everything else as it is where nothing is said.
    pub fn new(selection: Selection, point: Point) -> Self {
        Self {
            selection,
            changed: None,
            condition: None,
            sampling: None,
            point,
            overwrite: Overwrite::default(),
            delete_extra: false,
            uncertain: None,
            unknown: None,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.selection)?;
        if let Some(changed) = &self.changed {
            write!(f, ", {changed}")?;
        }
        if let Some(condition) = &self.condition {
            write!(f, ", where {condition}")?;
        }
        if let Some(sampling) = &self.sampling {
            write!(f, ", {sampling}")?;
        }
        Ok(())
    }
}

/// The name of a version that a person may have typed without the etag's quotes.
pub fn quoted(etag: &str) -> String {
    let bare = etag.trim().trim_matches('"');
    format!("\"{bare}\"")
}

/// What a place is called in messages.
pub(super) fn named(place: &Place, id: &str) -> String {
    format!("version {} of {id:?}", place.version())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::memory::{entry, history};

    #[test]
    fn a_change_that_may_have_happened_in_the_interval_touches_it() {
        let touches = |from, until, ts, after| {
            let mut entry = entry("e", ts, Some(1));
            entry.version.after = after;
            Interval { from, until }.touches(&history(vec![entry]))
        };
        assert!(touches(10, Some(20), 10, None) && touches(10, Some(20), 20, None) && touches(10, None, 99, None));
        assert!(!touches(10, Some(20), 9, None) && !touches(10, Some(20), 21, None) && !touches(10, None, 9, None));
        assert!(touches(10, Some(20), 30, Some(19)) && touches(10, Some(20), 10, Some(1)));
        assert!(!touches(10, Some(20), 30, Some(20)) && !touches(10, Some(20), 9, Some(1)));
    }

    #[test]
    fn versions_that_are_lost_may_have_been_of_the_interval() {
        let mut later = entry("c", 30, Some(3));
        later.version.prev = Some("b".to_owned());
        let alone = history(vec![later.clone()]);
        let above = history(vec![entry("a", 10, Some(1)), later]);
        let touches = |history, from, until| Interval { from, until }.touches(history);
        assert!(touches(&alone, 1, Some(2)) && touches(&above, 15, Some(20)) && touches(&above, 15, None));
        assert!(!touches(&above, 1, Some(9)) && !touches(&above, 31, None));
    }

    #[test]
    fn an_etag_is_meant_with_and_without_its_quotes() {
        assert_eq!([quoted("ab"), quoted("\"ab\"")], ["\"ab\"", "\"ab\""]);
    }
}
