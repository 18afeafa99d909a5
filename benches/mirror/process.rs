//! Processes that are measured, and that end with their owner.
//!
//! What a process took is what the system counted for it: processor time from `/proc/PID/stat`, which holds it until the ended process is
//! waited for, and peak memory (`VmHWM`), which is gone with its memory and is therefore looked at all the while; it only grows, so
//! the last look counts.
//!
//! A child is started by way of this program, which asks the system to end it when its owner ends and then becomes the program that
//! was meant, in the same process. So nothing is left behind even where the owner is killed.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::time::Instant;

use crate::arguments::TIED;
use crate::{Outcome, time};

/// The product.
const COSMIRROR: &str = env!("CARGO_BIN_EXE_cosmirror");
/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(5);
/// The unit of processor times in `/proc`.
const TICK: Duration = Duration::from_millis(10);

/// A process of the product or of this program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    begun: Instant,
    begun_at: Timestamp,
}

/// What a process took from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Used {
    /// When it was started.
    pub(crate) begun: Timestamp,
    pub(crate) seconds: f64,
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
    /// Its standard output.
    pub(crate) out: String,
}

impl Process {
    /// Starts the product in a folder; its log is the file `log` there.
    pub(crate) fn cosmirror(folder: &Path, arguments: &[&str]) -> Outcome<Self> {
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log"))?;
        Self::start(COSMIRROR, folder, arguments, log.into())
    }

    /// Starts this program in another part.
    pub(crate) fn this(folder: &Path, arguments: &[&str]) -> Outcome<Self> {
        let this = std::env::current_exe()?;
        Self::start(this.to_str().ok_or("the program's path is no text")?, folder, arguments, Stdio::inherit())
    }

    fn start(program: &str, folder: &Path, arguments: &[&str], log: Stdio) -> Outcome<Self> {
        let (begun, begun_at) = (Instant::now(), time::now());
        let child = Command::new(std::env::current_exe()?)
            .args([TIED, &std::process::id().to_string(), program])
            .args(arguments)
            .current_dir(folder)
            // Nothing in the caller's environment is to change a setting or the log.
            .env_clear()
            .envs(std::env::var_os("TMPDIR").map(|folder| ("TMPDIR", folder)))
            // A backtrace for each error that is made and dealt with would be measured too, and no operator has that.
            .env("RUST_LIB_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        Ok(Self { child, begun, begun_at })
    }

    /// Its standard output, once.
    pub(crate) fn output(&mut self) -> Outcome<std::process::ChildStdout> {
        Ok(self.child.stdout.take().ok_or("the output is taken")?)
    }

    /// Processor time so far.
    pub(crate) fn cpu(&self) -> Outcome<Duration> {
        Ok(self.stat()?.1)
    }

    /// The most memory so far.
    pub(crate) fn peak_kib(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        Ok(line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).ok_or("no VmHWM")?)
    }

    /// Waits for its end, which must be a good one.
    pub(crate) async fn ended(mut self) -> Outcome<Used> {
        let reader = self.child.stdout.take().map(|out| tokio::task::spawn_blocking(|| std::io::read_to_string(out)));
        let mut peak_kib = 0;
        let (seconds, cpu) = loop {
            let (state, cpu) = self.stat()?;
            if state == 'Z' {
                break (self.begun.elapsed().as_secs_f64(), cpu);
            }
            // Gone in the moment between the process's end and the next look.
            peak_kib = self.peak_kib().unwrap_or(peak_kib);
            tokio::time::sleep(LOOK).await;
        };
        let status = self.child.wait()?;
        let out = match reader {
            Some(reader) => reader.await??,
            None => String::new(),
        };
        if status.success() {
            Ok(Used { begun: self.begun_at, seconds, cpu, peak_kib, out })
        } else {
            Err(format!("a process ended with {status}: {out}").into())
        }
    }

    /// State and processor time.
    fn stat(&self) -> Outcome<(char, Duration)> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The process's name stands in parentheses and may hold anything; user and system time are fields 14 and 15.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = fields.split_whitespace();
        let state = fields.next().and_then(|state| state.chars().next()).ok_or("no state of a process")?;
        let ticks: u32 = fields.skip(10).take(2).flat_map(str::parse::<u32>).sum();
        Ok((state, TICK * ticks))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time of this process so far.
pub(crate) fn own_cpu() -> Outcome<Duration> {
    let times = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(Duration::try_from(times)?)
}

/// The part of a child: never returns where all is well.
pub(crate) fn become_tied(words: &[String]) -> Outcome<()> {
    let [owner, program, arguments @ ..] = words else { return Err("a child without a program".into()) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The owner may have ended before the system was asked.
    if std::os::unix::process::parent_id().to_string() != *owner {
        return Err("the owner has ended".into());
    }
    Err(Command::new(program).args(arguments).exec().into())
}
