//! Whether the leases tile the key space, round after round, and whether recorded holes have been repaired.

use std::collections::BTreeSet;

use cosmirror_formats::EpkRange;

use super::container::Container;
use crate::failure::{Action, Failure};
use crate::feed::PhysicalRange;
use crate::leases::coverage::{holes, twins};
use crate::leases::{Standing, range_of, succession};
use crate::mirror::checkpoint::{RangeProgress, Repair};

/// What a lease says of gaps: its id, the gap that is being repaired, and when the last one was.
type Said = (String, BTreeSet<i64>, Option<Repair>);

/// What the last rounds saw.
#[derive(Debug, Default)]
pub(super) struct Tiling {
    /// What the last round saw: holes, and leases that are one too many. A list is not one instant's, so only what two rounds see is
    /// repaired.
    suspicious: (Vec<EpkRange>, Vec<String>),
    /// Leases that are followed here although others stand for parts of their ranges, in the last round.
    overlapped: BTreeSet<String>,
    /// What the leases said of gaps when those were last looked at.
    gaps_seen: Option<Vec<Said>>,
}

impl Tiling {
    /// Looks at what a round read, and repairs what two rounds in a row have seen.
    pub(super) async fn check(
        &mut self,
        container: &Container,
        leases: &[Standing],
        physical: &[PhysicalRange],
    ) -> Result<(), Failure> {
        let missing = holes(leases, physical);
        let surplus = twins(leases, physical).iter().map(|twin| twin.surplus.lease.id.clone()).collect();
        let (holes_before, twins_before) = std::mem::replace(&mut self.suspicious, (missing.clone(), surplus));
        let again = missing.iter().any(|hole| holes_before.iter().any(|before| before.overlaps(hole)))
            || self.suspicious.1.iter().any(|twin| twins_before.contains(twin));
        if again {
            tracing::error!(
                container = container.name(),
                holes = missing.len(),
                "the leases do not tile the key space"
            );
            container.coverage().try_repair().await?;
            self.suspicious = Default::default();
            self.gaps_seen = None;
        }
        self.end_gaps(container, leases, physical).await
    }

    /// Of the leases that are followed here, those that two rounds in a row have seen beside leases of parts of their ranges: they must
    /// give way to these. A replica that hung while it made the first leases may have made them long after others did.
    pub(super) fn overlapped(
        &mut self,
        followed: &[&String],
        leases: &[Standing],
        physical: &[PhysicalRange],
    ) -> Vec<String> {
        let has_parts = |standing: &&Standing| {
            let range = range_of(&standing.lease, physical);
            range.is_some_and(|range| succession::is_under_way(&standing.lease.id, &range, leases, physical))
        };
        let ours = leases.iter().filter(|standing| followed.contains(&&standing.lease.id));
        let seen: BTreeSet<String> = ours.filter(has_parts).map(|standing| standing.lease.id.clone()).collect();
        let before = std::mem::replace(&mut self.overlapped, seen);
        self.overlapped.intersection(&before).cloned().collect()
    }

    /// Looks once more when every range was released: what was repaired last should not wait for the next start.
    pub(super) async fn finish(&mut self, container: &Container) {
        let looking = async {
            let (leases, physical) = (container.leases().list().await?, container.feed().ranges().await?);
            self.end_gaps(container, &leases, &physical).await
        };
        if let Err(failure) = looking.await {
            tracing::warn!(error = %failure, "the recorded gaps were not read; the next start ends those that are repaired");
        }
    }

    /// Ends the gaps whose ranges have been read again, as soon as the leases say so.
    async fn end_gaps(
        &mut self,
        container: &Container,
        leases: &[Standing],
        physical: &[PhysicalRange],
    ) -> Result<(), Failure> {
        let of = |standing: &Standing| -> Said {
            let progress = RangeProgress::from_lease(&standing.lease, "", 0);
            (standing.lease.id.clone(), progress.gaps, progress.repaired)
        };
        let said: Vec<_> =
            leases.iter().map(of).filter(|(_, gaps, repaired)| !gaps.is_empty() || repaired.is_some()).collect();
        if self.gaps_seen.as_ref() == Some(&said) {
            return Ok(());
        }
        match container.coverage().end_gaps(leases, physical).await {
            Ok(open) => {
                container.metrics().gaps.set(i64::try_from(open).unwrap_or(i64::MAX));
                self.gaps_seen = Some(said);
                Ok(())
            }
            Err(failure) if matches!(failure.kind.action(), Action::Retry | Action::Look) => {
                tracing::warn!(error = %failure, "the recorded gaps were not read; trying again");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}
