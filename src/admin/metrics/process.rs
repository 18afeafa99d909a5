//! The process as the operating system sees it, under the names that every Prometheus client uses.
//!
//! Read from `/proc` when somebody asks; absent where there is none. Source: proc(5).

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

const CPU_SECONDS: &str = "process_cpu_seconds";
const RESIDENT_MEMORY_BYTES: &str = "process_resident_memory_bytes";
const OPEN_FDS: &str = "process_open_fds";
const MAX_FDS: &str = "process_max_fds";
const START_TIME_SECONDS: &str = "process_start_time_seconds";

/// Ticks in a second of the times in `/proc`: `sysconf(_SC_CLK_TCK)`, which Linux has fixed at 100 for all programs.
const TICKS_PER_SECOND: f64 = 100.0;
/// Fields of `/proc/self/stat` behind the name of the program: the third of the manual is the first here.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const START_TICKS: usize = 19;

/// Shows the process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(seen) = Seen::now() else { return Ok(()) };
        let cpu = ConstCounter::new(seen.cpu_seconds);
        let help = "Processor time the process has used";
        cpu.encode(encoder.encode_descriptor(CPU_SECONDS, help, None, cpu.metric_type())?)?;
        let gauges = [
            (RESIDENT_MEMORY_BYTES, "Memory the process has in use", seen.resident_bytes),
            (OPEN_FDS, "Files and connections the process has open", seen.open_fds),
            (MAX_FDS, "How many of them it may have open", seen.max_fds),
            (START_TIME_SECONDS, "When the process began, in seconds since 1970", seen.start_seconds),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// What `/proc` says.
#[derive(Debug)]
struct Seen {
    cpu_seconds: f64,
    resident_bytes: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
    start_seconds: Option<f64>,
}

impl Seen {
    fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The program's name may hold anything but ends with the last bracket.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let booted = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        // One of them is the listing itself.
        let open = std::fs::read_dir("/proc/self/fd").ok().map(|open| open.count().saturating_sub(1));
        Some(Self {
            cpu_seconds: ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?,
            resident_bytes: number(&status, "VmRSS:", 0).map(|kib| kib * 1024.0),
            open_fds: open.and_then(|open| u32::try_from(open).ok()).map(f64::from),
            max_fds: number(&limits, "Max open files", 0),
            start_seconds: number(&booted, "btime", 0).zip(ticks(START_TICKS)).map(|(booted, after)| booted + after),
        })
    }
}

/// The number at this place of the line that begins so.
fn number(text: &str, line: &str, place: usize) -> Option<f64> {
    let rest = text.lines().find_map(|found| found.strip_prefix(line))?;
    rest.split_whitespace().nth(place)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_seen() {
        let seen = Seen::now().unwrap();
        assert!(seen.cpu_seconds >= 0.0 && seen.resident_bytes.unwrap() > 1024.0 * 1024.0, "{seen:?}");
        assert!((3.0..seen.max_fds.unwrap()).contains(&seen.open_fds.unwrap()), "{seen:?}");
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^52")]
        let now = crate::time::now().as_second() as f64;
        let age = now - seen.start_seconds.unwrap();
        // btime is in whole seconds and moves when the clock is set.
        assert!((-5.0..86_400.0).contains(&age), "{age}");
    }

    #[test]
    fn processor_time_grows_with_work() {
        let before = Seen::now().unwrap().cpu_seconds;
        let mut sum = 0_u64;
        while Seen::now().unwrap().cpu_seconds <= before {
            sum = (0..1_000_000).fold(sum, |sum: u64, n| std::hint::black_box(sum.wrapping_add(n)));
        }
        assert!(std::hint::black_box(sum) > 0);
    }
}
