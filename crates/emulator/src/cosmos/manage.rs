//! What tests do to a container from outside the protocol.

use std::sync::Arc;

use azure_data_cosmos_driver::models::EffectivePartitionKey;
use jiff::Timestamp;

use super::CosmosService;
use super::feed::FeedQuirks;
use super::state::{State, TopologyError};
use super::store::Container;

/// A container to manage.
pub(crate) struct ContainerControl {
    container: Arc<Container>,
    now: Timestamp,
}

/// A range's id and bounds, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeBounds {
    pub(crate) id: String,
    pub(crate) min: String,
    pub(crate) max: String,
}

impl CosmosService {
    /// A container, by names or resource ids; the error says which is missing.
    pub(crate) fn control(&self, database: &str, container: &str) -> Result<ContainerControl, String> {
        let container = self.store.container(database, container).map_err(|error| error.message)?;
        Ok(ContainerControl { container, now: self.clock.now() })
    }
}

impl ContainerControl {
    /// Splits a range, at a key or where it suits, and gives the two that follow it.
    pub(crate) fn split(
        &self,
        range: &str,
        at: Option<EffectivePartitionKey>,
    ) -> Result<[RangeBounds; 2], TopologyError> {
        // What has expired by now went before the split.
        let mut state = self.container.current(self.now);
        let ids = state.split(range, at)?;
        Ok(ids.map(|id| bounds(&state, id)))
    }

    /// Merges ranges that adjoin and gives the one that follows them.
    pub(crate) fn merge(&self, ranges: &[String]) -> Result<RangeBounds, TopologyError> {
        let mut state = self.container.current(self.now);
        let id = state.merge(ranges)?;
        Ok(bounds(&state, id))
    }

    /// Sets how far back the all-versions feed goes, in seconds.
    pub(crate) fn set_retention(&self, seconds: u32) -> Result<(), TopologyError> {
        self.container.state().set_retention(seconds)
    }

    /// Sets the oddities of the feeds.
    pub(crate) fn set_quirks(&self, quirks: FeedQuirks) {
        self.container.state().quirks = quirks;
    }
}

fn bounds(state: &State, id: String) -> RangeBounds {
    let (min, max) = state.partition(&id).map_or_else(
        |_| (String::new(), String::new()),
        |partition| (partition.bounds.min().to_hex(), partition.bounds.max().to_hex()),
    );
    RangeBounds { id, min, max }
}
