//! The target refuses everything for a while, and changes go on: how much memory the daemon takes, and that nothing is lost.

use cosmirror::config::Limits;
use serde_json::json;

use crate::catch_up::mib;
use crate::daemon::{ALL_VERSIONS, Daemon, SOURCE, configure_usual};
use crate::emulator::Emulator;
use crate::load::Load;
use crate::report::{Goal, Report, Row};
use crate::sizes::{RANGES, SMALL_BYTES};
use crate::steady::until_mirrored;
use crate::time::{self, eventually};
use crate::{Bench, Outcome};

/// What a daemon may take besides its budget, in MiB.
const BESIDES_MAX: f64 = 32.0;

/// Runs the scenario.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let (documents, lasts) = (bench.sizes.known, bench.sizes.outage);
    let per_second = bench.sizes.rates[1];
    let emulator = Emulator::start()?;
    emulator.seed(SOURCE, documents, SMALL_BYTES, RANGES).await?;
    configure_usual(&emulator, ALL_VERSIONS, "")?;
    let daemon = Daemon::start(&emulator).await?;
    emulator.fault(json!({ "service": "blob", "status": 503 })).await?;
    let refused = emulator.counted().await?;
    let sent = Load { per_second, lasts, documents }.run(&emulator, &bench.keys).await?;
    // After a pause the daemon may read the first change late; it is no outage before something was refused.
    let refusals = eventually("the target refuses", async || {
        let refusals = emulator.counted().await?.of("blob") - refused.of("blob");
        Ok((refusals > 0).then_some(refusals))
    });
    let refusals = refusals.await?;
    emulator.no_faults().await?;
    let up = time::now();
    let versions = documents + sent.changes.len() as u64;
    let found = until_mirrored(bench, &emulator, versions).await?;
    let seconds = found.last.duration_since(up).as_secs_f64();
    report.check(found.is(versions, documents), || {
        format!("outage: instead of {versions} versions of {documents} documents there are {found:?}")
    });
    let what = format!("{} s at {:.0}/s", lasts.as_secs(), sent.per_second);
    let peak = mib(daemon.process.peak_kib()?);
    let row = |figure: &str, value, unit| Row::new("outage", format!("{what}, {figure}"), value, unit);
    let budget = Limits::default().bytes_in_flight_max as f64 / 1_048_576.0;
    report.add(row("peak memory", peak, "MiB").goal(Goal::AtMost(budget + BESIDES_MAX)));
    report.add(row("requests while it lasted", refusals as f64 / lasts.as_secs_f64(), "/s"));
    report.add(row("until everything was mirrored", seconds, "s"));
    Ok(())
}
