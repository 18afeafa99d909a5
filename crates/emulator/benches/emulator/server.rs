//! Child processes: the emulator and the floor, each with an address on loopback, memory and processor time.
//!
//! A child writes its addresses in one line and ends when its standard input does, so that none outlives the
//! benchmark, however that ends.

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cosmirror_emulator::{Emulator, Options};
use tokio_util::sync::CancellationToken;

use crate::arguments::{SERVE_EMULATOR, SERVE_FLOOR};
use crate::floor;

/// The kernel counts processor time in this unit, on every architecture of today.
const TICK: Duration = Duration::from_millis(10);

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A child process that serves.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts an emulator.
    pub(crate) fn emulator() -> Result<Self> {
        Self::start(SERVE_EMULATOR, 2)
    }

    /// Starts a floor server.
    pub(crate) fn floor() -> Result<Self> {
        Self::start(SERVE_FLOOR, 1)
    }

    fn start(part: &str, addresses: usize) -> Result<Self> {
        let mut process =
            Command::new(std::env::current_exe()?).arg(part).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let server = Self { process, addresses: line.split_whitespace().flat_map(str::parse).collect() };
        if server.addresses.len() != addresses {
            return Err(Error::other(format!("the process {part} did not start")));
        }
        Ok(server)
    }

    /// The floor's address, or that of the document service.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The address of the blob service.
    pub(crate) fn blob_address(&self) -> SocketAddr {
        self.addresses[1]
    }

    /// Resident memory now and at its highest, in bytes.
    pub(crate) fn memory_bytes(&self) -> Result<(u64, u64)> {
        let status = self.proc_file("status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| Error::other(format!("{name} is not known")))
        };
        Ok((field("VmRSS")?, field("VmHWM")?))
    }

    /// Processor time spent so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.proc_file("stat")?;
        // The process's name stands in parentheses and may hold anything; user and system time are fields 14 and 15.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u32 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u32>).sum();
        Ok(TICK * ticks)
    }

    fn proc_file(&self, name: &str) -> Result<String> {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.process.id()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The part of a child process that is the emulator.
pub(crate) fn serve_emulator() -> Result<()> {
    runtime()?.block_on(async {
        let emulator = Emulator::bind(Options { cosmos: LOOPBACK, blob: LOOPBACK }).await.map_err(Error::other)?;
        announce(&format!("{} {}", emulator.cosmos_addr(), emulator.blob_addr()))?;
        emulator.serve(until_input_ends()).await.map_err(Error::other)
    })
}

/// The part of a child process that is the floor.
pub(crate) fn serve_floor() -> Result<()> {
    runtime()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(LOOPBACK).await?;
        announce(&listener.local_addr()?.to_string())?;
        floor::serve(listener, until_input_ends()).await
    })
}

/// A runtime like the product's.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn announce(addresses: &str) -> Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{addresses}")?;
    output.flush()
}

fn until_input_ends() -> CancellationToken {
    let stop = CancellationToken::new();
    let ended = stop.clone();
    std::thread::spawn(move || {
        // Whatever ends the input, an error too, ends the process.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ended.cancel();
    });
    stop
}
