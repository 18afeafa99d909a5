//! One emulator, one configuration, and the processes that work with them.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use cosmirror_formats::version::sha256_hex;

use super::cosmos::{DATABASE, Source};
use super::emulator::{Change, Emulator};
use super::keys::Key;
use super::mirror::{self, CONTAINER, Mirror};
use super::{LIMIT, eventually};

/// The feed with every version and delete.
pub(super) const ALL_VERSIONS: &str = "all-versions-and-deletes";
/// The feed with each document's newest version.
pub(super) const LATEST_VERSION: &str = "latest-version";

/// The signal of a process that aborts.
const ABORTED: i32 = 6;

/// Where the mirror is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Blobs,
    /// Blobs of an account that keeps no versions.
    Snapshots,
    Directory,
}

/// See the module.
pub(super) struct World {
    pub(super) emulator: Emulator,
    environment: Vec<(String, String)>,
    target: Target,
    folder: TempDir,
    /// What opens the mirror's content.
    keys: Vec<Key>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Finished {
    /// The exit code; none after a signal.
    pub(super) code: Option<i32>,
    pub(super) out: Vec<u8>,
    pub(super) err: String,
}

impl World {
    /// An emulator and a configuration of these containers with their feeds. Intervals are short; nothing is created.
    pub(super) async fn new(containers: &[(&str, &str)], target: Target) -> Self {
        let emulator = Emulator::start().await;
        if target == Target::Snapshots {
            let without = serde_json::json!({ "versioning": false, "hierarchicalNamespace": true });
            emulator.control("storage", &without).await;
        }
        Self::around(emulator, containers, target)
    }

    /// The same around an emulator that runs.
    pub(super) fn around(emulator: Emulator, containers: &[(&str, &str)], target: Target) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut text = format!(
            "[source]\nendpoint = \"http://{}/\"\nauth = \"emulator\"\npoll_interval = \"10ms\"\n\
             poll_interval_idle_max = \"100ms\"\nstaleness_margin = \"0s\"\n\n\
             [leases]\ndatabase = {DATABASE:?}\nexpiration = \"6s\"\nrenew_interval = \"1s\"\nacquire_interval = \"1s\"\n\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\n[target]\n",
            emulator.cosmos
        );
        let blobs =
            format!("endpoint = {:?}\nauth = \"emulator\"\ncontainer = {CONTAINER:?}\n", emulator.blob_endpoint());
        let target_lines = match target {
            Target::Blobs => blobs,
            Target::Snapshots => format!("{blobs}history = \"snapshots\"\n"),
            Target::Directory => format!("kind = \"directory\"\npath = {:?}\n", folder.path().join("mirror")),
        };
        text.push_str(&target_lines);
        for (container, feed) in containers {
            write!(text, "\n[[containers]]\ndatabase = {DATABASE:?}\ncontainer = {container:?}\nfeed = {feed:?}\n")
                .unwrap();
        }
        std::fs::write(folder.path().join("cosmirror.toml"), text).unwrap();
        Self { emulator, environment: Vec::new(), target, folder, keys: Vec::new() }
    }

    /// Changes a setting, such as `TARGET__AUTH`, for every command from now on.
    pub(super) fn set(&mut self, setting: &str, value: &str) {
        self.variable(&format!("COSMIRROR__{setting}"), value);
    }

    /// Sets a variable for every command from now on.
    pub(super) fn variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The same, encrypted to a key that every command has.
    pub(super) async fn encrypted(containers: &[(&str, &str)], target: Target) -> Self {
        let mut world = Self::new(containers, target).await;
        let key = world.make_key("key");
        world.set("TARGET__RECIPIENTS__0", &key.public);
        world.variable("COSMIRROR_IDENTITY", &key.file);
        world
    }

    /// A new key, whose file lies in the folder; the mirror is read with it.
    pub(super) fn make_key(&mut self, name: &str) -> Key {
        let key = Key::new(&self.folder().join(name));
        self.keys.push(key.clone());
        key
    }

    /// What a variable holds for every command.
    pub(super) fn variable_of(&self, name: &str) -> String {
        self.environment.iter().rfind(|(variable, _)| variable == name).unwrap().1.clone()
    }

