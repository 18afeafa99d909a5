//! Rehearsals on a schedule, and telling of the last one whoever made it.
//!
//! Every process looks at the record in the mirror now and then. Which of several rehearses when one is due, the record itself decides: it is
//! claimed by one conditional put, so over all replicas there is one rehearsal of a container in each interval. A drain leaves a rehearsal where it
//! stands; the next one removes what it wrote.

use std::sync::Arc;
use std::time::Duration;

use super::container::{Container, Shared};
use crate::config;
use crate::cosmos::Account;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit, Failure};
use crate::feed::ChangeFeed;
use crate::history::Coverage;
use crate::jobs::AskedRehearsal as Asked;
use crate::rehearse::{EXPIRATION, Rehearse, last, newest, unseen, verdict};
use cosmirror_formats::MirrorPaths;
use cosmirror_formats::rehearsal::{Rehearsal, State};

/// Longest pause between two looks at the record.
const LOOK_INTERVAL_MAX: Duration = Duration::from_mins(1);
/// Pause between two looks where none is scheduled.
const LOOK_INTERVAL_OFF: Duration = Duration::from_mins(5);
/// Longest pause behind a rehearsal that could not begin.
const FAILED_INTERVAL_MAX: Duration = Duration::from_hours(1);
/// Looks in one interval.
const LOOKS: u32 = 4;
/// Documents at a time: the daemon's own work comes first.
const CONCURRENCY: u32 = 4;

/// Looks after the rehearsals of one container.
pub(super) fn rehearser(container: &Container, settings: &config::Rehearsal) -> Rehearser {
    let of = container.settings();
    Rehearser {
        shared: container.share(),
        settings: settings.clone(),
        database: of.database.clone(),
        container: of.container.clone(),
        paths: container.paths().clone(),
        feed: container.feed(),
    }
}

/// See the module.
pub(super) struct Rehearser {
    shared: Arc<Shared>,
    settings: config::Rehearsal,
    database: String,
    container: String,
    paths: MirrorPaths,
    feed: Arc<dyn ChangeFeed>,
}

