//! A job that rehearses: a sample of its container is restored into the scratch container of the configuration, compared, and removed.
//!
//! A rehearsal is claimed in the mirror, so one by another way is waited for, and so is one that another process began for this job and left when it died.
//! What a rehearsal wrote that was cut off or cancelled is removed by the next one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::export::of_command;
use super::place::Parts;
use super::tracker::Tracker;
use crate::failure::{CommandError, Exit, Failure, Kind};
use crate::history::instant;
use crate::rehearse::{Rehearsed, Shows, verdict};

/// How soon it is looked again whether another rehearsal has ended.
const WAIT: Duration = Duration::from_secs(5);

/// What a daemon's rehearsal is asked for.
pub(crate) struct Asked {
    /// Who asks.
    pub(crate) by: &'static str,
    /// The instant; none: the newest one that is known completely.
    pub(crate) at: Option<i64>,
    /// Documents of each million; none: as the settings say.
    pub(crate) sample_per_million: Option<u32>,
    /// Ends it behind the writes under way.
    pub(crate) cancel: CancellationToken,
    /// Shows its phases.
    pub(crate) shows: Shows,
}

/// Rehearses, as soon as no other rehearsal of the container goes on.
pub(super) async fn run(
    parts: &Parts,
    tracker: &Arc<Tracker>,
    at: Option<i64>,
    sample_per_million: Option<u32>,
) -> Result<(), Failure> {
    let off =
        || Failure::new(Kind::Misconfigured, "the configuration does not say where to").remedy("set rehearsal.into");
    let rehearsals = parts.rehearsals.as_ref().ok_or_else(off)?;
    let shown = Arc::clone(tracker);
    let shows: Shows = Arc::new(move |phase| shown.whole(phase));
    loop {
        let (cancel, shows) = (CancellationToken::new(), Arc::clone(&shows));
        let asked = Asked { by: "job", at, sample_per_million, cancel, shows };
        match rehearsed(rehearsals(asked).await).await {
            Err(error) if error.exit == Exit::Held => {
                tracker.whole("waiting for another rehearsal");
                tokio::time::sleep(WAIT).await;
            }
            Err(error) => return Err(of_command(error)),
            Ok(Rehearsed { record, .. }) => {
                tracker.result(json!({
                    "id": record.id,
                    "state": record.state.as_str(),
                    "at": record.instant.map(instant),
                    "scratch": record.scratch.name,
                    "counts": record.counts,
                    "took": record.took,
                    "cleaned": record.cleaned,
                }));
                return verdict(&record).map_or(Ok(()), |error| Err(of_command(error)));
            }
        }
    }
}

async fn rehearsed(rehearse: Result<crate::rehearse::Rehearse, CommandError>) -> Result<Rehearsed, CommandError> {
    rehearse?.run().await
}
