//! Reading one container's status: its leases and its feed, then what its mirror says of itself.

use std::time::Duration;

use cosmirror_formats::MirrorPaths;
use cosmirror_formats::records::{ContainerRecord, RangeState, Window};

use crate::config::{Config, Container, FeedMode};
use crate::cosmos::Account;
use crate::failure::{Failure, Kind};
use crate::feed::ChangeFeed as _;
use crate::history::{Coverage, described, unresolved_dead_letters};
use crate::leases::live::{Live, range_state};
use crate::observer::{RangeObservation, Subject};
use crate::records;
use crate::rehearse;
use crate::run::open_store;
use crate::status::{ContainerView, Recorded, recreated};

/// How long the target may take for its records.
const TARGET_TIMEOUT: Duration = Duration::from_secs(10);
/// States of ranges that are read; physical partitions number in the hundreds at most.
const STATES_MAX: usize = 100_000;

/// Reads it.
pub(super) async fn container(
    account: &Account,
    config: &Config,
    container: &Container,
) -> Result<ContainerView, Failure> {
    let Some(live) = Live::open(account, config, container).await? else {
        let leases = &config.leases;
        let note = format!(
            "no leases yet: the container {}/{} is missing; `cosmirror run` makes it",
            leases.database, leases.container
        );
        let (recorded, silence) = recorded(config, container, Vec::new()).await?;
        return Ok(ContainerView::new(container, None, &recorded, Some(silence.unwrap_or(note))));
    };
    let subject =
        Subject { leases: &live.leases, feed: &live.feed, mode: container.feed, expiration: config.leases.expiration };
    let observation = subject.observe().await?;
    let state = |range: &RangeObservation| {
        range_state(&live.feed.container().rid, container.feed, &range.range, range.progress.clone())
    };
    let (recorded, silence) = recorded(config, container, observation.counting().map(state).collect()).await?;
    let leaseless = observation.ranges.is_empty().then(|| "no leases yet: `cosmirror run` makes them".to_owned());
    Ok(ContainerView::new(container, Some(&observation), &recorded, silence.or(leaseless)))
}

/// The same from the mirror alone.
pub(super) async fn of_mirror(config: &Config, container: &Container) -> Result<ContainerView, Failure> {
    let store = open_store(&config.target)?;
    let paths = MirrorPaths::new(&config.target.prefix, &container.database, &container.container);
    let record = described(store.as_ref(), &paths).await?;
    let states: Vec<RangeState> =
        records::all(store.as_ref(), &paths.range_states(), STATES_MAX, |_, state| state).await?;
    let coverage = Coverage::read(store.as_ref(), &paths, &[]).await?;
    let recorded = Recorded {
        window: coverage.window,
        gaps: Some(coverage.gaps_that_matter().count()),
        dead_letters: Some(unresolved_dead_letters(store.as_ref(), &paths).await?),
        recreated: Some(recreated(&record)),
        rehearsal: rehearse::last(store.as_ref(), &paths).await?.map(Into::into),
    };
    Ok(ContainerView::of_mirror(container, &states, &recorded))
}

/// What the mirror's records say, with the newer states that the leases tell of; nothing where there is no target yet. A target that does
/// not answer hides neither the leases nor the feed: then the window is theirs, and the second part says why there is no more.
async fn recorded(
    config: &Config,
    container: &Container,
    newer: Vec<RangeState>,
) -> Result<(Recorded, Option<String>), Failure> {
    let store = open_store(&config.target)?;
    let paths = MirrorPaths::new(&config.target.prefix, &container.database, &container.container);
    let read = async {
        let record: Option<ContainerRecord> = records::read(store.as_ref(), &paths.container_record()).await?;
        let coverage = Coverage::read(store.as_ref(), &paths, &newer).await?;
        Ok(Recorded {
            window: coverage.window,
            gaps: Some(coverage.gaps_that_matter().count()),
            dead_letters: Some(unresolved_dead_letters(store.as_ref(), &paths).await?),
            recreated: Some(record.as_ref().map(recreated).unwrap_or_default()),
            rehearsal: rehearse::last(store.as_ref(), &paths).await?.map(Into::into),
        })
    };
    let why = match tokio::time::timeout(TARGET_TIMEOUT, read).await {
        Ok(Ok(recorded)) => return Ok((recorded, None)),
        Ok(Err(Failure { kind: Kind::NotFound, .. })) => {
            let nothing =
                Recorded { gaps: Some(0), dead_letters: Some(0), recreated: Some(Vec::new()), ..Recorded::default() };
            return Ok((nothing, None));
        }
        Ok(Err(failure)) if failure.kind == Kind::Transient => failure.message,
        Ok(Err(failure)) => return Err(failure),
        Err(_) => format!("it did not answer within {} s", TARGET_TIMEOUT.as_secs()),
    };
    let window = Window::of(&newer, FeedMode::LatestVersion.as_str());
    let note = format!("gaps and dead letters are not known, because the target was not read: {why}");
    Ok((Recorded { window, ..Recorded::default() }, Some(note)))
}
