//! The work of a job: the key space in parts, and of each a comparison with what is put right of it.
//!
//! A part is one physical range, or several neighbours where there are many: each part lists the whole mirror, which takes little of each
//! name but is not free. What the ranges are is asked before each part, so a split or a merge only changes how the rest is cut.
//! What a comparison may call missing and what it leaves to the follower is `reconcile`'s; a backfill puts right what is lacking only.

use std::sync::Arc;

use cosmirror_formats::EpkRange;
use cosmirror_formats::job::{JobRecord, MILLION, Work};
use cosmirror_formats::lease::uncovered;
use futures::FutureExt as _;

use super::export;
use super::place::Parts;
use super::rehearse;
use super::tracker::Tracker;
use crate::failure::{Action, Failure, Kind};
use crate::history::MirrorReader;
use crate::reconcile::{Mode, Reconcile, Repair, Request, Sample, Source};
use crate::retry::{Backoff, persist};

/// Parts of one job at most, as long as ranges do not split.
const PARTS_MAX: usize = 16;
/// Failures of one part in a row that are made up for by beginning it anew. Each stands for minutes of patience with single requests.
const FAILURES_MAX: u32 = 5;
/// Differences that are logged one by one, of each part.
const LIST_MAX: usize = 20;

/// Does what is not done yet.
pub(super) async fn run(parts: &Parts, tracker: &Arc<Tracker>, record: &JobRecord) -> Result<(), Failure> {
    if let Work::Export { at, since, compress } = &record.work {
        let asked = export::Asked { at: *at, since: since.as_deref(), compress: *compress };
        return export::run(parts, tracker, record, asked).boxed().await;
    }
    if let Work::Rehearse { at, sample_per_million } = record.work {
        return rehearse::run(parts, tracker, at, sample_per_million).boxed().await;
    }
    let request = request(&record.work)?;
    let (mut failures, mut backoff) = (0, Backoff::default());
    loop {
        match part(parts, tracker, request).await {
            Ok(true) => (failures, backoff) = (0, Backoff::default()),
            Ok(false) => return Ok(()),
            Err(failure) if passes(&failure) && failures < FAILURES_MAX => {
                failures += 1;
                let pause = backoff.next(failure.retry_after);
                tracing::warn!(error = %failure, pause_ms = pause.as_millis(), "a part of the job begins anew");
                tokio::time::sleep(pause).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn passes(failure: &Failure) -> bool {
    matches!(failure.kind.action(), Action::Retry | Action::Look) || failure.kind == Kind::RangeGone
}

/// What is compared, and what is put right.
fn request(work: &Work) -> Result<Request, Failure> {
    let (mode, sample, repair) = match work {
        Work::Backfill => (Mode::Presence, Sample::ALL, Repair::Lacking),
        Work::Verify { mode, sample_per_million, repair } => {
            let mode = Mode::of_name(mode).ok_or_else(|| {
                let message = format!("there is no mode {mode:?}");
                Failure::new(Kind::Misconfigured, message).remedy("use the release that began the job")
            })?;
            let sample = f64::from(*sample_per_million) / f64::from(MILLION);
            (mode, Sample(sample), if *repair { Repair::All } else { Repair::No })
        }
        Work::Export { .. } | Work::Rehearse { .. } => {
            return Err(Failure::new(Kind::Internal, "it is no comparison of source and mirror"));
        }
    };
    Ok(Request { mode, sample, repair, list_max: LIST_MAX })
}

/// Does the next part; whether there was one.
async fn part(parts: &Parts, tracker: &Tracker, request: Request) -> Result<bool, Failure> {
    let physical = persist(|| parts.feed.ranges()).await?;
    let physical: Vec<EpkRange> = physical.into_iter().map(|physical| physical.range).collect();
    let finished = tracker.finished();
    let open = open(&physical, &finished);
    let Some(range) = open.first() else {
        return match uncovered(&finished).first() {
            None => Ok(false),
            Some(hole) => Err(Failure::new(Kind::RangeGone, format!("no range of the container covers {hole}"))),
        };
    };
    let progress = tracker.begin(open.len());
    let mirror = MirrorReader::open(Arc::clone(&parts.store), parts.paths.clone()).await?;
    let reconcile = Reconcile {
        mirror: &mirror,
        source: Source {
            feed: parts.feed.as_ref(),
            documents: parts.documents.as_ref(),
            leases: Some(&parts.leases),
            mode: parts.mode,
            margin: parts.margin,
            renew_interval: parts.renew_interval,
            units: &parts.units,
            effective_key: parts.effective_key.as_ref(),
        },
        request,
        scope: None,
        within: range.clone(),
        progress,
        on_phase: &|phase| tracker.phase(phase),
    };
    // Boxed, because it is large.
    let report = reconcile.run().boxed().await?;
    for difference in &report.differences {
        let (id, reason, repaired) = (&difference.id, &difference.reason, difference.repaired);
        tracing::debug!(%range, id, reason, repaired, "source and mirror differed");
    }
    parts.metrics.reconciled(&parts.database, &parts.container, range, report.counts);
    tracker.done(range, report.counts);
    Ok(true)
}

/// What is left, cut along the physical ranges. Pure.
fn open(physical: &[EpkRange], finished: &[EpkRange]) -> Vec<EpkRange> {
    let each = physical.len().div_ceil(PARTS_MAX).max(1);
    let mut open = Vec::new();
    for hole in uncovered(finished) {
        let mut inside: Vec<EpkRange> = physical.iter().filter_map(|range| range.common(&hole)).collect();
        inside.sort();
        for run in inside.chunk_by(|one, next| one.max == next.min) {
            for several in run.chunks(each) {
                if let [first, .., last] | [first @ last] = several {
                    open.push(EpkRange::new(first.min.clone(), last.max.clone()));
                }
            }
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bound(place: u8) -> String {
        match place {
            0 => String::new(),
            255 => "FF".to_owned(),
            place => format!("{place:02X}"),
        }
    }

    fn ranges(places: &[u8]) -> Vec<EpkRange> {
        places.windows(2).map(|two| EpkRange::new(bound(two[0]), bound(two[1]))).collect()
    }

    #[test]
    fn a_split_or_a_merge_changes_how_the_rest_is_cut_and_nothing_else() {
        let finished = [EpkRange::new("", "20")];
        assert_eq!(open(&ranges(&[0, 0x20, 255]), &finished), ranges(&[0x20, 255]));
        assert_eq!(open(&ranges(&[0, 0x20, 0x30, 255]), &finished), ranges(&[0x20, 0x30, 255]));
        assert_eq!(
            open(&ranges(&[0, 255]), &finished),
            ranges(&[0x20, 255]),
            "the part that is done is not read again"
        );
        assert_eq!(open(&ranges(&[0, 255]), &[EpkRange::full()]), []);
    }

    proptest! {
        #[test]
        fn the_parts_are_what_is_left_each_once_and_not_too_many(
            mut bounds in prop::collection::btree_set(1u8..255, 0..200),
            done in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            bounds.extend([0, 255]);
            let bounds: Vec<u8> = bounds.into_iter().collect();
            let physical = ranges(&bounds);
            let finished: Vec<EpkRange> = done.iter().map(|at| at.get(&physical).clone()).collect();
            let parts = open(&physical, &finished);
            prop_assert!(parts.len() <= PARTS_MAX + 2 * finished.len() + 1, "{}", parts.len());
            for (at, one) in parts.iter().enumerate() {
                prop_assert!(one.min < one.max);
                prop_assert!(parts[at + 1..].iter().chain(&finished).all(|other| !one.overlaps(other)));
            }
            let all: Vec<EpkRange> = parts.into_iter().chain(finished).collect();
            prop_assert_eq!(uncovered(&all), []);
        }
    }
}
