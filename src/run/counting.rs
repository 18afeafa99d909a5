//! How many dead letters and open gaps a container's mirror holds, counted now and then by listing.
//!
//! What this process writes itself is counted at once where it happens; what other replicas write, and what a person replays or repairs
//! by a command, only the mirror tells. Every replica counts, so that none says for ever what was true when it started. The cost is
//! bounded: two listings every few minutes, each given up after a while. What could not be counted stays as it was, and is not told on
//! `/status` once it is old.

use std::sync::Arc;
use std::time::Duration;

use cosmirror_formats::MirrorPaths;
use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;

use super::container::Container;
use crate::admin::{ContainerMetrics, ContainerProgress};
use crate::history::unresolved_dead_letters;
use crate::mirror::gap;
use crate::store::VersionStore;

/// Pause between two counts where nothing waits.
const PAUSE: Duration = Duration::from_mins(5);
/// Pause while something waits: who replays it wants to see that.
const PAUSE_WAITING: Duration = Duration::from_mins(1);
/// Pause before what failed is counted again.
const PAUSE_FAILED: Duration = Duration::from_secs(15);
/// How long a count may take.
const COUNT_TIMEOUT: Duration = Duration::from_secs(30);

/// Counts for one container.
pub(super) struct Counter {
    store: Arc<dyn VersionStore>,
    paths: MirrorPaths,
    metrics: ContainerMetrics,
    progress: ContainerProgress,
    /// Cancelled when the process is to end.
    drain: CancellationToken,
}

impl Counter {
    /// For this container.
    pub(super) fn of(container: &Container) -> Self {
        let shared = container.shared();
        Self {
            store: Arc::clone(&shared.store),
            paths: container.paths().clone(),
            metrics: container.metrics().clone(),
            progress: container.progress().clone(),
            drain: shared.drain.clone(),
        }
    }

    /// Counts until the process is to end.
    pub(super) async fn count(self) {
        let again = async {
            loop {
                let counted = self.once().await;
                let waits = self.metrics.dead_letters.get() != 0 || self.metrics.gaps.get() != 0;
                let pause = if waits { PAUSE_WAITING } else { PAUSE };
                tokio::time::sleep(if counted { pause } else { PAUSE_FAILED }).await;
            }
        };
        tokio::select! {
            () = again => {}
            () = self.drain.cancelled() => {}
        }
    }

    /// Counts; whether it could.
    async fn once(&self) -> bool {
        let gauges = [&self.metrics.dead_letters, &self.metrics.gaps];
        let before = gauges.map(Gauge::get);
        let found = async {
            let letters = unresolved_dead_letters(self.store.as_ref(), &self.paths).await?;
            let open = gap::open(self.store.as_ref(), &self.paths).await?;
            Ok::<_, crate::failure::Failure>([letters, open.len()])
        };
        match tokio::time::timeout(COUNT_TIMEOUT, found).await {
            Ok(Ok(found)) => {
                for ((gauge, before), found) in gauges.into_iter().zip(before).zip(found) {
                    // What this process wrote meanwhile may lie behind the listing. Rather once too often, until the next count.
                    let meanwhile = (gauge.get() - before).max(0);
                    gauge.set(i64::try_from(found).unwrap_or(i64::MAX).saturating_add(meanwhile));
                }
                self.progress.counted();
                return true;
            }
            Ok(Err(failure)) => {
                tracing::info!(error = %failure, "dead letters and gaps were not counted; trying again");
            }
            Err(_) => tracing::info!("dead letters and gaps were not counted in time; trying again"),
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use cosmirror_formats::records::RESOLVED;

    use super::*;
    use crate::admin::{Metrics, Progress};
    use crate::history::memory::{MemoryStore, paths};
    use crate::store::{Condition, Put};

    fn counter(store: &Arc<MemoryStore>) -> Counter {
        Counter {
            store: Arc::clone(store) as Arc<dyn VersionStore>,
            paths: paths(),
            metrics: Metrics::new([("db", "c")]).container("db", "c"),
            progress: Progress::new([("db", "c")]).container("db", "c"),
            drain: CancellationToken::new(),
        }
    }

    async fn letter(store: &MemoryStore, at: u64, condition: Condition, resolved: bool) -> String {
        let name = format!("{}-FF/{at}.json", paths().dead_letters());
        let metadata = resolved.then(|| (RESOLVED.to_owned(), "stored".to_owned()));
        let body = Bytes::from_static(b"{}");
        store.put(Put { name, body, metadata: BTreeMap::from_iter(metadata), condition }).await.unwrap().etag
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_letter_that_was_replayed_elsewhere_counts_no_more() {
        let store = Arc::new(MemoryStore::default());
        let counter = counter(&store);
        let (metrics, progress, drain) = (counter.metrics.clone(), counter.progress.clone(), counter.drain.clone());
        let etag = letter(&store, 1, Condition::Absent, false).await;
        letter(&store, 2, Condition::Absent, false).await;
        assert!(!progress.is_counted());
        let story = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!((metrics.dead_letters.get(), metrics.gaps.get(), progress.is_counted()), (2, 0, true));
            letter(&store, 1, Condition::Matches(etag), true).await;
            tokio::time::sleep(PAUSE_WAITING).await;
            assert_eq!(metrics.dead_letters.get(), 1);
            drain.cancel();
        };
        tokio::join!(counter.count(), story);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_counted_stays_as_it_was_and_becomes_unknown() {
        let store = Arc::new(MemoryStore::default());
        let counter = counter(&store);
        let (metrics, progress, drain) = (counter.metrics.clone(), counter.progress.clone(), counter.drain.clone());
        metrics.dead_letters.set(3);
        (0..100).for_each(|_| store.fail_next(crate::failure::Kind::Unauthorized));
        let story = async {
            tokio::time::sleep(PAUSE_FAILED * 50).await;
            assert_eq!((metrics.dead_letters.get(), progress.is_counted()), (3, false));
            drain.cancel();
        };
        tokio::join!(counter.count(), story);
    }
}
