//! Reading one container's status: its leases and its feed, then what its mirror says of itself.

use cosmirror_formats::MirrorPaths;

use crate::config::{Config, Container};
use crate::cosmos::Account;
use crate::failure::{Failure, Kind};
use crate::feed::ChangeFeed as _;
use crate::history::{Coverage, unresolved_dead_letters};
use crate::leases::live::{Live, range_state};
use crate::observer::{Observation, Subject};
use crate::run::open_store;
use crate::status::{ContainerView, Recorded};

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
        let recorded = recorded(config, container, None).await?;
        return Ok(ContainerView::new(container, None, &recorded, Some(note)));
    };
    let subject =
        Subject { leases: &live.leases, feed: &live.feed, mode: container.feed, expiration: config.leases.expiration };
    let observation = subject.observe().await?;
    let recorded = recorded(config, container, Some((&live, &observation))).await?;
    let note = observation.ranges.is_empty().then(|| "no leases yet: `cosmirror run` makes them".to_owned());
    Ok(ContainerView::new(container, Some(&observation), &recorded, note))
}

/// What the mirror's records say, with the newer states that the leases tell of. Nothing where there is no target yet.
async fn recorded(
    config: &Config,
    container: &Container,
    seen: Option<(&Live, &Observation)>,
) -> Result<Recorded, Failure> {
    let store = open_store(&config.target)?;
    let paths = MirrorPaths::new(&config.target.prefix, &container.database, &container.container);
    let newer = seen.map(|(live, observation)| {
        let state = |range: &crate::observer::RangeObservation| {
            range_state(&live.feed.container().rid, container.feed, &range.range, range.progress.clone())
        };
        observation.counting().map(state).collect::<Vec<_>>()
    });
    let read = async {
        let coverage = Coverage::read(store.as_ref(), &paths, &newer.unwrap_or_default()).await?;
        Ok(Recorded {
            window: coverage.window,
            gaps: coverage.gaps_that_matter().count(),
            dead_letters: unresolved_dead_letters(store.as_ref(), &paths).await?,
        })
    };
    match read.await {
        Err(Failure { kind: Kind::NotFound, .. }) => Ok(Recorded::default()),
        read => read,
    }
}
