//! The arguments of every command, and the readers of their values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use cosmirror_formats::PartitionKey;
use cosmirror_formats::partition_key::KeyValue;
use cosmirror_formats::rehearsal::MILLION;
use jiff::Timestamp;

use super::help;
use crate::config::{Override, parse_duration, parse_share};
use crate::encryption::Identities;
use crate::failure::CommandError;

/// Names a file of identities.
const IDENTITY_VARIABLE: &str = "COSMIRROR_IDENTITY";

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// End with 0 when every range is at its end and everything is stored
    #[arg(long)]
    pub once: bool,
    /// First find, by a comparison with the source, what was deleted (latest-version containers)
    #[arg(long, requires = "once")]
    pub reconcile: bool,
    /// This process's name as an owner of leases; left out, one is made up
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
}

/// Arguments of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Only what needs no network: the configuration, its secrets, and the directory of a directory target
    #[arg(long)]
    pub offline: bool,
    /// For how long to measure how much changes, such as 1m; 0s leaves rate and cost out
    #[arg(long, value_name = "T", value_parser = sample_time, default_value = "5s")]
    pub sample: Duration,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Write one page for the program and one for each command into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Where to write the configuration file; left out, a new temporary directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Documents to load (JSON array or NDJSON) instead of made-up traffic
    #[arg(long, value_name = "FILE", requires = "id", requires = "pk")]
    pub documents: Option<PathBuf>,
    /// Property of those documents that becomes their id
    #[arg(long, value_name = "FIELD", requires = "documents")]
    pub id: Option<String>,
    /// Property of those documents that is their partition key
    #[arg(long, value_name = "FIELD", requires = "documents")]
    pub pk: Option<String>,
    /// End after this many seconds
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
}

/// Arguments of `emulator`.
#[derive(Debug, Clone, Args)]
pub struct EmulatorArgs {
    /// Address of the Cosmos endpoint and of the control requests; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    pub cosmos: SocketAddr,
    /// Address of the Blob endpoint; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:10000")]
    pub blob: SocketAddr,
    /// Folder to keep the state in and to come back with; left out, everything is gone at the end
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Arguments of `health`.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// What to ask; left out, /readyz at the configured admin.listen
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// What `config` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting with where its value comes from; secrets stay hidden
    #[command(after_long_help = help::CONFIG_SHOW)]
    Show,
}

/// A document's partition key, in either spelling.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct KeyArgs {
    /// Partition key value, a string; repeats for hierarchical keys
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub pk: Vec<String>,
    /// Partition key as JSON of any type; an array for hierarchical keys, {} for an undefined one
    #[arg(long, value_name = "JSON", value_parser = key_from_json, conflicts_with = "pk", allow_hyphen_values = true)]
    pub pk_json: Option<PartitionKey>,
}

impl KeyArgs {
    /// The key, where one was given.
    pub fn key(&self) -> Option<PartitionKey> {
        if self.pk.is_empty() {
            return self.pk_json.clone();
        }
        Some(PartitionKey(self.pk.iter().cloned().map(KeyValue::String).collect()))
    }
}

/// What opens content that is encrypted.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct IdentityArgs {
    /// File of an age identity, AGE-SECRET-KEY-1…, that opens encrypted content; repeats. Left out, the one that COSMIRROR_IDENTITY
    /// names
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
}

impl IdentityArgs {
    /// The keys in the files; none where no file is named.
    pub fn read(&self) -> Result<Identities, CommandError> {
        let named = std::env::var_os(IDENTITY_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        let files = if self.identities.is_empty() { named.into_iter().collect() } else { self.identities.clone() };
        Ok(Identities::of_files(&files)?)
    }
}

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// The containers; left out, all that are configured
    #[arg(long = "source", value_name = "DATABASE/CONTAINER")]
    pub sources: Vec<String>,
    /// Repeat every two seconds until interrupted
    #[arg(long)]
    pub watch: bool,
    /// End with 4 where a container is further behind than this, such as 5m, or a range's lag is not known
    #[arg(long, value_name = "T", value_parser = parse_duration)]
    pub max_lag: Option<Duration>,
}

/// Arguments of `history`.
#[derive(Debug, Clone, Args)]
pub struct HistoryArgs {
    /// The document's id
    pub id: String,
    /// Its partition key
    #[command(flatten)]
    pub key: KeyArgs,
    /// The container, where several are configured
    #[arg(long, value_name = "DATABASE/CONTAINER")]
    pub source: Option<String>,
}

