//! Where versions go: an account of Azure Storage, or a directory.

use super::bounds::Bounds;
use super::report::Report;
use crate::config::{Config, TargetKind};

mod azure;
mod directory;

/// Looks at it.
pub(super) async fn check(config: &Config, bounds: &Bounds) -> Report {
    match config.target.kind {
        TargetKind::Azure => azure::check(&config.target, bounds).await,
        TargetKind::Directory => directory::check(&config.target, bounds).await,
    }
}

/// Looks at what reading takes.
pub(super) async fn check_reading(config: &Config, bounds: &Bounds) -> Report {
    match config.target.kind {
        TargetKind::Azure => azure::check_reading(&config.target, bounds).await,
        // That it can be read was found out when the mirrors in it were looked for.
        TargetKind::Directory => Report::default(),
    }
}