    /// Whether a variable is set for every command.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.environment.iter().any(|(variable, _)| variable == name)
    }

    /// Takes every variable that begins so from every command.
    pub(super) fn unset(&mut self, begin: &str) {
        self.environment.retain(|(variable, _)| !variable.starts_with(begin));
    }

    /// The folder of the test's files.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A container of the source.
    pub(super) fn source<'a>(&'a self, container: &'a str) -> Source<'a> {
        Source { emulator: &self.emulator, container }
    }

    /// The history of a container that exists.
    pub(super) async fn history(&self, container: &str) -> Vec<Change> {
        self.emulator.history(DATABASE, container).await.unwrap()
    }

    /// All that the target holds, opened where it is encrypted.
    pub(super) async fn mirror(&self) -> Mirror {
        let mut mirror = self.closed_mirror().await;
        for stored in mirror.values_mut().flatten().filter(|stored| stored.field("encryption").is_some()) {
            assert_eq!((stored.field("format"), stored.field("sha256")), (Some("2"), Some(&*sha256_hex(&stored.body))));
            let opened = self.keys.iter().find_map(|key| key.open(&stored.body));
            stored.body = opened.expect("one of the world's keys opens it");
        }
        mirror
    }

    /// All that the target holds, as it is stored.
    pub(super) async fn closed_mirror(&self) -> Mirror {
        match self.target {
            Target::Blobs => mirror::of_blobs(&self.emulator).await,
            Target::Snapshots => mirror::of_snapshots(&self.emulator).await,
            Target::Directory => mirror::of_directory(&self.folder().join("mirror")),
        }
    }

    /// The last instant that every range of a container answers for, as the mirror's own records say.
    pub(super) async fn complete_until(&self, container: &str) -> String {
        let mirror = self.mirror().await;
        let prefix = format!("{DATABASE}/{container}/_mirror/ranges/");
        let states = mirror.iter().filter(|(path, _)| path.starts_with(&prefix));
        let watermark = |versions: &Vec<mirror::Stored>| {
            let state: serde_json::Value = serde_json::from_slice(&versions.last().unwrap().body).unwrap();
            // What others took over from does not go on.
            state["superseded_by"].as_array().is_none_or(Vec::is_empty).then(|| state["watermark"].as_i64().unwrap())
        };
        let seconds = states.filter_map(|(_, versions)| watermark(versions)).min().unwrap();
        jiff::Timestamp::from_second(seconds).unwrap().to_string()
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, arguments: &[&str]) -> Finished {
        let output = tokio::time::timeout(LIMIT, self.command(arguments).output()).await;
        let output = output.unwrap_or_else(|_| panic!("{arguments:?}: not within {LIMIT:?}")).unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        Finished { code: output.status.code(), out: output.stdout, err }
    }

    /// Runs a command that must succeed, and gives its output.
    pub(super) async fn succeed(&self, arguments: &[&str]) -> Vec<u8> {
        let finished = self.run(arguments).await;
        assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.err);
        finished.out
    }

    /// Runs a command that must succeed, and gives its output as JSON.
    pub(super) async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_slice(&self.succeed(&[&["-o", "json"], arguments].concat()).await).unwrap()
    }

    /// Mirrors everything there is by now.
    pub(super) async fn catch_up(&self) {
        self.succeed(&["run", "--once"]).await;
    }

    /// Starts a command that goes on; its log is a file.
    pub(super) fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(None, arguments)
    }

    fn start_with(&self, crash_point: Option<&str>, arguments: &[&str]) -> Running {
        let log = self.folder().join("log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = self.command(arguments);
        command.envs(crash_point.map(|point| ("COSMIRROR_CRASH_AT", point)));
        let process = command.stderr(Stdio::from(file)).stdout(Stdio::piped()).spawn().unwrap();
        Running { process, log }
    }

    /// Starts a command that dies at a crash point: `name`, or `name:3` for the third time.
    pub(super) fn start_to_die(&self, point: &str, arguments: &[&str]) -> Running {
        self.start_with(Some(point), arguments)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = cosmirror();
        command.envs(self.environment.iter().cloned());
        // What a command writes beside itself stays here.
        command.current_dir(self.folder());
        // Tests read a daemon's log as people do, unless they say otherwise.
        if !arguments.contains(&"--log-format") {
            command.args(["--log-format", "text"]);
        }
        command.arg("-c").arg(self.folder().join("cosmirror.toml")).args(arguments);
        command
    }
}

/// The binary, with nothing of this process's environment; ends with its owner.
pub(super) fn cosmirror() -> Command {
    let mut command = Command::new(crate::program());
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A process that goes on; ends with its owner.
pub(super) struct Running {
    pub(super) process: Child,
    log: PathBuf,
}

impl Running {
    /// Ends it at once, as a crash does.
    pub(super) async fn kill(mut self) {
        let ended = self.process.try_wait().unwrap();
        assert!(ended.is_none(), "it ended by itself with {ended:?}: {}", self.log());
        self.process.kill().await.unwrap();
    }

    /// Ends it at once, unless it has died at its crash point before.
    pub(super) async fn end(mut self) {
        if !self.has_died() {
            self.process.kill().await.unwrap();
        }
    }

    /// Whether it has died at its crash point. It must not have ended in another way.
    pub(super) fn has_died(&mut self) -> bool {
        let ended = self.process.try_wait().unwrap();
        assert!(ended.is_none_or(|ended| ended.signal() == Some(ABORTED)), "it ended with {ended:?}: {}", self.log());
        ended.is_some()
    }

    /// Asks it to end, and gives its exit code.
    pub(super) async fn terminate(self) -> Option<i32> {
        self.signal("TERM").await;
        self.ended().await
    }

    /// Sends it a signal.
    pub(super) async fn signal(&self, name: &str) {
        let id = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }

    /// Waits for its end and gives its exit code.
    pub(super) async fn ended(mut self) -> Option<i32> {
        let ended = tokio::time::timeout(LIMIT, self.process.wait()).await;
        let code = ended.unwrap_or_else(|_| panic!("it goes on: {}", self.log())).unwrap().code();
        if code != Some(0) {
            // Shown where the test fails.
            eprintln!("it ended with {code:?}: {}", self.log());
        }
        code
    }

    /// Waits until it has died at its crash point.
    pub(super) async fn died(mut self) {
        let ended = tokio::time::timeout(LIMIT, self.process.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("it goes on: {}", self.log())).unwrap();
        assert_eq!(ended.signal(), Some(ABORTED), "it ended with {ended:?}: {}", self.log());
    }

    /// The most memory that it has had so far, in KiB.
    pub(super) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// What it logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl World {
    /// Waits until so many more requests of one kind were answered well.
    pub(super) async fn more_requests(&self, service: &str, operation: &str, count: u64) {
        let before = self.emulator.requests(service, operation, "*").await;
        eventually(&format!("{count} more {operation} requests"), async || {
            (self.emulator.requests(service, operation, "*").await >= before + count).then_some(())
        })
        .await;
    }
}
