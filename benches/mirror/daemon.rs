//! The daemon in a process of its own, and the other commands over the same configuration.
//!
//! All settings are the defaults, but for addresses, a free port for its metrics, a margin of 0 s for replica lag as the emulator wants
//! it, and what a scenario says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::Outcome;
use crate::connection::Connection;
use crate::emulator::{DATABASE, Emulator};
use crate::process::{Process, Used};
use crate::time::eventually;

/// The feed with every version and delete.
pub(crate) const ALL_VERSIONS: &str = "all-versions-and-deletes";
/// The feed with each document's newest version.
pub(crate) const LATEST_VERSION: &str = "latest-version";
/// The container that is followed, where nothing else is said.
pub(crate) const SOURCE: &str = "orders";
/// The container of the mirror.
pub(crate) const MIRROR: &str = "mirror";

/// What differs from run to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings<'a> {
    pub(crate) container: &'a str,
    pub(crate) feed: &'a str,
    /// Lines of the section `source`.
    pub(crate) source: &'a str,
    /// The target's endpoint and container.
    pub(crate) target: (&'a str, &'a str),
}

/// Configures what runs in the emulator's folder from now on.
pub(crate) fn configure(emulator: &Emulator, settings: &Settings<'_>) -> Outcome<()> {
    let Settings { container, feed, source, target: (endpoint, mirror) } = settings;
    let text = format!(
        "[source]\nendpoint = \"http://{}/\"\nauth = \"emulator\"\nstaleness_margin = \"0s\"\n{source}\n\n\
         [[containers]]\ndatabase = \"{DATABASE}\"\ncontainer = \"{container}\"\nfeed = \"{feed}\"\n\n\
         [leases]\ndatabase = \"{DATABASE}\"\n\n\
         [target]\nendpoint = \"{endpoint}\"\nauth = \"emulator\"\ncontainer = \"{mirror}\"\n\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n",
        emulator.cosmos
    );
    Ok(std::fs::write(emulator.folder().join("cosmirror.toml"), text)?)
}

/// The same for the usual containers.
pub(crate) fn configure_usual(emulator: &Emulator, feed: &str, source: &str) -> Outcome<()> {
    let endpoint = emulator.blob_endpoint();
    configure(emulator, &Settings { container: SOURCE, feed, source, target: (&endpoint, MIRROR) })
}

/// Starts a command over the configuration.
pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Outcome<Process> {
    let configured = ["--log-format", "text", "-c", "cosmirror.toml"];
    Process::cosmirror(folder, &[&configured, arguments].concat())
}

/// Runs a command to its end, which must be a good one.
pub(crate) async fn run(emulator: &Emulator, arguments: &[&str]) -> Outcome<Used> {
    let ended = start(emulator.folder(), arguments)?.ended().await;
    ended.map_err(|error| format!("cosmirror {}: {error}{}", arguments.join(" "), last_lines(emulator.folder())).into())
}

/// The same of a command that answers in JSON.
pub(crate) async fn json(emulator: &Emulator, arguments: &[&str]) -> Outcome<(Value, Used)> {
    let used = run(emulator, &[&["-o", "json"], arguments].concat()).await?;
    Ok((serde_json::from_str(&used.out)?, used))
}

/// Why a command failed stands at the end of its log.
pub(crate) fn last_lines(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(3).collect();
    lines.into_iter().rev().fold(String::new(), |all, line| format!("{all}\n{line}"))
}

/// The last instant that can be restored, which is `changed` or later. A second that is not over when a range is read can still change, so
/// what is mirrored at once can be restored a moment later.
pub(crate) async fn restorable_until(emulator: &Emulator, changed: Timestamp) -> Outcome<String> {
    eventually("what was changed can be restored", async || {
        let (status, _) = json(emulator, &["status"]).await?;
        // There is none while the first second that can be restored is not over.
        if let Some(until) = status["containers"][0]["restorable_until"].as_str()
            && until.parse::<Timestamp>()?.as_second() >= changed.as_second()
        {
            return Ok(Some(until.to_owned()));
        }
        run(emulator, &["run", "--once"]).await.map(|_| None)
    })
    .await
}

/// A daemon that goes on. Ends with its owner.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    admin: SocketAddr,
}

impl Daemon {
    /// Starts it and waits until everything that was there before is mirrored.
    pub(crate) async fn start(emulator: &Emulator) -> Outcome<Self> {
        let log = emulator.folder().join("log");
        // Commands before it have logged there too.
        let earlier = std::fs::read_to_string(&log)?.len();
        let process = start(emulator.folder(), &["run"])?;
        let admin = eventually("the daemon serves its metrics", async || {
            let log = std::fs::read_to_string(&log)?;
            let line = log[earlier..].lines().rfind(|line| line.contains("health and metrics are served"));
            Ok(line.and_then(|line| line.split_once("address=")?.1.trim().parse().ok()))
        });
        let daemon = Self { admin: admin.await?, process };
        eventually("what existed before is mirrored", async || {
            Ok((daemon.metric("restorable_from_timestamp_seconds").await? > 0.0).then_some(()))
        })
        .await?;
        Ok(daemon)
    }

    /// The sum of a metric over its labels.
    pub(crate) async fn metric(&self, name: &str) -> Outcome<f64> {
        let body = Connection::open(self.admin).await?.get("/metrics").await?;
        let text = std::str::from_utf8(&body)?;
        let metric = |line: &str| {
            let (name, value) = line.strip_prefix("cosmirror_")?.rsplit_once(' ')?;
            let name = name.split('{').next().unwrap_or(name);
            Some((name.to_owned(), value.parse::<f64>().ok()?))
        };
        let mut sums = BTreeMap::<String, f64>::new();
        for (name, value) in text.lines().filter_map(metric) {
            *sums.entry(name).or_default() += value;
        }
        Ok(*sums.get(name).ok_or_else(|| format!("there is no metric {name}"))?)
    }
}
