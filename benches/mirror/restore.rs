//! Bringing a whole container back, into an empty one, and the same reads and writes by a client that does nothing else.
//!
//! A restore reads back what it wrote. That is not what is measured, so the time ends when the service has taken the last write.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::catch_up::{Documents, each_us, mib, mirror};
use crate::daemon::{self, restorable_until};
use crate::emulator::{DATABASE, Emulator};
use crate::floor::{self, Job, Work};
use crate::pattern;
use crate::report::{Goal, Report, Row};
use crate::sizes::{RANGES, SMALL_BYTES};
use crate::{Bench, Outcome};

/// The containers that are written to, by the restore and by the floor.
const INTO: &str = "restored";
const BARE: &str = "floor";
/// Documents that a restore works on at a time, by default.
const CONCURRENCY: usize = 16;
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(10);

/// Runs the scenario.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let count = bench.sizes.restored;
    let emulator = Emulator::start()?;
    let pattern = pattern::record(&emulator, bench.sizes.source, SMALL_BYTES).await?;
    let caught_up = mirror(bench, report, &emulator, Documents { count, bytes: SMALL_BYTES, ranges: RANGES }).await?;
    for container in [INTO, BARE] {
        emulator.seed(container, 0, SMALL_BYTES, RANGES).await?;
    }
    let at = restorable_until(&emulator, caught_up.used.begun).await?;
    let into = format!("{DATABASE}/{INTO}");
    let plan = ["restore", "plan", "--all", "--at", &at, "--into", &into, "-f", "all.plan"];
    let (planned, _) = daemon::json(&emulator, &plan).await?;
    report.check(planned["plan"]["create"].as_u64() == Some(count), || format!("restore: the plan is {planned}"));

    let before = emulator.counted().await?.with("cosmos", "item-write", "201");
    let begun = Instant::now();
    let has_ended = Cell::new(false);
    let written = async {
        loop {
            // What the counters say at the end is the last word.
            let is_last = has_ended.get();
            let written = emulator.counted().await?.with("cosmos", "item-write", "201") - before;
            if written >= count || is_last {
                return Ok::<_, crate::Fault>((written, begun.elapsed().as_secs_f64()));
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let applied = async {
        let applied = daemon::json(&emulator, &["restore", "apply", "all.plan", "--yes"]).await;
        has_ended.set(true);
        applied
    };
    let ((written, seconds), (applied, used)) = tokio::try_join!(written, applied)?;
    report.check(written == count && applied["applied"]["create"].as_u64() == Some(count), || {
        format!("restore: {written} documents of {count} were written, and it says {applied}")
    });
    let (cosmos, blob) = (emulator.cosmos, emulator.blob);
    let work = Work::Restores { container: BARE.to_owned() };
    let floor = floor::run(&emulator, &Job { work, count, concurrency: CONCURRENCY, cosmos, blob, pattern }).await?;
    for container in [INTO, BARE] {
        let changes = emulator.changes(container).await? as u64;
        report.check(changes == count, || format!("restore: {changes} writes in {container} and not {count}"));
    }
    let row = |figure: &str, value, unit| Row::new("restore", format!("{count} documents, {figure}"), value, unit);
    report.add(
        row("rate of the writing", count as f64 / seconds, "documents/s")
            .floor(count as f64 / floor.seconds)
            .goal(Goal::RatioAtLeast(0.4)),
    );
    report.add(
        row("processor, reading back included", each_us(used.cpu.as_secs_f64(), count), "µs/document")
            .floor(each_us(floor.cpu_seconds, count)),
    );
    report.add(row("all of it, reading back included", used.seconds, "s"));
    report.add(row("peak memory", mib(used.peak_kib), "MiB"));
    Ok(())
}
