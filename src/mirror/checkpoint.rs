//! How far a range is, and the proof that it is that far.
//!
//! A position moves only by a [`Durable`], which only the writer can make, and only after every change of the page is
//! stored as a version or a dead letter. The lease's keeper persists what stands here; a crash in between repeats a page,
//! never skips one.

use std::collections::{BTreeMap, BTreeSet};

use cosmirror_formats::Lease;

use super::guard::Pulse;
use crate::config::Start;

const LINEAGE: &str = "cosmirror.lineage";
const SINCE: &str = "cosmirror.since";
const START: &str = "cosmirror.start";
/// The position again: where the lease's own differs, somebody else has moved it.
const POSITION: &str = "cosmirror.position";
const BACKFILL_TOKEN: &str = "cosmirror.backfill.token";
const BACKFILL_NOW: &str = "cosmirror.backfill.now";
const BACKFILLED: &str = "cosmirror.backfilled";
const RECONCILED: &str = "cosmirror.reconciled";
const WATERMARK: &str = "cosmirror.watermark";
const GAP: &str = "cosmirror.gap";
const REPAIRED: &str = "cosmirror.repaired";
const FAILURES: &str = "cosmirror.failures";
const PROGRESSED: &str = "cosmirror.progressed";

/// Repaired gaps that a lease remembers; each is looked at within a round.
const REPAIRED_MAX: usize = 16;

/// Proof that a page, up to and including this token, is durably stored.
#[derive(Debug)]
pub struct Durable {
    token: String,
}

impl Durable {
    /// Only the writer calls this, after the last change of the page was stored.
    pub(in crate::mirror) fn after_storing(token: String) -> Self {
        Self { token }
    }
}

/// The reading of what existed before following began, in all-versions mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// Behind the last durable page; none before the first.
    pub token: Option<String>,
    /// The LSN at which following began.
    pub now_lsn: u64,
}

/// How far one range is. It is what a lease carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeProgress {
    /// The unbroken sequence that the range's LSNs belong to.
    pub lineage: String,
    /// When following began, in seconds since 1970 of the service.
    pub since: i64,
    /// Where following began.
    pub start: Start,
    /// Behind the last durable page; none before the first (latest version only).
    pub position: Option<String>,
    /// The backfill, while it is going on.
    pub backfill: Option<Backfill>,
    /// When what existed before was completely stored.
    pub backfilled: Option<i64>,
    /// The instant up to which the range is completely mirrored.
    pub watermark: Option<i64>,
    /// Latest version: up to here it is known what was deleted, by the last complete reconciliation.
    pub reconciled: Option<i64>,
    /// Where the recorded gaps begin that the backfill repairs.
    pub gaps: BTreeSet<i64>,
    /// The gaps that backfills have repaired.
    pub repaired: Option<Repair>,
}

/// Recorded gaps that a backfill has repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Where they begin.
    pub gaps: BTreeSet<i64>,
    /// When what exists was completely stored.
    pub at: i64,
}

impl RangeProgress {
    /// A range of which nothing has been read yet.
    pub fn new(lineage: String, since: i64, start: Start) -> Self {
        Self {
            lineage,
            since,
            start,
            position: None,
            backfill: None,
            backfilled: None,
            watermark: None,
            reconciled: None,
            gaps: BTreeSet::new(),
            repaired: None,
        }
    }

    /// Moves the followed position behind a durable page.
    pub fn advance(&mut self, durable: Durable) {
        self.position = Some(durable.token);
    }

    /// Moves the backfill behind a durable page.
    pub fn advance_backfill(&mut self, durable: Durable) {
        if let Some(backfill) = &mut self.backfill {
            backfill.token = Some(durable.token);
        }
    }

