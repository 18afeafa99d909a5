//! Settings as data: what a run follows, where to, and how it is watched.
//!
//! Every setting comes from the file, overridden by the environment, overridden by a flag; `config/load.rs` does that and
//! reports every unknown key. `config/validate.rs` reports every fault with its field. Defaults are the values of
//! `config/cosmirror.toml`, which a test holds to this code.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod account;
mod duration;
mod load;
mod mirror_url;
mod secret;
mod share;
mod size;
mod sources;
mod suggest;
mod targets;
mod validate;

pub use account::{account_host, same_account};
pub use duration::{format_duration, parse_duration};
pub use load::{ConfigError, Loaded, load, load_from, load_mirror, load_mirror_from, settings};
pub use mirror_url::MirrorUrl;
pub use secret::resolve_secret;
pub use share::{format_share, parse_share};
pub use size::{format_size, parse_size};
pub use sources::{Fault, Origin, Override};
pub use targets::{FIRST_TARGET, FurtherTarget, UnknownTarget};

/// Everything a process is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The Cosmos account.
    pub source: Source,
    /// The containers to follow.
    pub containers: Vec<Container>,
    /// Who follows what.
    pub leases: Leases,
    /// Where versions go.
    pub target: Target,
    /// Where they go besides.
    pub targets: Vec<FurtherTarget>,
    /// How much of everything at a time.
    pub limits: Limits,
    /// Comparison with the source, for what the feed does not show.
    pub reconcile: Reconcile,
    /// Restores that are made to see that they can be.
    pub rehearsal: Rehearsal,
    /// Health, metrics and the page.
    pub admin: Admin,
}

/// The Cosmos account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// The account's endpoint.
    pub endpoint: String,
    /// How to prove who we are.
    pub auth: SourceAuth,
    /// Name of the environment variable that holds the key.
    pub key_env: String,
    /// File that holds the key; wins over `key_env`.
    pub key_file: Option<PathBuf>,
    /// Budget for reading; 0 is none.
    pub request_units_per_second_max: u32,
    /// Pause between polls after activity.
    #[serde(with = "duration")]
    pub poll_interval: Duration,
    /// Pause between polls when nothing has changed for long.
    #[serde(with = "duration")]
    pub poll_interval_idle_max: Duration,
    /// Replica lag allowed for in watermarks.
    #[serde(with = "duration")]
    pub staleness_margin: Duration,
    /// How far the feed of all versions goes back: the account's period of continuous backup.
    #[serde(with = "duration")]
    pub feed_retention: Duration,
}

/// How to prove who we are to Cosmos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the settings' values")]
pub enum SourceAuth {
    Emulator,
    Key,
    ManagedIdentity,
    WorkloadIdentity,
    Developer,
}

/// One container to follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// The database's name.
    pub database: String,
    /// The container's name.
    pub container: String,
    /// Which feed.
    #[serde(default)]
    pub feed: FeedMode,
    /// `beginning`, `now`, or an RFC 3339 instant (latest version only).
    #[serde(default)]
    pub start: Start,
    /// Of a document with more versions than this in a minute, only the last one of a page is kept; 0 is no limit.
    #[serde(default)]
    pub versions_per_minute_max: u32,
}

/// The two modes of the change feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedMode {
    /// Every version and every delete.
    #[default]
    AllVersionsAndDeletes,
    /// The newest version at the time of reading; no deletes.
    LatestVersion,
}

impl FeedMode {
    /// The mode that a word stands for.
    pub fn of(word: &str) -> Option<Self> {
        [Self::AllVersionsAndDeletes, Self::LatestVersion].into_iter().find(|mode| mode.as_str() == word)
    }

    /// The setting's word, which is also the one in the mirror's records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllVersionsAndDeletes => "all-versions-and-deletes",
            Self::LatestVersion => "latest-version",
        }
    }
}

/// Where following begins when there is no lease yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Start {
    /// With everything that exists.
    #[default]
    Beginning,
    /// With the next change.
    Now,
    /// At an instant.
    Instant(jiff::Timestamp),
}

