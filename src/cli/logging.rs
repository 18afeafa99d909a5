//! Logs on standard error.
//!
//! Commands that run for long say what they do; the others speak when something is wrong. `-v` and `-q` change that, and
//! `COSMIRROR_LOG` (in the syntax of tracing's `EnvFilter`, such as `warn,cosmirror::mirror=debug`) replaces it. Libraries are
//! heard from `warn` on, and never below `info`, whatever is asked for: what they say there holds URLs and headers, and in
//! them secrets.
//!
//! A daemon whose standard error is no terminal writes JSON. Its log is kept and read by others, so it does not name documents and
//! does not say the same over and over again, unless `-v` or `COSMIRROR_LOG` asks for more. What no level shows is the content of
//! documents, and secrets.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::{JsonFields, format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::admin::Recent;
use crate::failure::{CommandError, Exit};

mod careful;
#[cfg(feature = "otel")]
mod otel;
mod repeated;

use careful::Careful;

const VARIABLE: &str = "COSMIRROR_LOG";

/// Forms of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum LogFormat {
    /// json for a daemon whose standard error is no terminal, else text
    #[default]
    Auto,
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// A command that ends soon.
    Command,
    /// One that says what it does.
    Service,
    /// One whose log is kept for long.
    Daemon,
}

/// What goes on beside logging, until it is dropped.
#[cfg(feature = "otel")]
pub(super) type Beside = Option<otel::Exporting>;
/// Nothing goes on beside logging.
#[cfg(not(feature = "otel"))]
pub(super) type Beside = Option<std::convert::Infallible>;

/// Starts logging for the process, and what listens to its spans.
pub(super) fn start(wanted: LogFormat, verbose: u8, quiet: bool, speaker: Speaker) -> Result<Beside, CommandError> {
    let is_terminal = std::io::stderr().is_terminal();
    let asked_for = std::env::var(VARIABLE).ok().filter(|directives| !directives.is_empty());
    let is_careful = speaker == Speaker::Daemon && verbose == 0 && asked_for.is_none();
    let filter = filter(asked_for, verbose, quiet, speaker)?.and(filter_fn(|metadata| {
        let own = metadata.target().starts_with("cosmirror") || metadata.target() == "progress";
        own || *metadata.level() <= Level::INFO
    }));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal);
    let lines = if is_json(wanted, is_terminal, speaker) {
        let format = Careful::new(format().json().flatten_event(true), true, is_careful);
        lines.event_format(format).fmt_fields(JsonFields::new()).boxed()
    } else {
        lines.event_format(Careful::new(format().with_ansi(is_terminal), false, is_careful)).boxed()
    };
    // The page shows problems whatever the logs are set to.
    let problems = Recent::of_process().layer().with_filter(LevelFilter::WARN);
    let logs = tracing_subscriber::registry().with(lines.with_filter(filter)).with(problems);
    #[cfg(feature = "otel")]
    let exporting = otel::Exporting::begin();
    #[cfg(feature = "otel")]
    let logs = logs.with(exporting.as_ref().ok().and_then(Option::as_ref).map(otel::Exporting::layer));
    let started = logs.try_init();
    started.map_err(|error| CommandError::new(Exit::Failure, format!("cannot start logging: {error}"), ""))?;
    #[cfg(feature = "otel")]
    return Ok(exporting.unwrap_or_else(|error| {
        tracing::warn!(error, "traces are not exported to OpenTelemetry");
        None
    }));
    #[cfg(not(feature = "otel"))]
    Ok(None)
}

fn is_json(wanted: LogFormat, is_terminal: bool, speaker: Speaker) -> bool {
    match wanted {
        LogFormat::Auto => speaker == Speaker::Daemon && !is_terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    }
}

fn filter(asked_for: Option<String>, verbose: u8, quiet: bool, speaker: Speaker) -> Result<EnvFilter, CommandError> {
    let directives = asked_for.unwrap_or_else(|| directives(verbose, quiet, speaker != Speaker::Command).to_owned());
    EnvFilter::try_new(directives).map_err(|error| {
        let message = format!("{VARIABLE}: {error}");
        CommandError::new(Exit::Usage, message, "write it like warn,cosmirror=debug")
    })
}

/// What takes long and draws no bar tells its progress under "progress". "cosmirror" stands for all crates whose names begin with it.
fn directives(verbose: u8, quiet: bool, service: bool) -> &'static str {
    match (quiet, verbose, service) {
        (true, ..) => "error",
        (_, 0, false) => "warn,progress=info",
        (_, 0, true) => "warn,cosmirror=info,progress=info",
        (_, 1, _) => "warn,cosmirror=debug,progress=info",
        _ => "info,cosmirror=trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_daemon_that_nobody_watches_writes_json_by_itself() {
        assert!(is_json(LogFormat::Auto, false, Speaker::Daemon));
        for (is_terminal, speaker) in [(true, Speaker::Daemon), (false, Speaker::Service), (false, Speaker::Command)] {
            assert!(!is_json(LogFormat::Auto, is_terminal, speaker), "{speaker:?}");
        }
        assert!(is_json(LogFormat::Json, true, Speaker::Command) && !is_json(LogFormat::Text, false, Speaker::Daemon));
    }

    #[test]
    fn every_level_is_a_valid_filter() {
        for (verbose, quiet, service) in
            [(0, true, true), (0, false, false), (0, false, true), (1, false, true), (2, false, true)]
        {
            assert!(EnvFilter::try_new(directives(verbose, quiet, service)).is_ok());
        }
    }
}
