//! `cosmirror demo`: everything in one process.

use std::time::Duration;

use super::args::DemoArgs;
use crate::demo::{Demo, Loading, run as demonstrate};
use crate::failure::CommandError;

/// Shows the product at work.
pub(super) async fn run(args: DemoArgs) -> Result<(), CommandError> {
    let loading = match (args.documents, args.id, args.pk) {
        (Some(file), Some(id_field), Some(key_field)) => Some(Loading { file, id_field, key_field }),
        _ => None,
    };
    let limit = args.seconds.map(Duration::from_secs);
    demonstrate(Demo { directory: args.dir, loading, limit }).await
}
