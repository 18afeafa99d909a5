//! The live state of ranges as their leases tell it, for commands that cannot wait for the mirror's copy.
//!
//! The mirror's copy of a watermark is written once a minute at most; the lease's every few seconds. Where the source can be
//! asked, the window of what can be restored reaches up to the lease's.

use std::sync::Arc;

use cosmirror_formats::records::{FORMAT, RangeState};
use cosmirror_formats::{EpkRange, lease};

use super::{LeaseStore, range_of};
use crate::config::{self, Config, FeedMode};
use crate::cosmos::Account;
use crate::documents::cosmos::CosmosDocuments;
use crate::failure::{Failure, Kind};
use crate::feed::ChangeFeed as _;
use crate::feed::cosmos::CosmosFeed;
use crate::mirror::checkpoint::RangeProgress;
use crate::time::HostClock;

/// A container as its leases and its feed show it.
pub struct Live {
    /// Its leases.
    pub leases: LeaseStore,
    /// Its feed.
    pub feed: CosmosFeed,
}

impl Live {
    /// Opens the leases of a container that is followed, or is to be; none where the lease container does not exist yet.
    pub async fn open(
        account: &Account,
        config: &Config,
        container: &config::Container,
    ) -> Result<Option<Self>, Failure> {
        let source = account.resolve(&container.database, &container.container).await?;
        let leases = match account.resolve(&config.leases.database, &config.leases.container).await {
            Err(failure) if failure.kind == Kind::NotFound => return Ok(None),
            resolved => resolved?,
        };
        let host = account.endpoint().host_str().unwrap_or_default();
        let rid = &source.source.rid;
        let prefix = lease::id_prefix(&config.leases.processor, host, rid).ok_or_else(|| {
            Failure::new(Kind::Internal, format!("the container's resource id {rid:?} is not usable"))
        })?;
        let key_paths = leases.source.key_paths.clone();
        let name = format!("{}/{}", config.leases.database, config.leases.container);
        let documents = CosmosDocuments::new(account.clone(), leases, name);
        let store = LeaseStore::new(Arc::new(documents), prefix, &key_paths, HostClock::default())?;
        let name = format!("{}/{}", container.database, container.container);
        Ok(Some(Self { leases: store, feed: CosmosFeed::new(account.clone(), source, name) }))
    }
}

/// The states of a container's ranges, read from its leases.
pub async fn range_states(config: &Config, container: &config::Container) -> Result<Vec<RangeState>, Failure> {
    let account = Account::connect(&config.source).await?;
    let Some(live) = Live::open(&account, config, container).await? else { return Ok(Vec::new()) };
    let rid = &live.feed.container().rid;
    let physical = live.feed.ranges().await?;
    let state = |standing: super::Standing| {
        let range = range_of(&standing.lease, &physical)?;
        let progress = RangeProgress::from_lease(&standing.lease, &super::mint_lineage(rid, &range), standing.written);
        Some(range_state(rid, container.feed, &range, progress))
    };
    Ok(live.leases.list().await?.into_iter().filter_map(state).collect())
}

/// A range's state in the form of the mirror's own copy.
pub fn range_state(rid: &str, mode: FeedMode, range: &EpkRange, progress: RangeProgress) -> RangeState {
    RangeState {
        format: FORMAT,
        lineage: progress.lineage,
        rid: rid.to_owned(),
        range: range.clone(),
        mode: mode.as_str().to_owned(),
        since: progress.since,
        backfilled: progress.backfilled,
        reconciled: progress.reconciled,
        watermark: progress.watermark,
        superseded_by: Vec::new(),
    }
}
