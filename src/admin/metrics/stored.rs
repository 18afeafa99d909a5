//! What was read and stored: bytes, and versions by their operation.

use cosmirror_formats::Op;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{Labels, family};

const CHANGES_BY_OPERATION: &str = "changes_by_operation";
const BYTES_READ: &str = "bytes_read";
const BYTES_WRITTEN: &str = "bytes_written";
const PURGED_SKIPPED: &str = "purged_skipped";

/// In the order in which the type lists them, so that an operation is its counter's place.
const OPERATIONS: [Op; 6] = [Op::Create, Op::Replace, Op::Delete, Op::Expire, Op::Backfill, Op::Reconcile];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    database: String,
    container: String,
    operation: &'static str,
}

#[derive(Debug)]
pub(super) struct Families {
    changes: Family<OperationLabels, Counter>,
    bytes_read: Family<Labels, Counter>,
    bytes_written: Family<Labels, Counter>,
    purged_skipped: Family<Labels, Counter>,
}

/// What was read and stored of one container. Clones share one state.
#[derive(Debug, Clone)]
pub struct StoredMetrics {
    changes: [Counter; OPERATIONS.len()],
    /// Bytes of changes as the feed delivered them, repeated ones included.
    pub bytes_read: Counter,
    /// Bytes of versions that were stored.
    pub bytes_written: Counter,
    /// Changes that were not stored because their document's history was erased up to a later instant.
    pub purged_skipped: Counter,
}

impl Families {
    pub(super) fn register(r: &mut Registry) -> Self {
        Self {
            changes: family(r, CHANGES_BY_OPERATION, "Stored changes by what they did to their documents"),
            bytes_read: family(r, BYTES_READ, "Bytes of changes read from the feed"),
            bytes_written: family(r, BYTES_WRITTEN, "Bytes of versions stored"),
            purged_skipped: family(r, PURGED_SKIPPED, "Changes of documents whose history was erased"),
        }
    }

    pub(super) fn of(&self, labels: &Labels) -> StoredMetrics {
        let changes = OPERATIONS.map(|operation| {
            let Labels { database, container } = labels.clone();
            let labels = OperationLabels { database, container, operation: operation.as_str() };
            self.changes.get_or_create_owned(&labels)
        });
        let bytes_read = self.bytes_read.get_or_create_owned(labels);
        let bytes_written = self.bytes_written.get_or_create_owned(labels);
        StoredMetrics {
            changes,
            bytes_read,
            bytes_written,
            purged_skipped: self.purged_skipped.get_or_create_owned(labels),
        }
    }
}

impl StoredMetrics {
    /// A version of so many bytes became a document's current one.
    pub fn stored(&self, operation: Op, bytes: usize) {
        // A purge is no change of the source.
        if let Some(changes) = self.changes.get(operation as usize) {
            changes.inc();
        }
        self.bytes_written.inc_by(bytes as u64);
    }

    /// A comparison with the source put so many documents right.
    pub(super) fn repaired(&self, documents: u64) {
        self.changes[Op::Reconcile as usize].inc_by(documents);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;
    use crate::admin::Progress;

    #[tokio::test(start_paused = true)]
    async fn every_operation_is_there_from_the_start_and_counts_for_itself() {
        let metrics = Metrics::new([("d", "c")]);
        let stored = metrics.container("d", "c").stored;
        for (times, operation) in OPERATIONS.into_iter().enumerate() {
            for _ in 0..times {
                stored.stored(operation, 10);
            }
        }
        let text = metrics.render(&Progress::new([("d", "c")])).unwrap();
        for (times, operation) in ["create", "replace", "delete", "expire", "backfill", "reconcile"].iter().enumerate()
        {
            let line = format!(
                "cosmirror_changes_by_operation_total{{database=\"d\",container=\"c\",operation=\"{operation}\"}} {times}\n"
            );
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert!(text.contains("cosmirror_bytes_written_total{database=\"d\",container=\"c\"} 150\n"), "{text}");
    }
}
