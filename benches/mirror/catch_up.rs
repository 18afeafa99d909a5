//! Mirroring what is there, from the beginning, and the same puts by a client that does nothing else.

use crate::daemon::{LATEST_VERSION, configure_usual, run as command};
use crate::emulator::Emulator;
use crate::floor::{self, Floor, Job, Work};
use crate::mirrored::count_mirror;
use crate::pattern::{self, Pattern};
use crate::process::Used;
use crate::report::{Goal, Report, Row};
use crate::sizes::{LARGE_BYTES, RANGES, SMALL_BYTES};
use crate::{Bench, Outcome, daemon, mirrored};

/// The most requests to the target that the daemon has under way, by default; so many connections the floor has.
const CONCURRENCY: usize = 64;
/// The floor's container.
const BARE: &str = "floor";

/// Documents to mirror: how many, how long, over how many ranges.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Documents {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) ranges: u64,
}

/// What a catch-up took.
#[derive(Debug)]
pub(crate) struct CaughtUp {
    /// From the start of the process until the last version was stored.
    pub(crate) seconds: f64,
    pub(crate) used: Used,
}

/// Runs the scenario.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Outcome<()> {
    for (count, bytes) in [(bench.sizes.small, SMALL_BYTES), (bench.sizes.large, LARGE_BYTES)] {
        let emulator = Emulator::start()?;
        let pattern = pattern::record(&emulator, bench.sizes.source, bytes).await?;
        let CaughtUp { seconds, used } =
            mirror(bench, report, &emulator, Documents { count, bytes, ranges: RANGES }).await?;
        let floor = puts(bench, report, &emulator, pattern, count).await?;
        let (what, is_small) = (format!("{count} × {} KiB", bytes >> 10), bytes == SMALL_BYTES);
        report.add(
            Row::new("catch-up", format!("{what}, rate"), count as f64 / seconds, "changes/s")
                .floor(count as f64 / floor.seconds)
                .goal(is_small.then_some(Goal::RatioAtLeast(0.5)))
                .note("latest-version, from the beginning"),
        );
        report.add(
            Row::new("catch-up", format!("{what}, processor"), each_us(used.cpu.as_secs_f64(), count), "µs/change")
                .floor(each_us(floor.cpu_seconds, count))
                .goal(is_small.then_some(Goal::RatioAtMost(2.0))),
        );
        report.add(Row::new("catch-up", format!("{what}, the whole process"), used.seconds, "s"));
        report.add(Row::new("catch-up", format!("{what}, peak memory"), mib(used.peak_kib), "MiB"));
    }
    Ok(())
}

/// The floor alone.
pub(crate) async fn run_floor(bench: &Bench, report: &mut Report) -> Outcome<()> {
    for (count, bytes) in [(bench.sizes.small, SMALL_BYTES), (bench.sizes.large, LARGE_BYTES)] {
        let emulator = Emulator::start()?;
        let pattern = pattern::record(&emulator, bench.sizes.source, bytes).await?;
        let floor = puts(bench, report, &emulator, pattern, count).await?;
        let what = format!("{count} × {} KiB", bytes >> 10);
        report.add(Row::new("floor", format!("{what}, rate"), count as f64 / floor.seconds, "puts/s"));
        report.add(Row::new("floor", format!("{what}, processor"), each_us(floor.cpu_seconds, count), "µs/put"));
    }
    Ok(())
}

/// Seeds documents and has them mirrored; every one must be, once.
pub(crate) async fn mirror(
    bench: &Bench,
    report: &mut Report,
    emulator: &Emulator,
    documents: Documents,
) -> Outcome<CaughtUp> {
    let Documents { count, bytes, ranges } = documents;
    emulator.seed(daemon::SOURCE, count, bytes, ranges).await?;
    configure_usual(emulator, LATEST_VERSION, bench.sizes.source)?;
    let used = command(emulator, &["run", "--once"]).await?;
    let found = count_mirror(emulator.blob, &bench.keys).await?;
    report.check(found.is(count, count), || format!("catch-up of {documents:?}: there are {found:?}"));
    Ok(CaughtUp { seconds: found.last.duration_since(used.begun).as_secs_f64(), used })
}

/// Has the floor put as many documents.
async fn puts(bench: &Bench, report: &mut Report, emulator: &Emulator, pattern: Pattern, count: u64) -> Outcome<Floor> {
    emulator.make_blob_container(&bench.keys, BARE).await?;
    let (cosmos, blob) = (emulator.cosmos, emulator.blob);
    let work = Work::Puts { container: BARE.to_owned() };
    let floor = floor::run(emulator, &Job { work, count, concurrency: CONCURRENCY, cosmos, blob, pattern }).await?;
    let found = mirrored::count(blob, &bench.keys, BARE).await?;
    report.check(found.is(count, count), || format!("floor of {count} puts: there are {found:?}"));
    Ok(floor)
}

/// Microseconds for each of so many.
pub(crate) fn each_us(seconds: f64, count: u64) -> f64 {
    seconds * 1e6 / count as f64
}

/// KiB as MiB.
pub(crate) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