/// Arguments of `show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The document's id
    pub id: String,
    /// Its partition key
    #[command(flatten)]
    pub key: KeyArgs,
    /// The container, where several are configured
    #[arg(long, value_name = "DATABASE/CONTAINER")]
    pub source: Option<String>,
    /// As it was at this instant: RFC 3339, or relative such as -2h
    #[arg(long, value_name = "T", value_parser = instant, allow_hyphen_values = true)]
    pub at: Option<Timestamp>,
    /// This version, as `history` names it
    #[arg(long, value_name = "V", conflicts_with = "at")]
    pub version: Option<String>,
    /// The stored bytes and nothing else
    #[arg(long)]
    pub raw: bool,
    /// What opens content that is encrypted
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// The document's id
    pub id: String,
    /// Its partition key
    #[command(flatten)]
    pub key: KeyArgs,
    /// The container, where several are configured
    #[arg(long, value_name = "DATABASE/CONTAINER")]
    pub source: Option<String>,
    /// What it was: a version as `history` names it, an instant (RFC 3339, or relative such as -2h), or live; left out, the version
    /// before the other one
    #[arg(long, value_name = "V|T|live", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// What it is: a version, an instant, or live for the container's document; left out, the newest version
    #[arg(long, value_name = "V|T|live", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Compare the properties that the service writes as well: _rid, _self, _etag, _attachments, _ts, _lsn
    #[arg(long)]
    pub system: bool,
    /// What opens content that is encrypted
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// What `gaps` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum GapsCommand {
    /// List every recorded gap, oldest first
    #[command(after_long_help = help::GAPS_LIST)]
    List(GapsListArgs),
}

/// Arguments of `gaps list`.
#[derive(Debug, Clone, Args)]
pub struct GapsListArgs {
    /// The containers; left out, all that are configured
    #[arg(long = "source", value_name = "DATABASE/CONTAINER")]
    pub sources: Vec<String>,
}

/// What `dead-letters` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum DeadLettersCommand {
    /// List the changes that could not be stored
    #[command(after_long_help = help::DEAD_LETTERS_LIST)]
    List(DeadLettersListArgs),
    /// Print one of them
    #[command(after_long_help = help::DEAD_LETTERS_SHOW)]
    Show(DeadLettersShowArgs),
    /// Store them as versions, where nothing newer is stored
    #[command(after_long_help = help::DEAD_LETTERS_REPLAY)]
    Replay(DeadLettersReplayArgs),
}

/// Arguments of `dead-letters list`.
#[derive(Debug, Clone, Args)]
pub struct DeadLettersListArgs {
    /// The containers; left out, all that are configured
    #[arg(long = "source", value_name = "DATABASE/CONTAINER")]
    pub sources: Vec<String>,
    /// Only those that wait for replay
    #[arg(long)]
    pub unresolved: bool,
}

/// Arguments of `dead-letters show`.
#[derive(Debug, Clone, Args)]
pub struct DeadLettersShowArgs {
    /// Its name, as `dead-letters list` gives it
    pub name: String,
    /// The container, where several are configured
    #[arg(long, value_name = "DATABASE/CONTAINER")]
    pub source: Option<String>,
    /// The bytes that the feed delivered and nothing else
    #[arg(long)]
    pub raw: bool,
    /// What opens content that is encrypted
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// Arguments of `dead-letters replay`.
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("letters").required(true).args(["names", "all"])))]
pub struct DeadLettersReplayArgs {
    /// Their names, as `dead-letters list` gives them
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Every one that waits
    #[arg(long)]
    pub all: bool,
    /// The containers; left out, all that are configured. Names belong to one container
    #[arg(long = "source", value_name = "DATABASE/CONTAINER")]
    pub sources: Vec<String>,
    /// Say what would be done and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// What opens content that is encrypted
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// What `verify` compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum VerifyMode {
    /// Which documents there are, by their etags
    #[default]
    Presence,
    /// That, and the stored bytes against their hash
    Hash,
    /// That, and their content against the source's
    Full,
}

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// What is compared
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub mode: VerifyMode,
    /// Compare only a part of the documents, such as 5% or 0.05; each time the same ones
    #[arg(long, value_name = "P", value_parser = share)]
    pub sample: Option<f64>,
    /// Put right what is missing, stale or extra in the mirror
    #[arg(long)]
    pub repair: bool,
    /// Compare with the mirror in this target instead of with the source: "first", or a name of [[targets]]
    #[arg(long, value_name = "NAME", conflicts_with = "repair")]
    pub against: Option<String>,
    /// How many differing documents to tell one by one, of each container
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub list: usize,
    /// What opens content that is encrypted
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// The containers; left out, all that are configured
    #[arg(long = "source", value_name = "DATABASE/CONTAINER")]
    pub sources: Vec<String>,
}

