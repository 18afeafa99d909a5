//! A mirror in place of a configuration: what it holds is read from itself.
//!
//! Its containers are those that describe themselves there. Whether its history is in versions or in snapshots shows in the first description:
//! where the account keeps versions it has one, and where it does not it has none.

use super::Context;
use crate::config::{Container, FeedMode, History, Loaded, Origin, Start, TargetKind};
use crate::failure::CommandError;
use crate::history::{Mirrored, mirrored};
use crate::run::open_store;

/// The same with the containers of the mirror, where one stands in place of a configuration.
pub(super) async fn with_its_containers(context: Context) -> Result<Context, CommandError> {
    let Some(mirror) = &context.mirror else { return Ok(context) };
    tracing::debug!(%mirror, "the mirror stands in place of a configuration; no file is read, whatever COSMIRROR_CONFIG says");
    let target = &context.config.config.target;
    let found = mirrored(open_store(target)?.as_ref(), &target.prefix).await?;
    let mut config = context.config.clone();
    if is_in_snapshots(&config, &found) {
        tracing::info!(
            "the account keeps no versions: history is read from snapshots, as with target.history = \"snapshots\""
        );
        config.config.target.history = History::Snapshots;
    }
    config.config.containers = found.iter().filter_map(container).collect();
    Ok(context.configured_in(config))
}

fn is_in_snapshots(config: &Loaded, found: &[Mirrored]) -> bool {
    let said = config.origins.get("target.history").is_some_and(|origin| *origin != Origin::Default);
    let versions = found.iter().any(|mirrored| !mirrored.version.is_empty());
    config.config.target.kind == TargetKind::Azure && !said && !versions
}

/// The container as it was followed last. One whose feed is not known is left out, and named.
fn container(mirrored: &Mirrored) -> Option<Container> {
    let record = &mirrored.record;
    let word = record.generations.last().and_then(|generation| generation.modes.last());
    let Some(feed) = word.and_then(|word| FeedMode::of(word)) else {
        let container = format!("{}/{}", record.database, record.container);
        tracing::error!(
            container,
            "a mirror is left out: it does not say by which feed it was made, or a newer release made it"
        );
        return None;
    };
    let (database, container) = (record.database.clone(), record.container.clone());
    Some(Container { database, container, feed, start: Start::default(), versions_per_minute_max: 0 })
}
