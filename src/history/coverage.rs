//! Which instants can be asked for: the window that the range states give, less the gaps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cosmirror_formats::records::{Gap, RangeState, Window};
use cosmirror_formats::{EpkRange, MirrorPaths};

use super::MirrorReader;
use crate::config::FeedMode;
use crate::failure::{CommandError, Exit, Failure};
use crate::leases::live;
use crate::mirror::gap;
use crate::records;
use crate::store::VersionStore;

/// Files read of each kind; physical partitions and gaps number in the hundreds at most.
const RECORDS_MAX: usize = 100_000;

/// How long the source is asked for newer states before the mirror's own records decide.
const SOURCE_PATIENCE: Duration = Duration::from_secs(10);

/// What a mirror says of its own completeness.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// The window in which instants are covered.
    pub window: Window,
    /// The windows of the container's earlier lives: what it held then can still be asked for.
    pub earlier: Vec<Window>,
    /// Intervals inside it that are not.
    pub gaps: Vec<Gap>,
}

impl Coverage {
    /// Refuses an instant that is not covered. Where the mirror's own records do not cover it yet and the source can be asked,
    /// its leases are: they are newer.
    pub async fn require(mirror: &MirrorReader, at: i64) -> Result<(), CommandError> {
        let (store, paths) = (mirror.store.as_ref(), &mirror.paths);
        let recorded = Self::read(store, paths, &[]).await?;
        let Some(refusal) = recorded.refusal(at) else { return Ok(()) };
        let Some((config, container)) = &mirror.source else { return Err(refusal) };
        let asked = tokio::time::timeout(SOURCE_PATIENCE, live::range_states(config, container)).await;
        let Ok(Ok(states)) = asked else {
            tracing::debug!("the leases could not be read; the mirror's own records decide");
            return Err(refusal);
        };
        Self::read(store, paths, &states).await?.refusal(at).map_or(Ok(()), Err)
    }

    /// Reads range states and gaps; `newer` are states of the same ranges that reach further.
    pub async fn read(store: &dyn VersionStore, paths: &MirrorPaths, newer: &[RangeState]) -> Result<Self, Failure> {
        let mut states: Vec<RangeState> =
            records::all(store, &paths.range_states(), RECORDS_MAX, |_, state: RangeState| state).await?;
        for state in &mut states {
            let same = |n: &&RangeState| n.lineage == state.lineage && n.range == state.range;
            if let Some(newer) = newer.iter().find(same) {
                state.watermark = state.watermark.max(newer.watermark);
                state.backfilled = state.backfilled.or(newer.backfilled);
                state.reconciled = state.reconciled.max(newer.reconciled);
            }
        }
        let gaps = gap::all(store, paths).await?;
        let window = Window::of(&states, FeedMode::LatestVersion.as_str());
        Ok(Self { window, earlier: earlier_lives(states), gaps })
    }

    /// The window that an instant lies in.
    fn window_of(&self, at: i64) -> Option<&Window> {
        let holds = |window: &&Window| window.from.is_some_and(|from| from <= at) && window.until >= Some(at);
        std::iter::once(&self.window).chain(&self.earlier).find(holds)
    }

    /// Whether every delete up to this instant is known.
    pub fn knows_deletes(&self, at: i64) -> bool {
        self.deletes_known_until(at) >= Some(at)
    }

    /// Up to which instant every delete is known, in the window that `at` lies in.
    pub fn deletes_known_until(&self, at: i64) -> Option<i64> {
        self.window_of(at)?.deletes_until
    }

    /// The gaps that matter: those that are open, and those that have a part in the window.
    pub fn gaps_that_matter(&self) -> impl Iterator<Item = &Gap> {
        let window = self.window.from.zip(self.window.until);
        self.gaps.iter().filter(move |gap| {
            let Some(end) = gap.until else { return true };
            window.is_some_and(|(from, until)| gap.from <= until && from < end)
        })
    }

    /// Why the end of second `at` cannot be asked for, and what can; none if it is covered.
    pub fn refusal(&self, at: i64) -> Option<CommandError> {
        if self.window_of(at).is_some() { self.in_gap(at) } else { self.outside(at) }
    }

    fn outside(&self, at: i64) -> Option<CommandError> {
        let (Some(from), Some(until)) = (self.window.from, self.window.until) else {
            return Some(CommandError::new(
                Exit::NotCovered,
                "no instant is covered yet: the first backfill has not ended, or a range is not mirrored",
                "wait until `cosmirror run` has caught up; `--version` works without a window",
            ));
        };
        if at > until {
            let message = format!("{} is not covered: the mirror is complete up to {}", instant(at), instant(until));
            return Some(CommandError::new(
                Exit::NotCovered,
                message,
                format!("ask for an instant from {} to {}, or let the mirror catch up", instant(from), instant(until)),
            ));
        }
        let message = format!("{} is not covered: the mirror begins at {}", instant(at), instant(from));
        let earlier =
            |window: &Window| Some(format!(" or from {} to {}", instant(window.from?), instant(window.until?)));
        let earlier: String = self.earlier.iter().filter_map(earlier).collect();
        let remedy = format!("ask for an instant from {} to {}{earlier}", instant(from), instant(until));
        Some(CommandError::new(Exit::NotCovered, message, remedy))
    }

    fn in_gap(&self, at: i64) -> Option<CommandError> {
        let gap = self.gaps.iter().find(|gap| gap.from <= at && gap.until.is_none_or(|until| at < until))?;
        let end = gap.until.map_or_else(|| "an end that is not reached yet".to_owned(), instant);
        let message = format!(
            "{} lies in a gap of range {} from {} to {end}: {}",
            instant(at),
            gap.range,
            instant(gap.from),
            gap.reason
        );
        let later = gap.until.map(|until| format!(", or {} or later", instant(until))).unwrap_or_default();
        let remedy = format!("ask for an instant before {}{later}", instant(gap.from));
        Some(CommandError::new(Exit::NotCovered, message, remedy))
    }
}

