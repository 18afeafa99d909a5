//! Changes as they come: how long each takes to be durable, and what it costs.
//!
//! A change's time is taken just before it is sent, and it is durable at the time that its version's id tells, which the service gave it
//! when it took the put. Both are the same machine's clock.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::json;

use crate::catch_up::each_us;
use crate::daemon::{ALL_VERSIONS, Daemon, MIRROR, SOURCE, configure_usual};
use crate::emulator::{Counted, Emulator};
use crate::load::{Load, Sent};
use crate::mirrored::{self, Found};
use crate::report::{Goal, Report, Row};
use crate::sizes::{POLLED_OFTEN, RANGES, SMALL_BYTES};
use crate::time::eventually;
use crate::{Bench, Outcome};

/// The least part of the asked rate that counts as kept.
const KEPT: f64 = 0.99;
/// Requests to the target per change, at most.
const REQUESTS_MAX: f64 = 1.01;
/// What the target is slowed down by.
const SLOW_MS: u64 = 20;

/// Settings of the source, an added delay and what the latency of the lower rate is held to, in milliseconds.
struct Variant {
    name: String,
    source: &'static str,
    delay_ms: u64,
    p99_max: Option<f64>,
}

/// Runs the scenario.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Outcome<()> {
    let variants = [
        Variant { name: "defaults".to_owned(), source: "", delay_ms: 0, p99_max: Some(1_500.0) },
        Variant { name: "polled every 10 ms".to_owned(), source: POLLED_OFTEN, delay_ms: 0, p99_max: Some(100.0) },
        Variant {
            name: format!("polled every 10 ms, puts {SLOW_MS} ms slower"),
            source: POLLED_OFTEN,
            delay_ms: SLOW_MS,
            p99_max: None,
        },
    ];
    for variant in &variants {
        let emulator = Emulator::start()?;
        let mut mirrored = bench.sizes.known;
        emulator.seed(SOURCE, mirrored, SMALL_BYTES, RANGES).await?;
        configure_usual(&emulator, ALL_VERSIONS, variant.source)?;
        let daemon = Daemon::start(&emulator).await?;
        if variant.delay_ms > 0 {
            let rule =
                json!({ "service": "blob", "operation": "put", "delayMs": variant.delay_ms, "probability": 1.0 });
            emulator.fault(rule).await?;
        }
        for (place, per_second) in bench.sizes.rates.into_iter().enumerate() {
            let goal = variant.p99_max.filter(|_| place == 0).map(Goal::AtMost);
            mirrored = at_rate(bench, report, (&emulator, &daemon), (variant, per_second, goal), mirrored).await?;
        }
    }
    Ok(())
}

/// Measures one rate; gives the number of versions there are then.
async fn at_rate(
    bench: &Bench,
    report: &mut Report,
    (emulator, daemon): (&Emulator, &Daemon),
    (variant, per_second, goal): (&Variant, u32, Option<Goal>),
    before: u64,
) -> Outcome<u64> {
    let (cpu, counted) = (daemon.process.cpu()?, emulator.counted().await?);
    let lasts = bench.sizes.warm_up + bench.sizes.steady;
    let sent = Load { per_second, lasts, documents: bench.sizes.known }.run(emulator, &bench.keys).await?;
    let count = sent.changes.len() as u64;
    let requests = until_put(emulator, counted.puts() + count).await?.of("blob") - counted.of("blob");
    let cpu = daemon.process.cpu()?.saturating_sub(cpu);
    until_mirrored(bench, emulator, before + count).await?;
    let (found, latencies) = latencies(bench, emulator, &sent).await?;
    let what = format!("{per_second}/s, {}", variant.name);
    report.check(found == count, || format!("steady, {what}: of {count} changes {found} were mirrored"));
    let kept = sent.per_second >= KEPT * f64::from(per_second);
    let achieved = if kept { String::new() } else { format!(", of which {:.0}/s were achieved", sent.per_second) };
    let row = |figure: &str, value, unit| Row::new("steady", format!("{what}{achieved}, {figure}"), value, unit);
    report.add(row("commit to durable, median", percentile(&latencies, 0.5), "ms"));
    report.add(row("commit to durable, 99 %", percentile(&latencies, 0.99), "ms").goal(goal));
    report.add(row("processor", each_us(cpu.as_secs_f64(), count), "µs/change"));
    let per_change = requests as f64 / count as f64;
    report.add(row("requests to the target", per_change, "/change").goal(Goal::AtMost(REQUESTS_MAX)));
    Ok(before + count)
}

/// Waits until so many puts were answered well, and gives what was answered by then. Records of the mirror's own are among them, so
/// this may come a few documents early; it asks the daemon nothing.
async fn until_put(emulator: &Emulator, puts: u64) -> Outcome<Counted> {
    eventually("what was changed is put", async || {
        let counted = emulator.counted().await?;
        Ok((counted.puts() >= puts).then_some(counted))
    })
    .await
}

/// Waits until the mirror holds so many versions of documents, and gives what it holds then.
pub(crate) async fn until_mirrored(bench: &Bench, emulator: &Emulator, versions: u64) -> Outcome<Found> {
    eventually("what was changed is mirrored", async || {
        let found = mirrored::count_mirror(emulator.blob, &bench.keys).await?;
        Ok((found.versions >= versions).then_some(found))
    })
    .await
}

/// How many of the changes are mirrored, and how long it took, in order and in milliseconds, those that came after the warm-up.
async fn latencies(bench: &Bench, emulator: &Emulator, sent: &Sent) -> Outcome<(u64, Vec<f64>)> {
    let mut times: HashMap<&str, Timestamp> = sent.changes.iter().map(|(etag, at)| (etag.as_str(), *at)).collect();
    let first = times.values().min().copied().unwrap_or_default();
    let counts_from = first.checked_add(bench.sizes.warm_up)?;
    let (mut found, mut latencies) = (0, Vec::with_capacity(times.len()));
    mirrored::each(emulator.blob, &bench.keys, MIRROR, |version| {
        // What is stored twice counts once.
        let Some(at) = times.remove(version.etag.as_str()) else { return };
        found += 1;
        if at >= counts_from {
            latencies.push(version.stored.duration_since(at).as_secs_f64() * 1e3);
        }
    })
    .await?;
    latencies.sort_unstable_by(f64::total_cmp);
    Ok((found, latencies))
}

/// The value below which that part of the values lies.
fn percentile(ordered: &[f64], part: f64) -> f64 {
    let at = (ordered.len() as f64 * part) as usize;
    ordered.get(at).or(ordered.last()).copied().unwrap_or(f64::NAN)
}