impl TryFrom<String> for Start {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "beginning" => Ok(Self::Beginning),
            "now" => Ok(Self::Now),
            other => other.parse().map(Self::Instant).map_err(|_| {
                format!("{other:?} is neither \"beginning\" nor \"now\" nor an RFC 3339 instant such as \"2026-01-31T08:00:00Z\"")
            }),
        }
    }
}

impl From<Start> for String {
    fn from(start: Start) -> Self {
        match start {
            Start::Beginning => "beginning".to_owned(),
            Start::Now => "now".to_owned(),
            Start::Instant(at) => at.to_string(),
        }
    }
}

/// The container that holds the leases, and their timing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Leases {
    /// Its database's name.
    pub database: String,
    /// Its name.
    pub container: String,
    /// The name under which replicas share the work.
    pub processor: String,
    /// Create the container where it is missing.
    pub create: bool,
    /// How often to look for leases to take.
    #[serde(with = "duration")]
    pub acquire_interval: Duration,
    /// How often to renew a lease that is owned.
    #[serde(with = "duration")]
    pub renew_interval: Duration,
    /// Age at which a lease that was not renewed is free.
    #[serde(with = "duration")]
    pub expiration: Duration,
}

/// Where versions go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Which kind of store.
    pub kind: TargetKind,
    /// Directory: its path.
    pub path: Option<PathBuf>,
    /// Azure: the blob service's endpoint.
    pub endpoint: String,
    /// Azure: the container.
    pub container: String,
    /// What every name begins with.
    pub prefix: String,
    /// Azure: how to prove who we are.
    pub auth: TargetAuth,
    /// Azure, shared key: the account's name; left out, it is taken from the endpoint.
    pub account: Option<String>,
    /// Azure, shared key: name of the environment variable that holds the key.
    pub key_env: String,
    /// Azure, shared key: file that holds the key; wins over `key_env`.
    pub key_file: Option<PathBuf>,
    /// Azure, SAS: name of the environment variable that holds the token.
    pub sas_env: String,
    /// Azure, SAS: file that holds the token; wins over `sas_env`.
    pub sas_file: Option<PathBuf>,
    /// What keeps history.
    pub history: History,
    /// Azure: for how long a version cannot be deleted; zero is not at all.
    #[serde(with = "duration")]
    pub immutable_for: Duration,
    /// Azure: whether that time can be taken back.
    pub immutability_mode: ImmutabilityMode,
    /// Azure: whether no version can be deleted until somebody lifts that.
    pub legal_hold: bool,
    /// Azure: what versions are encrypted with; empty is what the container says.
    pub encryption_scope: String,
    /// Azure: whether each document's newest version is tagged.
    pub tags: bool,
    /// The feeds of the containers that are followed, by what their names in the target begin with. Not a setting: tags tell them.
    #[serde(skip)]
    pub feeds: BTreeMap<String, FeedMode>,
    /// Public keys of age to which content is encrypted; none: it is stored as it comes.
    pub recipients: Vec<String>,
    /// Create the container where it is missing.
    pub create: bool,
}

/// Which kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the settings' values")]
pub enum TargetKind {
    Azure,
    Directory,
}

/// How to prove who we are to Azure Storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the settings' values")]
pub enum TargetAuth {
    Emulator,
    SharedKey,
    Sas,
    ManagedIdentity,
    WorkloadIdentity,
    Developer,
}

/// What keeps history on Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum History {
    /// Blob versions.
    Versions,
    /// Snapshots, for accounts without versions.
    Snapshots,
}

/// Whether the time for which versions cannot be deleted can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImmutabilityMode {
    /// By whoever may change policies.
    Unlocked,
    /// By nobody; it can only be extended.
    Locked,
}

/// How much of everything at a time, over all containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of changes that are read and not stored yet.
    #[serde(with = "size")]
    pub bytes_in_flight_max: u64,
    /// Requests to the target that wait for their answers.
    pub requests_in_flight_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_in_flight_max: 32 * 1024 * 1024, requests_in_flight_max: 64 }
    }
}

