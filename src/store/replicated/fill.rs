//! Filling replicas from the first store: all that is there and not here, name by name, several at a time.
//!
//! Documents come first and what the mirror says of itself last, so that a replica never claims more than it holds. A crash leaves
//! it as far as it was, and the next filling looks at every name again: two listings, and what is missing.

use std::sync::atomic::{AtomicU64, Ordering};

use cosmirror_formats::MirrorPaths;
use futures::{Stream, TryStreamExt as _};

use super::Replicated;
use super::replica::{Replica, lacks};
use crate::failure::Failure;
use crate::history::{Pair, pairs};
use crate::retry::persist;
use crate::store::{Head, Listing};

/// Names that are brought at the same time.
const NAMES_AT_ONCE: usize = 16;
/// So many names between two words in the log.
const NAMES_PER_WORD: u64 = 50_000;

impl Replicated {
    /// Brings everything of a container's mirror to every replica; gives how many versions were missing.
    pub async fn fill(&self, paths: &MirrorPaths) -> Result<u64, Failure> {
        let mut brought = 0;
        for replica in &self.replicas {
            tracing::info!(target = replica.name(), "looking for what the target lacks of the first one");
            let documents = self.fill_under(replica, &paths.documents(), Listing::Versions, lacks).await?;
            let records = self.fill_records(replica, paths).await?;
            tracing::info!(
                target = replica.name(),
                versions = documents,
                records,
                "the target holds what the first one held"
            );
            brought += documents + records;
        }
        Ok(brought)
    }

    /// Brings the records alone, of which a process that died may have put one into the first store only.
    pub async fn bring_records(&self, paths: &MirrorPaths) -> Result<u64, Failure> {
        let mut brought = 0;
        for replica in &self.replicas {
            brought += self.fill_records(replica, paths).await?;
        }
        Ok(brought)
    }

    async fn fill_records(&self, replica: &Replica, paths: &MirrorPaths) -> Result<u64, Failure> {
        // There may be many of these, and none changes without changing its length.
        let many = [paths.dead_letters(), paths.restores(), paths.jobs(), paths.purges()];
        let many = many.map(|prefix| (prefix, lacks_record as Lacks));
        let few = [paths.gaps(), paths.container_record(), paths.range_states(), paths.rehearsals()];
        let few = few.map(|prefix| (prefix, ANYTHING));
        let mut brought = 0;
        for (prefix, lacks) in many.into_iter().chain(few) {
            // Of a record the current content counts, and some have thousands of versions.
            brought += self.fill_under(replica, &prefix, Listing::Current, lacks).await?;
        }
        Ok(brought)
    }

    async fn fill_under(
        &self,
        replica: &Replica,
        prefix: &str,
        listing: Listing,
        lacks: Lacks,
    ) -> Result<u64, Failure> {
        let looked_at = AtomicU64::new(0);
        let told = |name: String| {
            let count = looked_at.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_multiple_of(NAMES_PER_WORD) {
                tracing::info!(target = replica.name(), names = count, "filling the target");
            }
            name
        };
        let first = self.first.as_ref();
        let bring = |name: String| async move { persist(|| replica.bring(first, &name)).await };
        self.lacking(replica, prefix, listing, lacks)
            .map_ok(told)
            .map_ok(bring)
            .try_buffer_unordered(NAMES_AT_ONCE)
            .try_fold(0, |sum, brought| std::future::ready(Ok(sum + brought)))
            .await
    }

    /// The names under a prefix of which the replica may lack something, by listings of both.
    fn lacking<'a>(
        &'a self,
        replica: &'a Replica,
        prefix: &str,
        listing: Listing,
        lacks: Lacks,
    ) -> impl Stream<Item = Result<String, Failure>> + 'a {
        let sides = ((self.first.as_ref(), prefix.to_owned()), (replica.store(), replica.named(prefix)));
        pairs(sides.0, sides.1, listing).try_filter_map(move |Pair { left, right, .. }| async move {
            let name = left.first().map(|head| head.name.clone());
            Ok(name.filter(|_| lacks(&left, &right)))
        })
    }
}

/// Whether a replica may lack something of a name, by what the first store and it list of it.
type Lacks = fn(&[Head], &[Head]) -> bool;

/// What only a look at the content can tell.
const ANYTHING: Lacks = |_, _| true;

fn lacks_record(versions: &[Head], here: &[Head]) -> bool {
    let length = |heads: &[Head]| heads.iter().find(|head| head.current).map(|head| head.length);
    length(versions) != length(here)
}