/// Arguments of `rehearse`.
#[derive(Debug, Clone, Args)]
pub struct RehearseArgs {
    /// The scratch container: empty, to be created, or left by an earlier rehearsal
    #[arg(long, value_name = "DATABASE/CONTAINER", value_parser = container_name)]
    pub into: String,
    /// Restore only a part of the documents, such as 5% or 0.05; each time others
    #[arg(long, value_name = "P", value_parser = parse_share)]
    pub sample: Option<u32>,
    /// As of this instant: RFC 3339, or relative such as -2h; left out, the newest one that is known completely
    #[arg(long, value_name = "T", value_parser = instant, allow_hyphen_values = true)]
    pub at: Option<Timestamp>,
    /// Remove what an earlier rehearsal left, and in the end what this one wrote, with the container where it was created for that
    #[arg(long)]
    pub clean: bool,
    /// Request units per second to take at most; 0 is no limit. Left out, the configuration's source.request_units_per_second_max
    #[arg(long, value_name = "N")]
    pub request_units_per_second: Option<u32>,
    /// Documents at a time, at most
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub concurrency: u32,
    /// What opens content that is encrypted
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// The container, where several are configured
    #[arg(long, value_name = "DATABASE/CONTAINER")]
    pub source: Option<String>,
}

/// Reads `DATABASE/CONTAINER`.
pub(super) fn container_name(text: &str) -> Result<String, String> {
    let whole = text
        .split_once('/')
        .is_some_and(|(database, container)| !database.is_empty() && !container.is_empty() && !container.contains('/'));
    if whole { Ok(text.to_owned()) } else { Err("not of the form DATABASE/CONTAINER".to_owned()) }
}

/// Arguments of `purge`.
#[derive(Debug, Clone, Args)]
pub struct PurgeArgs {
    /// The document's id
    pub id: String,
    /// Its partition key
    #[command(flatten)]
    pub key: KeyArgs,
    /// The container, where several are configured
    #[arg(long, value_name = "DATABASE/CONTAINER")]
    pub source: Option<String>,
    /// Erase it. Left out, it is only said what there is
    #[arg(long)]
    pub confirm: bool,
    /// Do not ask the source whether it still holds the document, because the source is gone
    #[arg(long)]
    pub without_source: bool,
    /// What opens content that is encrypted
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// Reads a share.
fn share(text: &str) -> Result<f64, String> {
    parse_share(text).map(|part| f64::from(part) / f64::from(MILLION))
}

/// Longest time to measure for.
const SAMPLE_MAX: Duration = Duration::from_mins(60);

/// Reads for how long to measure.
fn sample_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time <= SAMPLE_MAX { Ok(time) } else { Err("longer than an hour".to_owned()) }
}

/// Reads an instant: RFC 3339, or relative to now such as `-2h`.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let Some(before_now) = text.strip_prefix('-') else {
        let shape = "neither an RFC 3339 instant such as 2026-01-31T08:00:00Z nor relative such as -2h";
        return text.parse().map_err(|_| shape.to_owned());
    };
    let duration = parse_duration(before_now)?;
    crate::time::now().checked_sub(duration).map_err(|error| error.to_string())
}

/// Reads `KEY=VALUE`.
pub(super) fn setting(text: &str) -> Result<Override, String> {
    let (key, value) = text.split_once('=').ok_or("not of the form KEY=VALUE")?;
    Ok(Override { key: key.to_owned(), value: value.to_owned(), flag: "--set".to_owned() })
}

fn key_from_json(text: &str) -> Result<PartitionKey, String> {
    let value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let key = PartitionKey::from_json(&value).filter(|key| !key.0.is_empty());
    key.ok_or_else(|| "a component is a string, a number, true, false, null, or {} for undefined".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_absolute_or_relative_to_now() {
        assert_eq!(instant("2026-01-31T09:00:00+01:00").unwrap().to_string(), "2026-01-31T08:00:00Z");
        let ago = crate::time::now().as_second() - instant("-2h").unwrap().as_second();
        assert!((7_200..=7_260).contains(&ago), "{ago}");
        assert!(instant("yesterday").unwrap_err().contains("RFC 3339"));
        assert!(instant("-2").unwrap_err().contains("not a duration"));
    }

    #[test]
    fn keys_are_of_any_type_in_json() {
        assert_eq!(key_from_json("[1,null,{}]").unwrap().to_json(), serde_json::json!([1, null, {}]));
        for text in ["[]", "[[1]]", r#"{"a":1}"#, "x"] {
            assert!(key_from_json(text).is_err(), "{text}");
        }
    }
}
