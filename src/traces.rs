//! Spans of the work: a page on its way, what saves its position, a reconciliation, a job, a restore. None is per document.
//!
//! They have a target of their own, which no setting of the logs can turn on, so they cost next to nothing and alter no line
//! where nobody listens. Who listens is the feature `otel`. Attributes are containers, ranges, counts and kinds of failures, never ids, keys or content.

use cosmirror_formats::EpkRange;
use tracing::field::Empty;
use tracing::{Span, debug_span};

use crate::failure::Failure;
use crate::feed::FeedPage;
use crate::mirror::window::Stream;
use crate::reconcile::Counts;

/// The target of every span.
pub(crate) const TARGET: &str = "traces";
/// The attribute of a page and of its reading that found nothing: polls come all day, and nobody wants to see them.
pub(crate) const EMPTY: &str = "empty";

/// A page from before it is asked for until everything of it is stored.
pub(crate) fn page(container: &str, range: &EpkRange, stream: Stream) -> Span {
    debug_span!(target: TARGET, parent: None, "page", container, %range, ?stream, empty = Empty, changes = Empty, bytes = Empty)
}

/// One attempt at reading a page, in the page's span.
pub(crate) fn read() -> Span {
    debug_span!(target: TARGET, "read", empty = Empty, changes = Empty, bytes = Empty, request_units = Empty,
        failure = Empty, otel.status_code = Empty)
}

/// What a page means.
pub(crate) fn plan(page: &Span) -> Span {
    debug_span!(target: TARGET, parent: page, "plan")
}

/// Storing a page's documents.
pub(crate) fn write(page: &Span, documents: usize) -> Span {
    debug_span!(target: TARGET, parent: page, "write", documents)
}

/// Saving a range's position in its lease.
pub(crate) fn checkpoint(lease: &str) -> Span {
    debug_span!(target: TARGET, parent: None, "checkpoint", lease, failure = Empty, otel.status_code = Empty)
}

/// Saving a range's state in the mirror.
pub(crate) fn state(container: &str, range: &EpkRange) -> Span {
    debug_span!(target: TARGET, parent: None, "state", container, %range, failure = Empty, otel.status_code = Empty)
}

/// Comparing a range with its source.
pub(crate) fn reconcile(container: &str, range: &EpkRange) -> Span {
    debug_span!(target: TARGET, parent: None, "reconcile", container, %range, documents = Empty, missing = Empty, stale = Empty,
        extra = Empty, repaired = Empty, failure = Empty, otel.status_code = Empty)
}

/// A job as far as this process brings it.
pub(crate) fn job(container: &str, kind: &str, attempt: u32) -> Span {
    debug_span!(target: TARGET, parent: None, "job", container, kind, attempt, failure = Empty, otel.status_code = Empty)
}

/// A restore from its file, with so many changes.
pub(crate) fn restore(changes: u64) -> Span {
    debug_span!(target: TARGET, parent: None, "restore", changes, failure = Empty, otel.status_code = Empty)
}

/// Writing the documents of a restore, in its span.
pub(crate) fn restore_write() -> Span {
    debug_span!(target: TARGET, "restore write")
}

/// Reading back what a restore wrote, in its span.
pub(crate) fn restore_verify() -> Span {
    debug_span!(target: TARGET, "restore verify")
}

/// Says what a page holds, in its own span or that of its reading.
pub(crate) fn holds(span: &Span, page: &FeedPage) {
    if span.is_disabled() {
        return;
    }
    if page.not_modified {
        span.record(EMPTY, true);
    }
    span.record("changes", page.entries.len());
    span.record("bytes", page.entries.iter().map(|entry| entry.len()).sum::<usize>());
    span.record("request_units", page.request_units);
}

/// Says what a reconciliation found.
pub(crate) fn found(span: &Span, counts: &Counts) {
    span.record("documents", counts.documents);
    span.record("missing", counts.missing);
    span.record("stale", counts.stale);
    span.record("extra", counts.extra);
    span.record("repaired", counts.repaired);
}

/// Says that the work failed, and by its kind why: messages may name documents.
pub(crate) fn failed<T>(span: &Span, result: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &result {
        span.record("failure", failure.kind.name());
        span.record("otel.status_code", "ERROR");
    }
    result
}
