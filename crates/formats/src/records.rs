//! What the mirror says of itself: its container, its ranges, its gaps and its dead letters.
//!
//! Each is a JSON document with a `format` number. A reader needs nothing else: neither the source nor the leases nor
//! the configuration that wrote the mirror. Times are seconds since 1970 of the source's service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lease::EpkRange;

/// The `format` of every record here.
pub const FORMAT: u32 = 1;

/// `_mirror/container.json`: where the documents come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// 1.
    pub format: u32,
    /// The source's endpoint.
    pub account: String,
    /// The database's name.
    pub database: String,
    /// The container's name.
    pub container: String,
    /// Every life of the container, oldest first; the last is the present one.
    pub generations: Vec<Generation>,
}

impl ContainerRecord {
    /// Its lives up to an instant, seconds since 1970; before the first one was seen that one alone.
    pub fn lives_until(&self, at: i64) -> &[Generation] {
        let begun = self.generations.iter().take_while(|life| life.since <= at).count();
        &self.generations[..begun.max(1).min(self.generations.len())]
    }
}

/// One life of the source container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Its resource id.
    pub rid: String,
    /// When the mirror first saw it.
    pub since: i64,
    /// The feed modes it was followed in, oldest first.
    pub modes: Vec<String>,
    /// The paths of the partition key.
    pub partition_key_paths: Vec<String>,
    /// The container's properties as the service gave them.
    pub settings: Value,
}

/// `_mirror/ranges/…`: how far one range is mirrored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeState {
    /// 1.
    pub format: u32,
    /// The unbroken sequence of LSNs.
    pub lineage: String,
    /// Resource id of the container's generation.
    pub rid: String,
    /// The interval of effective partition keys.
    pub range: EpkRange,
    /// `all-versions-and-deletes` or `latest-version`.
    pub mode: String,
    /// When following began.
    pub since: i64,
    /// When what existed before was completely stored; none while that is going on, and for starts that leave it out.
    pub backfilled: Option<i64>,
    /// Latest-version mode: start of the last complete reconciliation.
    pub reconciled: Option<i64>,
    /// The instant up to which the range is completely mirrored.
    pub watermark: Option<i64>,
    /// The ranges that took over after a split or merge; a superseded range does not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded_by: Vec<EpkRange>,
}

/// The window in which every instant can be restored, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// First instant, seconds since 1970.
    pub from: Option<i64>,
    /// Last instant, seconds since 1970.
    pub until: Option<i64>,
    /// Up to here every delete is known. In latest-version mode that is the last complete reconciliation, and none before the first:
    /// later it is uncertain whether a document existed that the source no longer holds.
    pub deletes_until: Option<i64>,
}

impl Window {
    /// The window that range states give together. Both ends are none unless the ranges that count tile the key space and
    /// `until` has reached `from`.
    pub fn of(states: &[RangeState], latest_version: &str) -> Self {
        let live: Vec<&RangeState> = states.iter().filter(|s| s.superseded_by.is_empty()).collect();
        let ranges: Vec<EpkRange> = live.iter().map(|s| s.range.clone()).collect();
        if !crate::lease::uncovered(&ranges).is_empty() {
            return Self::default();
        }
        let from = live.iter().map(|s| s.backfilled).collect::<Option<Vec<_>>>().and_then(|v| v.into_iter().max());
        let until = live.iter().map(|s| s.watermark).collect::<Option<Vec<_>>>().and_then(|v| v.into_iter().min());
        let deletes_until = live.iter().map(|s| s.deletes_until(latest_version)).min().flatten();
        match (from, until) {
            (Some(from), Some(until)) if until >= from => Self { from: Some(from), until: Some(until), deletes_until },
            _ => Self::default(),
        }
    }
}

impl RangeState {
    /// Up to when every delete of this range is known.
    fn deletes_until(&self, latest_version: &str) -> Option<i64> {
        if self.mode == latest_version { self.reconciled.min(self.watermark) } else { self.watermark }
    }
}

/// `_mirror/gaps/…`: an interval for which history is known to be incomplete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// 1.
    pub format: u32,
    /// The interval of effective partition keys.
    pub range: EpkRange,
    /// First instant that may lack changes.
    pub from: i64,
    /// When history is complete again; none while it is not.
    pub until: Option<i64>,
    /// What happened.
    pub reason: String,
}

/// `_mirror/dead-letters/…`: a change that could not be stored as a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// 1.
    pub format: u32,
    /// Why.
    pub reason: String,
    /// The interval of effective partition keys it was read from.
    pub range: EpkRange,
    /// The sequence that `lsn` belongs to.
    pub lineage: String,
    /// The change's log sequence number, where it could be read; else that of its page.
    pub lsn: u64,
    /// The etag of the page it came in.
    pub page: String,
    /// The document's id, where it could be read.
    pub id: Option<String>,
    /// The partition key as a JSON array, where it could be read.
    pub partition_key: Option<Value>,
    /// The commit time, where it could be read.
    pub ts: Option<i64>,
    /// How many changes of its document came before it in its page: the order of those that share their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u32>,
    /// The metadata of the version it was to become; none where the entry was not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The bytes in standard base64: the version's where `metadata` is there, else the whole entry of the feed.
    pub raw_base64: String,
    /// How these bytes are encrypted, as [`Encryption`](crate::Encryption) writes it; none where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// Set by a replay: nothing is left to do.
    #[serde(default)]
    pub resolved: bool,
    /// How it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
}