/// The windows of the container's earlier lives. A recreation lets their ranges' states give way to the whole key space.
fn earlier_lives(states: Vec<RangeState>) -> Vec<Window> {
    let mut lives: BTreeMap<String, Vec<RangeState>> = BTreeMap::new();
    let present: BTreeSet<String> =
        states.iter().filter(|state| state.superseded_by.is_empty()).map(|state| state.rid.clone()).collect();
    for state in states {
        if state.superseded_by == [EpkRange::full()] && !present.contains(&state.rid) {
            lives.entry(state.rid.clone()).or_default().push(RangeState { superseded_by: Vec::new(), ..state });
        }
    }
    let windows = lives.into_values().map(|states| Window::of(&states, FeedMode::LatestVersion.as_str()));
    windows.filter(|window| window.from.is_some()).collect()
}

/// Seconds since 1970 as RFC 3339.
pub(crate) fn instant(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |instant| instant.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coverage(from: i64, until: i64, gaps: &[(i64, Option<i64>)]) -> Coverage {
        let gap = |(from, until): &(i64, Option<i64>)| Gap {
            format: 1,
            range: EpkRange::full(),
            from: *from,
            until: *until,
            reason: "the token had expired".to_owned(),
        };
        Coverage {
            window: Window { from: Some(from), until: Some(until), deletes_until: None },
            earlier: Vec::new(),
            gaps: gaps.iter().map(gap).collect(),
        }
    }

    #[test]
    fn a_refusal_says_which_instants_could_be_asked_for() {
        let refusal = |coverage: &Coverage, at| coverage.refusal(at).unwrap();
        let covered = coverage(100, 200, &[(150, Some(160))]);
        assert!(refusal(&covered, 201).remedy.contains("from 1970-01-01T00:01:40Z to 1970-01-01T00:03:20Z"));
        assert!(refusal(&covered, 99).message.contains("begins at 1970-01-01T00:01:40Z"));
        assert!(refusal(&covered, 155).remedy.contains("before 1970-01-01T00:02:30Z, or 1970-01-01T00:02:40Z"));
        assert_eq!(refusal(&covered, 201).exit, Exit::NotCovered);
        let none = Coverage { window: Window::default(), earlier: Vec::new(), gaps: Vec::new() };
        assert_eq!(refusal(&none, 150).exit, Exit::NotCovered);
    }

    #[test]
    fn open_gaps_and_those_inside_the_window_matter() {
        let gaps = [(10, Some(20)), (90, Some(100)), (90, Some(101)), (200, Some(300)), (201, Some(300)), (5, None)];
        let coverage = coverage(100, 200, &gaps);
        let begins: Vec<_> = coverage.gaps_that_matter().map(|gap| (gap.from, gap.until)).collect();
        assert_eq!(begins, [(90, Some(101)), (200, Some(300)), (5, None)]);
        let no_window = Coverage { window: Window::default(), ..coverage };
        assert_eq!(no_window.gaps_that_matter().count(), 1);
    }

    #[test]
    fn what_an_earlier_life_of_the_container_held_stays_restorable() {
        let state = |rid: &str, min: &str, max: &str, backfilled, watermark, superseded: bool| RangeState {
            format: 1,
            lineage: format!("{rid}:{min}"),
            rid: rid.to_owned(),
            range: EpkRange::new(min, max),
            mode: FeedMode::AllVersionsAndDeletes.as_str().to_owned(),
            since: 1,
            backfilled: Some(backfilled),
            reconciled: None,
            watermark: Some(watermark),
            superseded_by: if superseded { vec![EpkRange::full()] } else { Vec::new() },
        };
        let old = [state("old", "", "20", 10, 50, true), state("old", "20", "FF", 12, 40, true)];
        let split = RangeState {
            superseded_by: vec![EpkRange::new("", "20"), EpkRange::new("20", "FF")],
            ..state("old", "", "FF", 10, 15, false)
        };
        let states: Vec<RangeState> = old.into_iter().chain([split, state("new", "", "FF", 100, 200, false)]).collect();
        let window = Window::of(&states, FeedMode::LatestVersion.as_str());
        let coverage = Coverage { window, earlier: earlier_lives(states), gaps: Vec::new() };
        let covered: Vec<i64> = (0..210).filter(|at| coverage.refusal(*at).is_none()).collect();
        assert_eq!(covered, (12..=40).chain(100..=200).collect::<Vec<i64>>());
        assert!(coverage.refusal(60).unwrap().remedy.ends_with("or from 1970-01-01T00:00:12Z to 1970-01-01T00:00:40Z"));
        assert!(coverage.knows_deletes(40) && coverage.knows_deletes(200) && !coverage.knows_deletes(60));
    }

    proptest! {
        #[test]
        fn an_instant_is_refused_exactly_outside_the_window_and_inside_gaps(
            from in 0i64..20, length in 0i64..20, gap in 0i64..40, gap_length in prop::option::of(1i64..10), at in -1i64..45,
        ) {
            let until = from + length;
            let coverage = coverage(from, until, &[(gap, gap_length.map(|length| gap + length))]);
            let in_gap = at >= gap && gap_length.is_none_or(|length| at < gap + length);
            prop_assert_eq!(coverage.refusal(at).is_none(), (from..=until).contains(&at) && !in_gap);
        }
    }
}
