//! `cosmirror run`: the daemon.

use super::Context;
use super::args::RunArgs;
use crate::failure::CommandError;
use crate::run::{self, RunOptions};

/// Follows the configured containers.
pub(super) async fn run(args: RunArgs, context: Context) -> Result<(), CommandError> {
    context.configured()?;
    run::run(context.config.config, RunOptions { once: args.once, reconcile: args.reconcile, instance: args.instance })
        .await
}
