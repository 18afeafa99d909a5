//! Which documents are not brought back: those whose history was erased from the mirror of the container that they come from or go to.
//!
//! An export that was made before the purge still holds them, and nobody can take them out of its files.

use super::destination::Destination;
use crate::cli::Context;
use crate::cli::history::mirror_of;
use crate::failure::{CommandError, Kind};
use crate::history::Purges;
use crate::retry::persist;

/// Those of each destination, as far as the configuration tells of mirrors.
pub(super) async fn of(context: &Context, destinations: &[Destination]) -> Result<Vec<Vec<Purges>>, CommandError> {
    let mut all = Vec::new();
    for destination in destinations {
        let names = [Some(destination.name()), destination.exported_from.clone()];
        let concerned = context
            .config
            .config
            .containers
            .iter()
            .filter(|container| names.contains(&Some(format!("{}/{}", container.database, container.container))));
        let mut purges = Vec::new();
        for container in concerned {
            let (store, paths) = mirror_of(context, container)?;
            match persist(|| Purges::read(store.as_ref(), &paths)).await {
                // There is no mirror yet.
                Err(failure) if failure.kind == Kind::NotFound => {}
                read => purges.push(read?),
            }
        }
        all.push(purges);
    }
    Ok(all)
}
