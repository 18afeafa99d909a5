//! Whether what a change costs, and the memory, stay the same with more documents and with more ranges.

use crate::catch_up::{CaughtUp, Documents, each_us, mib, mirror};
use crate::emulator::Emulator;
use crate::report::{Goal, Report, Row};
use crate::sizes::{RANGES, SMALL_BYTES};
use crate::{Bench, Outcome};

/// What the catch-up with most documents may take, in MiB.
const PEAK_MAX: f64 = 96.0;

/// Runs the scenario.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let [few, some, many] = bench.sizes.scale;
    let by_documents = [few, some, many].map(|count| (count, RANGES));
    let by_ranges = bench.sizes.ranges.map(|ranges| (some, ranges));
    for (count, ranges) in by_documents.into_iter().chain(by_ranges) {
        let emulator = Emulator::start()?;
        let CaughtUp { seconds, used } =
            mirror(bench, report, &emulator, Documents { count, bytes: SMALL_BYTES, ranges }).await?;
        let what = format!("{count} documents, {ranges} ranges");
        let goal = (count == many).then_some(Goal::AtMost(PEAK_MAX));
        let cpu = each_us(used.cpu.as_secs_f64(), count);
        report.add(Row::new("scale", format!("{what}, rate"), count as f64 / seconds, "changes/s"));
        report.add(Row::new("scale", format!("{what}, processor"), cpu, "µs/change"));
        report.add(Row::new("scale", format!("{what}, peak memory"), mib(used.peak_kib), "MiB").goal(goal));
    }
    Ok(())
}