/// How a dead letter was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// It is stored as a version.
    Stored,
    /// A newer version is stored, beneath which nothing can be put: the dead letter stays its version's place in history.
    Superseded,
}

impl Resolution {
    /// The word used in records, metadata and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Superseded => "superseded",
        }
    }
}

/// The name under which the metadata of a resolved dead letter's blob says how, so that a listing tells which ones wait.
pub const RESOLVED: &str = "resolved";

#[cfg(test)]
mod tests {
    use super::*;

    const LATEST: &str = "latest-version";

    fn state(min: &str, max: &str, backfilled: Option<i64>, watermark: Option<i64>) -> RangeState {
        RangeState {
            format: FORMAT,
            lineage: "l".to_owned(),
            rid: "r".to_owned(),
            range: EpkRange::new(min, max),
            mode: "all-versions-and-deletes".to_owned(),
            since: 1,
            backfilled,
            reconciled: None,
            watermark,
            superseded_by: Vec::new(),
        }
    }

    #[test]
    fn golden_range_state() {
        let text = serde_json::to_string(&state("", "FF", Some(5), Some(9))).unwrap();
        let golden = r#"{"format":1,"lineage":"l","rid":"r","range":{"min":"","max":"FF"},"mode":"all-versions-and-deletes","since":1,"backfilled":5,"reconciled":null,"watermark":9}"#;
        assert_eq!(text, golden);
        assert_eq!(serde_json::from_str::<RangeState>(golden).unwrap(), state("", "FF", Some(5), Some(9)));
    }

    #[test]
    fn golden_dead_letter_before_and_after_it_is_resolved() {
        let letter = DeadLetter {
            format: FORMAT,
            reason: "refused".to_owned(),
            range: EpkRange::full(),
            lineage: "l".to_owned(),
            lsn: 7,
            page: "\"7\"".to_owned(),
            id: Some("d".to_owned()),
            partition_key: Some(serde_json::json!(["p"])),
            ts: Some(20),
            place: Some(1),
            metadata: Some([("format".to_owned(), "1".to_owned())].into()),
            raw_base64: "e30=".to_owned(),
            encryption: None,
            resolved: false,
            resolution: None,
        };
        let golden = r#"{"format":1,"reason":"refused","range":{"min":"","max":"FF"},"lineage":"l","lsn":7,"page":"\"7\"","id":"d","partition_key":["p"],"ts":20,"place":1,"metadata":{"format":"1"},"raw_base64":"e30=","resolved":false}"#;
        assert_eq!(serde_json::to_string(&letter).unwrap(), golden);
        assert_eq!(serde_json::from_str::<DeadLetter>(golden).unwrap(), letter);
        let encrypted = DeadLetter { encryption: Some("age:00112233aabbccdd".to_owned()), ..letter.clone() };
        let marked = golden.replace(r#""e30=","#, r#""e30=","encryption":"age:00112233aabbccdd","#);
        assert_eq!(serde_json::to_string(&encrypted).unwrap(), marked);
        assert_eq!(serde_json::from_str::<DeadLetter>(&marked).unwrap(), encrypted);
        let resolved = DeadLetter { resolved: true, resolution: Some(Resolution::Superseded), ..letter };
        let golden = golden.replace("false}", "true,\"resolution\":\"superseded\"}");
        assert_eq!(serde_json::to_string(&resolved).unwrap(), golden);
        assert_eq!(serde_json::from_str::<DeadLetter>(&golden).unwrap(), resolved);
    }

    #[test]
    fn the_window_is_what_every_range_covers() {
        let states = [state("", "20", Some(5), Some(30)), state("20", "FF", Some(7), Some(20))];
        let window = Window { from: Some(7), until: Some(20), deletes_until: Some(20) };
        assert_eq!(Window::of(&states, LATEST), window);
    }

    #[test]
    fn a_hole_an_open_backfill_or_a_late_watermark_leaves_no_window() {
        assert_eq!(Window::of(&[state("", "20", Some(5), Some(30))], LATEST), Window::default());
        assert_eq!(Window::of(&[state("", "FF", None, Some(30))], LATEST), Window::default());
        assert_eq!(Window::of(&[state("", "FF", Some(31), Some(30))], LATEST), Window::default());
    }

    #[test]
    fn a_superseded_range_does_not_hold_the_window_back() {
        let mut parent = state("", "FF", Some(5), Some(8));
        parent.superseded_by = vec![EpkRange::new("", "20"), EpkRange::new("20", "FF")];
        let states = [parent, state("", "20", Some(5), Some(30)), state("20", "FF", Some(7), Some(20))];
        assert_eq!(Window::of(&states, LATEST).until, Some(20));
    }

    #[test]
    fn in_latest_version_mode_deletes_are_known_up_to_the_last_reconciliation() {
        let latest =
            |reconciled| RangeState { mode: LATEST.to_owned(), reconciled, ..state("", "FF", Some(5), Some(30)) };
        let window = Window { from: Some(5), until: Some(30), deletes_until: Some(12) };
        assert_eq!(Window::of(&[latest(Some(12))], LATEST), window);
        assert_eq!(Window::of(&[latest(None)], LATEST), Window { deletes_until: None, ..window });
    }
}