impl Rehearser {
    /// Looks, and rehearses when it is time, until the process is to end.
    pub(super) async fn run(self) {
        let looking = async {
            loop {
                let pause = match self.turn().await {
                    Ok(pause) => pause,
                    Err(failure) => {
                        let container = self.name();
                        tracing::info!(container, error = %failure, "the record of rehearsals was not read; trying again");
                        LOOK_INTERVAL_MAX
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            biased;
            () = self.shared.drain.cancelled() => {}
            () = looking => {}
        }
    }

    /// Looks at the record, rehearses if it is time, and gives the pause until the next look.
    async fn turn(&self) -> Result<Duration, Failure> {
        let found = last(self.shared.store.as_ref(), &self.paths).await?;
        let now = self.feed.service_time().await?;
        self.tell(now, found.as_ref());
        let interval = self.settings.interval;
        if interval.is_zero() {
            return Ok(LOOK_INTERVAL_OFF);
        }
        let pause = (interval / LOOKS).min(LOOK_INTERVAL_MAX);
        if !is_due(found.as_ref(), interval, now) || !self.is_possible().await? {
            return Ok(pause);
        }
        let (database, container) = (self.database.as_str(), self.container.as_str());
        match self.rehearse().await {
            Ok(record) => {
                self.tell(self.feed.service_time().await?, Some(&record));
                Ok(pause)
            }
            // Another replica was quicker.
            Err(error) if error.exit == Exit::Held => Ok(pause),
            Err(error) => {
                self.shared.admin.metrics.rehearsal_failed(database, container);
                let (container, remedy) = (self.name(), &error.remedy);
                tracing::error!(container, %error, remedy, "a rehearsal could not begin");
                Ok(interval.min(FAILED_INTERVAL_MAX))
            }
        }
    }

    fn tell(&self, now: i64, found: Option<&Rehearsal>) {
        let names = (self.database.as_str(), self.container.as_str());
        self.shared.admin.metrics.rehearsed(names, self.settings.interval, Some(now), found);
    }

    fn name(&self) -> String {
        format!("{}/{}", self.database, self.container)
    }

    /// Before the first backfill has ended there is nothing that could be restored, and before deletes are known nothing that could be compared.
    async fn is_possible(&self) -> Result<bool, Failure> {
        let coverage = Coverage::read(self.shared.store.as_ref(), &self.paths, &[]).await?;
        Ok(newest(&coverage.window).is_some())
    }

    /// A rehearsal by the daemon's settings.
    pub(super) async fn configured(&self, asked: Asked) -> Result<Rehearse, CommandError> {
        let Asked { by, at, sample_per_million, cancel, shows } = asked;
        let source = &self.shared.source;
        Ok(Rehearse {
            store: Arc::clone(&self.shared.store),
            paths: self.paths.clone(),
            account: Account::connect_counting(source, self.shared.admin.metrics.requests_to_source()).await?,
            endpoint: source.endpoint.clone(),
            into: self.settings.scratch(&self.database, &self.container),
            at,
            sample_per_million: sample_per_million.unwrap_or(self.settings.sample),
            clean: self.settings.clean,
            by,
            identities: Identities::default(),
            units: Arc::clone(&self.shared.request_units),
            concurrency: CONCURRENCY,
            cancel,
            shows,
        })
    }

    async fn rehearse(&self) -> Result<Rehearsal, CommandError> {
        let cancel = self.shared.drain.clone();
        let asked = Asked { by: "schedule", at: None, sample_per_million: None, cancel, shows: unseen() };
        let rehearse = self.configured(asked).await?;
        // Boxed, because it is large and most of the time not under way.
        let record = Box::pin(rehearse.run()).await?.record;
        let container = self.name();
        let (documents, wrong, failed) = (record.counts.documents, record.counts.wrong(), record.counts.failed);
        let rto_seconds = record.took.rto_seconds_all;
        match verdict(&record) {
            None => tracing::info!(container, documents, rto_seconds, "a rehearsal has restored what the mirror holds"),
            Some(error) => {
                self.shared.admin.metrics.rehearsal_failed(&self.database, &self.container);
                tracing::error!(container, documents, wrong, failed, %error, remedy = error.remedy, "a rehearsal did not end well");
            }
        }
        Ok(record)
    }
}

/// Whether it is time. One that was killed or cut off is due at once; the time between two is that between their beginnings.
fn is_due(found: Option<&Rehearsal>, interval: Duration, now: i64) -> bool {
    let Some(last) = found else { return true };
    let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
    match last.state {
        State::Running => now.saturating_sub(last.alive) > EXPIRATION,
        State::Cancelled => true,
        State::Equal | State::Differs | State::Failed => last.began.saturating_add(interval) <= now,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rehearsal(state: State) -> Rehearsal {
        let scratch = json!({ "account": "a", "name": "s/c", "rid": null, "created": false });
        let record = json!({
            "format": 1, "id": "i", "database": "db", "container": "c", "by": "command", "state": state.as_str(), "scratch": scratch,
            "instant": null, "sample_per_million": 1, "began": 1_000, "alive": 1_100, "ended": null, "cleaned": false,
            "counts": {}, "took": {}, "error": null, "succeeded": null, "traces": [],
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn one_is_due_an_interval_after_the_beginning_of_the_last_one_whoever_made_it() {
        let interval = Duration::from_hours(1);
        assert!(is_due(None, interval, 0));
        for ended in [State::Equal, State::Differs, State::Failed] {
            let due = |now| is_due(Some(&rehearsal(ended)), interval, now);
            assert!(!due(4_599) && due(4_600), "{ended:?}");
        }
    }

    #[test]
    fn one_that_was_killed_or_cut_off_is_made_up_for_at_once() {
        let due = |state, now| is_due(Some(&rehearsal(state)), Duration::from_hours(1), now);
        assert!(!due(State::Running, 1_100 + EXPIRATION) && due(State::Running, 1_101 + EXPIRATION));
        assert!(due(State::Cancelled, 1_100));
    }
}
