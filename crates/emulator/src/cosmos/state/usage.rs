//! How much a container holds.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::cosmos::change::Change;

/// Counts of a container's current items. Each count is right by itself; both together may be read between two writes.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    documents: AtomicU64,
    bytes: AtomicU64,
}

impl Usage {
    /// Counts a change and the version that it took the place of.
    pub(super) fn replaced(&self, previous: Option<&Change>, change: &Change) {
        let size = |version: &Change| version.document.as_ref().map_or(0, |document| document.len() as u64);
        if let Some(previous) = previous {
            self.documents.fetch_sub(1, Ordering::Relaxed);
            self.bytes.fetch_sub(size(previous), Ordering::Relaxed);
        }
        if !change.op.removes() {
            self.documents.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(size(change), Ordering::Relaxed);
        }
    }

    /// The text of the header `x-ms-resource-usage`: sizes in kilobytes.
    pub(crate) fn header(&self) -> String {
        let kilobytes = self.bytes.load(Ordering::Relaxed).div_ceil(1024);
        let documents = self.documents.load(Ordering::Relaxed);
        format!("documentSize=0;documentsSize={kilobytes};documentsCount={documents};collectionSize={kilobytes};")
    }
}
