//! Planning a restore over a long history, beside the listing alone.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::catch_up::{each_us, mib};
use crate::daemon::{self, ALL_VERSIONS, MIRROR, SOURCE, configure_usual, restorable_until};
use crate::emulator::Emulator;
use crate::mirrored;
use crate::report::{Goal, Report, Row};
use crate::sizes::{PLANNED_BYTES, POLLED_OFTEN};
use crate::{Bench, Outcome};

/// Ranges of the container.
const RANGES: u64 = 4;
/// The most memory that planning may take, in MiB.
const PEAK_MAX: f64 = 256.0;
/// Versions per second, at least.
const RATE_MIN: f64 = 100_000.0;

/// Runs the scenario.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let (documents, each) = bench.sizes.planned;
    let versions = documents * each;
    let emulator = Emulator::start()?;
    configure_usual(&emulator, ALL_VERSIONS, POLLED_OFTEN)?;
    let mut changed = Timestamp::UNIX_EPOCH;
    for version in 0..each {
        emulator.seed(SOURCE, documents, PLANNED_BYTES + version, RANGES).await?;
        changed = daemon::run(&emulator, &["run", "--once"]).await?.begun;
    }
    let found = mirrored::count_mirror(emulator.blob, &bench.keys).await?;
    report.check(found.is(versions, documents), || format!("plan: instead of {versions} versions there are {found:?}"));
    // A client that looks at nothing but where the next page begins.
    let begun = Instant::now();
    mirrored::pages(emulator.blob, &bench.keys, MIRROR, |_| Ok(())).await?;
    let floor_seconds = begun.elapsed().as_secs_f64();
    let at = restorable_until(&emulator, changed).await?;
    let plan = ["restore", "plan", "--all", "--at", &at, "-f", "all.plan"];
    let (planned, used) = daemon::json(&emulator, &plan).await?;
    report.check(planned["plan"]["unchanged"].as_u64() == Some(documents), || format!("plan: it is {planned}"));
    let what = format!("{versions} versions of {documents} documents");
    let row = |figure: &str, value, unit| Row::new("plan", format!("{what}, {figure}"), value, unit);
    report.add(row("time", used.seconds, "s").floor(floor_seconds));
    let (rate, floor_rate) = (versions as f64 / used.seconds, versions as f64 / floor_seconds);
    report.add(row("rate", rate, "versions/s").floor(floor_rate).goal(Goal::AtLeast(RATE_MIN)));
    report.add(row("processor", each_us(used.cpu.as_secs_f64(), versions), "µs/version"));
    report.add(row("peak memory", mib(used.peak_kib), "MiB").goal(Goal::AtMost(PEAK_MAX)));
    Ok(())
}
