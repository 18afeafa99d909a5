//! What the figures were taken on.

use std::fmt;
use std::process::Command;

use serde::Serialize;

use crate::{Outcome, time};

/// The machine, the compiler and the code.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    /// How many threads wanted to run, on average over the minute before the first scenario: what else the machine does.
    load: f64,
    rustc: String,
    /// With `-dirty` where files that are tracked were changed.
    pub(crate) commit: String,
    profile: &'static str,
    date: String,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_mib, kernel, load, rustc, commit, profile, date } = self;
        write!(f, "{date}, {commit}, profile {profile}, {rustc}; ")?;
        write!(f, "{cores} cores of {processor}, {memory_mib} MiB, Linux {kernel}, load {load} before it began")
    }
}

/// Looks at all of it, before anything else is done.
pub(crate) fn describe() -> Outcome<Machine> {
    let line = |file: &str, name: &str| -> Outcome<String> {
        let text = std::fs::read_to_string(file)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
        Ok(value.unwrap_or("unknown").trim().to_owned())
    };
    let memory = line("/proc/meminfo", "MemTotal")?;
    let memory_kib: u64 = memory.trim_end_matches(" kB").parse()?;
    let commit = said("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]);
    Ok(Machine {
        processor: line("/proc/cpuinfo", "model name")?,
        cores: std::thread::available_parallelism()?.get(),
        memory_mib: memory_kib >> 10,
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        load: std::fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().parse()?,
        rustc: said("rustc", &["--version"]),
        commit: if changed.is_empty() { commit } else { format!("{commit}-dirty") },
        profile: if cfg!(debug_assertions) { "dev" } else { "bench" },
        date: time::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
}

/// What a program says; a machine without it is described all the same.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.ok().filter(|output| output.status.success());
    let text =
        output.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.trim().to_owned()
}
