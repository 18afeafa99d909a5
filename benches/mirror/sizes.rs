//! How much of everything: as the figures are told, and small enough to be run with every change.

use std::time::Duration;

/// Partition key values over which documents are spread.
pub(crate) const KEYS: u64 = 500;
/// Ranges of a container, where nothing else is said.
pub(crate) const RANGES: u64 = 8;
/// A small document's length, in bytes.
pub(crate) const SMALL_BYTES: u64 = 1 << 10;
/// A large document's length, in bytes.
pub(crate) const LARGE_BYTES: u64 = 100 << 10;
/// A document of the long history that a restore is planned over: what counts there is how many there are.
pub(crate) const PLANNED_BYTES: u64 = 400;
/// Settings with which changes are seen soon.
pub(crate) const POLLED_OFTEN: &str = "poll_interval = \"10ms\"\npoll_interval_idle_max = \"10ms\"";

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Settings of the section `source` where something is caught up with: the defaults, or what wastes no time.
    pub(crate) source: &'static str,
    /// Documents of the catch-up.
    pub(crate) small: u64,
    /// Large documents of the catch-up.
    pub(crate) large: u64,
    /// Documents that are replaced round robin.
    pub(crate) known: u64,
    /// Changes per second.
    pub(crate) rates: [u32; 2],
    /// How long changes come before any counts: pauses that grew while nothing happened end with the first of them.
    pub(crate) warm_up: Duration,
    /// How long the changes come that count.
    pub(crate) steady: Duration,
    /// How long nothing happens.
    pub(crate) idle: Duration,
    /// How long the target is down.
    pub(crate) outage: Duration,
    /// Documents that are restored.
    pub(crate) restored: u64,
    /// Documents of the long history, and versions of each.
    pub(crate) planned: (u64, u64),
    /// Documents of the catch-ups that are compared.
    pub(crate) scale: [u64; 3],
    /// Ranges of those catch-ups that have the middle number of documents, besides [`RANGES`].
    pub(crate) ranges: [u64; 2],
}

const FULL: Sizes = Sizes {
    source: "",
    small: 200_000,
    large: 20_000,
    known: 2_000,
    rates: [500, 2_000],
    warm_up: Duration::from_secs(5),
    steady: Duration::from_secs(30),
    idle: Duration::from_secs(60),
    outage: Duration::from_secs(60),
    restored: 100_000,
    planned: (100_000, 10),
    scale: [10_000, 100_000, 1_000_000],
    ranges: [1, 64],
};

const QUICK: Sizes = Sizes {
    source: POLLED_OFTEN,
    small: 1_000,
    large: 50,
    known: 100,
    rates: [50, 100],
    warm_up: Duration::from_millis(500),
    steady: Duration::from_secs(1),
    idle: Duration::from_secs(2),
    outage: Duration::from_secs(2),
    restored: 300,
    planned: (300, 2),
    scale: [100, 200, 400],
    ranges: [1, 16],
};

impl Sizes {
    /// The sizes of a run.
    pub(crate) fn of(quick: bool) -> Self {
        if quick { QUICK } else { FULL }
    }
}