    /// What existed before is stored, up to this instant. If that repaired a gap, what was known before it stays known.
    pub fn end_backfill(&mut self, at: i64) {
        self.backfill = None;
        if !self.gaps.is_empty() {
            let mut gaps = std::mem::take(&mut self.gaps);
            // What was repaired before may not have been looked at yet.
            gaps.extend(self.repaired.iter().flat_map(|before| before.gaps.iter().rev().take(REPAIRED_MAX)));
            self.repaired = Some(Repair { gaps, at });
        }
        self.backfilled = self.backfilled.or(Some(at));
    }

    /// Whether following itself reads what existed before, and has not come to its end.
    pub fn reads_from_beginning(&self) -> bool {
        self.start == Start::Beginning && (self.backfilled.is_none() || !self.gaps.is_empty())
    }

    /// Moves the watermark; it never goes back.
    pub fn raise_watermark(&mut self, seconds: i64) {
        self.watermark = self.watermark.max(Some(seconds));
    }

    /// Reads it from a lease.
    pub fn from_lease(lease: &Lease, lineage: &str, service_time: i64) -> Self {
        let text = |key: &str| lease.properties.get(key);
        let number = |key: &str| text(key).and_then(|v| v.parse().ok());
        let now_lsn = text(BACKFILL_NOW).and_then(|v| v.parse().ok());
        Self {
            lineage: text(LINEAGE).cloned().unwrap_or_else(|| lineage.to_owned()),
            since: number(SINCE).unwrap_or(service_time),
            start: text(START).and_then(|s| Start::try_from(s.clone()).ok()).unwrap_or(Start::Now),
            position: lease.continuation.clone(),
            backfill: now_lsn.map(|now_lsn| Backfill { token: text(BACKFILL_TOKEN).cloned(), now_lsn }),
            backfilled: number(BACKFILLED),
            watermark: number(WATERMARK),
            reconciled: number(RECONCILED),
            gaps: text(GAP).map(|text| instants(text)).unwrap_or_default(),
            repaired: text(REPAIRED).and_then(|text| {
                let (gaps, at) = text.split_once('/')?;
                Some(Repair { gaps: instants(gaps), at: at.parse().ok()? })
            }),
        }
    }

    /// Writes it into a lease; properties of others stay.
    pub fn to_lease(&self, lease: &mut Lease) {
        lease.continuation.clone_from(&self.position);
        set(&mut lease.properties, LINEAGE, Some(self.lineage.clone()));
        set(&mut lease.properties, SINCE, Some(self.since.to_string()));
        set(&mut lease.properties, START, Some(self.start.clone().into()));
        let backfill = self.backfill.as_ref();
        set(&mut lease.properties, POSITION, self.position.clone());
        set(&mut lease.properties, BACKFILL_TOKEN, backfill.and_then(|b| b.token.clone()));
        set(&mut lease.properties, BACKFILL_NOW, backfill.map(|b| b.now_lsn.to_string()));
        set(&mut lease.properties, BACKFILLED, self.backfilled.map(|at| at.to_string()));
        set(&mut lease.properties, WATERMARK, self.watermark.map(|at| at.to_string()));
        set(&mut lease.properties, RECONCILED, self.reconciled.map(|at| at.to_string()));
        set(&mut lease.properties, GAP, Some(text_of(&self.gaps)).filter(|text| !text.is_empty()));
        let repaired = self.repaired.as_ref().map(|repair| format!("{}/{}", text_of(&repair.gaps), repair.at));
        set(&mut lease.properties, REPAIRED, repaired);
    }

    /// Whether a lease was written by this program; else it was left by another processor.
    pub fn is_in(lease: &Lease) -> bool {
        lease.properties.contains_key(SINCE)
    }

    /// Whether somebody else has moved the lease's position since this program wrote it.
    pub fn was_moved(lease: &Lease) -> bool {
        Self::is_in(lease) && lease.properties.get(POSITION) != lease.continuation.as_ref()
    }
}

