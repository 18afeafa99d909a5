//! What a daemon costs while nothing happens: from the moment at which it has caught up, so that its pauses still grow.

use tokio::time::Instant;

use crate::daemon::{ALL_VERSIONS, Daemon, SOURCE, configure_usual};
use crate::emulator::Emulator;
use crate::report::{Goal, Report, Row};
use crate::sizes::{RANGES, SMALL_BYTES};
use crate::{Bench, Outcome};

/// Part of a core, at most, in percent.
const CORE_MAX: f64 = 0.5;

/// Runs the scenario.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let emulator = Emulator::start()?;
    emulator.seed(SOURCE, bench.sizes.known, SMALL_BYTES, RANGES).await?;
    configure_usual(&emulator, ALL_VERSIONS, "")?;
    let daemon = Daemon::start(&emulator).await?;
    let request_units = daemon.metric("request_units_total").await?;
    let (before, cpu, begun) = (emulator.counted().await?, daemon.process.cpu()?, Instant::now());
    // Nothing is waited for: the time itself is what is measured.
    tokio::time::sleep(bench.sizes.idle).await;
    let (cpu, after) = (daemon.process.cpu()?.saturating_sub(cpu), emulator.counted().await?);
    let seconds = begun.elapsed().as_secs_f64();
    let request_units = daemon.metric("request_units_total").await? - request_units;
    let requests = |service| (after.of(service) - before.of(service)) as f64 / seconds;
    let row = |figure: &str, value, unit| Row::new("idle", format!("{RANGES} ranges, {figure}"), value, unit);
    let core = cpu.as_secs_f64() / seconds * 100.0;
    report.add(row("processor", core, "% of a core").goal(Goal::AtMost(CORE_MAX)));
    report.add(row("requests to the source", requests("cosmos"), "/s"));
    report.add(row("requests to the target", requests("blob"), "/s"));
    report.add(row("request units", request_units / seconds, "/s"));
    report.check(requests("cosmos") > 0.0, || "idle: the daemon did not ask the source".to_owned());
    Ok(())
}