/// Comparison with the source, for what the feed does not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconcile {
    /// How often a latest-version container is reconciled; zero is never.
    #[serde(with = "duration")]
    pub interval: Duration,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self { interval: Duration::from_hours(24) }
    }
}

/// Restores into a scratch container, made now and then to see that they can be, and how long they take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rehearsal {
    /// How often; zero is never.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// The scratch container as `DATABASE/CONTAINER`, in which `{database}` and `{container}` stand for the mirrored one's names.
    pub into: String,
    /// How many documents of each million.
    #[serde(with = "share")]
    pub sample: u32,
    /// Remove what was written.
    pub clean: bool,
}

impl Default for Rehearsal {
    fn default() -> Self {
        Self { interval: Duration::ZERO, into: String::new(), sample: 10_000, clean: true }
    }
}

impl Rehearsal {
    /// The scratch container of a mirrored one; empty names where none is named.
    pub fn scratch(&self, database: &str, container: &str) -> (String, String) {
        let named = |text: &str| text.replace("{database}", database).replace("{container}", container);
        let (into_database, into) = self.into.split_once('/').unwrap_or_default();
        (named(into_database), named(into))
    }
}

/// Health, metrics, the page, and what it may show and do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// The address to listen on.
    pub listen: String,
    /// Whether documents can be looked at there.
    pub browse: bool,
    /// Whether jobs can be started there.
    pub jobs: bool,
    /// Where jobs put exports, each into a folder of its own; none where they make none.
    pub export_to: Option<String>,
    /// Name of the environment variable that holds the token for both.
    pub token_env: String,
    /// File that holds the token; wins over `token_env`.
    pub token_file: Option<PathBuf>,
    /// Name of the environment variable that holds the URL to call while all is well; none is called where it is not set.
    pub heartbeat_url_env: String,
    /// File that holds that URL; wins over `heartbeat_url_env`.
    pub heartbeat_url_file: Option<PathBuf>,
    /// How often to call it.
    #[serde(with = "duration")]
    pub heartbeat_interval: Duration,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            endpoint: "http://127.0.0.1:8081/".to_owned(),
            auth: SourceAuth::Emulator,
            key_env: "COSMIRROR_SOURCE_KEY".to_owned(),
            key_file: None,
            request_units_per_second_max: 0,
            poll_interval: Duration::from_secs(1),
            poll_interval_idle_max: Duration::from_secs(30),
            staleness_margin: Duration::from_secs(5),
            feed_retention: Duration::from_hours(7 * 24),
        }
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            database: "shop".to_owned(),
            container: "leases".to_owned(),
            processor: "cosmirror".to_owned(),
            create: true,
            acquire_interval: Duration::from_secs(13),
            renew_interval: Duration::from_secs(17),
            expiration: Duration::from_secs(60),
        }
    }
}

impl Default for Target {
    fn default() -> Self {
        Self {
            kind: TargetKind::Azure,
            path: None,
            endpoint: "http://127.0.0.1:10000/devstoreaccount1".to_owned(),
            container: "mirror".to_owned(),
            prefix: String::new(),
            auth: TargetAuth::Emulator,
            account: None,
            key_env: "COSMIRROR_TARGET_KEY".to_owned(),
            key_file: None,
            sas_env: "COSMIRROR_TARGET_SAS".to_owned(),
            sas_file: None,
            history: History::Versions,
            immutable_for: Duration::ZERO,
            immutability_mode: ImmutabilityMode::Unlocked,
            legal_hold: false,
            encryption_scope: String::new(),
            tags: false,
            feeds: BTreeMap::new(),
            recipients: Vec::new(),
            create: true,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9464".to_owned(),
            browse: false,
            jobs: false,
            export_to: None,
            token_env: "COSMIRROR_ADMIN_TOKEN".to_owned(),
            token_file: None,
            heartbeat_url_env: "COSMIRROR_HEARTBEAT_URL".to_owned(),
            heartbeat_url_file: None,
            heartbeat_interval: Duration::from_mins(1),
        }
    }
}