/// Writes how the range's follower does into its lease, for those who watch it.
pub fn pulse_to_lease(pulse: &Pulse, lease: &mut Lease) {
    set(&mut lease.properties, FAILURES, (pulse.failures > 0).then(|| pulse.failures.to_string()));
    if let Some(at) = pulse.progressed {
        set(&mut lease.properties, PROGRESSED, Some(at.to_string()));
    }
}

/// Reads it back: failures in a row, and the service's time of the last step. Both are none where no follower of this program has
/// told of itself.
pub fn pulse_of_lease(lease: &Lease) -> (Option<u64>, Option<i64>) {
    let number = |key: &str| lease.properties.get(key).and_then(|text| text.parse::<i64>().ok());
    let progressed = number(PROGRESSED);
    // Failures are left out when all is well.
    let failures = number(FAILURES).or(progressed.map(|_| 0));
    (failures.and_then(|count| count.try_into().ok()), progressed)
}

fn text_of(instants: &BTreeSet<i64>) -> String {
    instants.iter().map(i64::to_string).collect::<Vec<_>>().join("+")
}

fn instants(text: &str) -> BTreeSet<i64> {
    text.split('+').filter_map(|at| at.parse().ok()).collect()
}

fn set(properties: &mut BTreeMap<String, String>, key: &str, value: Option<String>) {
    match value {
        Some(value) => properties.insert(key.to_owned(), value),
        None => properties.remove(key),
    };
}

/// The LSN within a position of the service: a quoted number.
pub fn lsn_of(token: &str) -> Option<u64> {
    token.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> RangeProgress {
        RangeProgress {
            lineage: "rid:".to_owned(),
            since: 100,
            start: Start::Beginning,
            position: Some("\"7\"".to_owned()),
            backfill: Some(Backfill { token: Some("\"3\"".to_owned()), now_lsn: 5 }),
            backfilled: None,
            watermark: Some(90),
            reconciled: Some(80),
            gaps: BTreeSet::from([40, 45]),
            repaired: Some(Repair { gaps: BTreeSet::from([20]), at: 30 }),
        }
    }

    fn lease() -> Lease {
        Lease::from_json(br#"{"id":"a..0","LeaseToken":"0","properties":{"foreign":"kept"}}"#).unwrap()
    }

    #[test]
    fn progress_survives_its_lease_and_foreign_properties_stay() {
        let mut lease = lease();
        progress().to_lease(&mut lease);
        assert_eq!(RangeProgress::from_lease(&lease, "other", 0), progress());
        assert_eq!(lease.properties["foreign"], "kept");
        assert!(!RangeProgress::was_moved(&lease));
        lease.continuation = Some("\"8\"".to_owned());
        assert!(RangeProgress::was_moved(&lease));
    }

    #[test]
    fn a_foreign_lease_is_continued_without_claiming_what_lies_before() {
        let mut lease = lease();
        lease.continuation = Some("\"9\"".to_owned());
        let progress = RangeProgress::from_lease(&lease, "minted", 55);
        assert_eq!((progress.position.as_deref(), progress.backfilled, progress.since), (Some("\"9\""), None, 55));
        assert_eq!((progress.lineage.as_str(), progress.start), ("minted", Start::Now));
    }

    #[test]
    fn a_backfill_repairs_every_gap_that_waits_for_it_and_forgets_none_that_was_repaired_before() {
        let mut progress = progress();
        progress.end_backfill(60);
        let repaired = progress.repaired.clone().unwrap();
        assert_eq!((repaired.gaps, repaired.at), (BTreeSet::from([20, 40, 45]), 60));
        assert!(progress.gaps.is_empty());
    }

    #[test]
    fn the_watermark_never_goes_back() {
        let mut progress = progress();
        progress.raise_watermark(80);
        assert_eq!(progress.watermark, Some(90));
        progress.raise_watermark(95);
        assert_eq!(progress.watermark, Some(95));
    }

    #[test]
    fn positions_hold_a_quoted_lsn() {
        assert_eq!(lsn_of("\"175\""), Some(175));
        assert_eq!(lsn_of("x"), None);
    }
}
