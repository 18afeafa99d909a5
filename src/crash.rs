//! Points at which the process can be made to die, so that a test proves what a crash just there leaves behind.
//!
//! They stand at every step whose order matters: before and behind what is put, saved, created and removed. With the feature
//! `crash-points`, which the tests of this package turn on and nothing that is shipped has, the environment variable
//! `COSMIRROR_CRASH_AT` names one, as `name` or, to pass it twice first, as `name:3`. There the process aborts at once: nothing is
//! unwound, nothing drained, nothing flushed. Without the feature a point is nothing at all.

#[cfg(feature = "crash-points")]
use std::sync::OnceLock;
#[cfg(feature = "crash-points")]
use std::sync::atomic::{AtomicU32, Ordering};

/// Every point, by the file that holds it. A test holds this list to the source.
pub const POINTS: [&str; 62] = [
    // src/export.rs and src/export/book.rs
    "export-file-kept",
    "export-file-finished",
    "export-to-manifest",
    "export-manifest-kept",
    // src/import/run.rs
    "import-written",
    // src/leases/acquire.rs
    "lease-taken",
    // src/leases/adopt.rs
    "mode-switched",
    // src/leases/bootstrap.rs
    "probe-created",
    "lock-taken",
    "first-lease-created",
    "marker-to-create",
    "marker-created",
    // src/leases/coverage.rs
    "twin-removed",
    "hole-lease-created",
    "hole-state-superseded",
    // src/leases/keeper.rs
    "lease-to-renew",
    "lease-renewed",
    "lease-to-release",
    "lease-released",
    // src/leases/succession.rs
    "split-lease-taken",
    "split-part-created",
    "split-covered",
    "split-part-state-put",
    "split-superseded",
    "split-lease-deleted",
    // src/mirror.rs
    "page-durable",
    "position-moved",
    "backfill-page-durable",
    "backfill-to-end",
    "backfill-ended",
    // src/mirror/describe.rs
    "container-described",
    "generation-superseded",
    // src/mirror/gap.rs
    "gap-recorded",
    "gap-to-end",
    "gap-ended",
    // src/mirror/watermark.rs
    "state-to-put",
    "state-put",
    // src/mirror/write.rs
    "version-to-put",
    "version-put",
    "letter-to-put",
    "letter-put",
    // src/reconcile/repair.rs
    "repair-to-put",
    "repair-put",
    // src/run/range.rs and src/run/reconciling.rs
    "followed-anew",
    "range-reconciled",
    // src/rehearse.rs and src/rehearse/scratch.rs
    "rehearsal-claimed",
    "rehearsal-created",
    "rehearsal-restored",
    "rehearsal-emptied",
    // src/replay.rs
    "replay-put",
    "replay-marked",
    // src/restore/execute.rs and src/restore/apply.rs
    "restore-recorded",
    "undo-durable",
    "document-restored",
    "undo-completed",
    // src/purge.rs
    "purge-recorded",
    "purge-marked",
    "purge-erased",
    // src/store/azure/snapshots.rs
    "snapshot-to-take",
    // src/store/replicated.rs
    "replica-to-put",
    // src/store/directory/put.rs
    "version-staged",
    "version-linked",
];

/// Dies here if that was asked for.
#[cfg(feature = "crash-points")]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash::reach($name)
    };
}

/// Nothing, without the feature `crash-points`.
#[cfg(not(feature = "crash-points"))]
macro_rules! crash_point {
    ($name:literal) => {};
}

pub(crate) use crash_point;

/// Where to die, and how often to come there before.
#[cfg(feature = "crash-points")]
struct Order {
    name: String,
    left: AtomicU32,
}

#[cfg(feature = "crash-points")]
impl Order {
    const VARIABLE: &str = "COSMIRROR_CRASH_AT";

    fn given() -> Option<Self> {
        std::env::var(Self::VARIABLE).ok().map(|text| Self::parse(&text))
    }

    /// A mistake must not look like a process that outlives its crash.
    fn parse(text: &str) -> Self {
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        let left = times.parse().ok().filter(|times| *times > 0);
        match left.filter(|_| POINTS.contains(&name)) {
            Some(left) => Self { name: name.to_owned(), left: AtomicU32::new(left) },
            None => panic!("{} names no crash point: {text:?}", Self::VARIABLE),
        }
    }

    /// Whether this is the place and the time.
    fn is_met(&self, name: &str) -> bool {
        self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(feature = "crash-points")]
pub(crate) fn reach(name: &str) {
    static ORDER: OnceLock<Option<Order>> = OnceLock::new();
    if ORDER.get_or_init(Order::given).as_ref().is_some_and(|order| order.is_met(name)) {
        tracing::error!(name, "dying here, as COSMIRROR_CRASH_AT says");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn points_in(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                points_in(&path, found);
            } else if !path.ends_with("src/crash.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let calls = text.split("crash_point!(\"").skip(1);
                found.extend(calls.map(|call| call.split('"').next().unwrap().to_owned()));
            }
        }
    }

    #[test]
    fn every_point_in_the_source_is_listed_once_and_every_listed_one_is_in_the_source() {
        let mut found = Vec::new();
        points_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        found.sort();
        let mut listed = POINTS.to_vec();
        listed.sort_unstable();
        assert_eq!(found, listed);
    }

    #[test]
    #[cfg(feature = "crash-points")]
    fn a_point_is_met_at_the_time_that_was_asked_for_and_only_then() {
        let third = Order::parse("version-put:3");
        let met: Vec<bool> = ["version-put", "page-durable", "version-put", "version-put", "version-put"]
            .map(|at| third.is_met(at))
            .into();
        assert_eq!(met, [false, false, false, true, false]);
        assert!(Order::parse("page-durable").is_met("page-durable"));
    }

    #[test]
    #[cfg(feature = "crash-points")]
    #[should_panic(expected = "names no crash point")]
    fn a_point_that_does_not_exist_is_a_mistake() {
        Order::parse("nowhere");
    }
}
