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
const REREAD: &str = "cosmirror.reread";
const REPAIRED: &str = "cosmirror.repaired";
const TARGETS: &str = "cosmirror.targets";
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
    /// Where the recorded gaps begin that are not repaired yet.
    pub gaps: BTreeSet<i64>,
    /// Since the last of these gaps what exists has been read again, completely by then. What was deleted is still to be found.
    pub reread: Option<i64>,
    /// The gaps that were repaired.
    pub repaired: Option<Repair>,
    /// The targets beside the first that hold all that the first one holds of the range, as far as the position.
    pub targets: BTreeSet<String>,
}

/// Recorded gaps that were repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Where they begin.
    pub gaps: BTreeSet<i64>,
    /// When what exists was completely stored, and what had been deleted was found.
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
            reread: None,
            repaired: None,
            targets: BTreeSet::new(),
        }
    }

    /// The first instant that may lack changes if following stopped here; the watermark's own second is complete.
    pub fn first_missing(&self) -> i64 {
        self.watermark.map_or(self.since, |complete| complete + 1)
    }

    /// How the range goes on behind recorded gaps that begin at these instants: from where `first` begins. What was known of it stays
    /// known, but not to further targets: what was stored behind the lost position may be in the first one alone.
    #[must_use]
    pub fn behind_gaps(self, mut gaps: BTreeSet<i64>, first: Self) -> Self {
        let Self { position, start, backfill, .. } = first;
        gaps.extend(self.gaps);
        Self { position, start, backfill, gaps, reread: None, targets: BTreeSet::new(), ..self }
    }

    /// Recorded gaps that begin at these instants are to be repaired by comparing with the source; nothing has to be read again, as of `at`.
    pub fn open_gaps(&mut self, gaps: BTreeSet<i64>, at: i64) {
        let rereads = self.backfill.is_some() || self.reads_from_beginning();
        self.gaps.extend(gaps);
        self.reread = (!rereads).then_some(self.reread.unwrap_or(at).max(at));
    }

    /// The instant up to which the range was completely mirrored before the gaps that are not repaired; none without such gaps, and where
    /// what existed at first is not stored.
    pub fn complete_before_gaps(&self) -> Option<i64> {
        self.backfilled.and(self.gaps.first()).map(|from| from - 1)
    }

    /// Whether all that existed was stored before anything was committed at `ts`.
    pub fn knew_all_before(&self, ts: i64) -> bool {
        let repaired = self.repaired.as_ref().map(|repair| repair.at);
        self.gaps.is_empty() && self.backfilled.is_some_and(|at| at.max(repaired.unwrap_or(at)) < ts)
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

    /// What existed before is stored, up to this instant. If that was read again behind a gap, what was known before it stays known.
    pub fn end_backfill(&mut self, at: i64) {
        self.backfill = None;
        self.reread = self.reread.or(Some(at).filter(|_| !self.gaps.is_empty()));
        self.backfilled = self.backfilled.or(Some(at));
    }

    /// The gaps of which what exists has been read again, so that what was deleted in them can be found; and when that was.
    pub fn reread_gaps(&self) -> Option<(&BTreeSet<i64>, i64)> {
        self.reread.filter(|_| !self.gaps.is_empty() && self.backfill.is_none()).map(|at| (&self.gaps, at))
    }

    /// These gaps, read again by `reread`, are repaired as of `at`: history is complete again from there on.
    pub fn end_repair(&mut self, gaps: &BTreeSet<i64>, reread: i64, at: i64) {
        let mut gaps = gaps.clone();
        if self.reread != Some(reread) {
            // Recorded since: another one, or the last of them once more.
            gaps.pop_last();
        }
        self.gaps.retain(|gap| !gaps.contains(gap));
        if self.gaps.is_empty() {
            self.reread = None;
        }
        // What was repaired before may not have been looked at yet.
        let before = self.repaired.iter().flat_map(|before| before.gaps.iter().rev().take(REPAIRED_MAX));
        gaps.extend(before);
        self.repaired = Some(Repair { gaps, at });
    }

    /// Whether following itself reads what existed before, and has not come to its end.
    pub fn reads_from_beginning(&self) -> bool {
        let rereads = !self.gaps.is_empty() && self.reread.is_none();
        self.start == Start::Beginning && (self.backfilled.is_none() || rereads)
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
            reread: number(REREAD),
            repaired: text(REPAIRED).and_then(|text| {
                let (gaps, at) = text.split_once('/')?;
                Some(Repair { gaps: instants(gaps), at: at.parse().ok()? })
            }),
            targets: text(TARGETS).map(|text| text.split('+').map(str::to_owned).collect()).unwrap_or_default(),
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
        set(&mut lease.properties, REREAD, self.reread.map(|at| at.to_string()));
        let repaired = self.repaired.as_ref().map(|repair| format!("{}/{}", text_of(&repair.gaps), repair.at));
        set(&mut lease.properties, REPAIRED, repaired);
        let targets = self.targets.iter().map(String::as_str).collect::<Vec<_>>().join("+");
        set(&mut lease.properties, TARGETS, Some(targets).filter(|text| !text.is_empty()));
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
            reread: Some(50),
            repaired: Some(Repair { gaps: BTreeSet::from([20]), at: 30 }),
            targets: BTreeSet::from(["south".to_owned(), "vault".to_owned()]),
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
    fn a_gap_is_repaired_when_what_exists_was_read_again_and_what_is_gone_was_found() {
        let mut progress = RangeProgress { reread: None, backfilled: Some(5), ..progress() };
        assert!(progress.reads_from_beginning());
        progress.end_backfill(60);
        assert!(!progress.reads_from_beginning());
        let (gaps, at) = progress.reread_gaps().map(|(gaps, at)| (gaps.clone(), at)).unwrap();
        assert_eq!((gaps.clone(), at), (BTreeSet::from([40, 45]), 60));
        // The last one was recorded again while the repair was under way; and one that was repaired before is not forgotten.
        progress.open_gaps([45].into(), 71);
        progress.end_repair(&gaps, 60, 80);
        let repaired = progress.repaired.clone().unwrap();
        assert_eq!((repaired.gaps, repaired.at), (BTreeSet::from([20, 40]), 80));
        assert_eq!(progress.reread_gaps(), Some((&BTreeSet::from([45]), 71)));
        progress.end_repair(&BTreeSet::from([45]), 71, 90);
        assert_eq!((progress.reread, progress.gaps.len()), (None, 0));
    }

    #[test]
    fn behind_a_gap_everything_is_read_again_and_what_was_known_stays_known() {
        let known = RangeProgress { backfilled: Some(5), backfill: None, gaps: BTreeSet::from([40]), ..progress() };
        let first = RangeProgress {
            position: Some("\"99\"".to_owned()),
            backfill: Some(Backfill { token: None, now_lsn: 99 }),
            ..RangeProgress::new("minted".to_owned(), 200, Start::Now)
        };
        let from = known.first_missing();
        let behind = known.clone().behind_gaps([from].into(), first);
        assert_eq!((from, behind.reread, behind.reread_gaps()), (91, None, None));
        assert_eq!((behind.position.as_deref(), behind.watermark, behind.since), (Some("\"99\""), Some(90), 100));
        assert_eq!((behind.backfilled, behind.lineage, behind.gaps), (Some(5), known.lineage, [40, 91].into()));
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
