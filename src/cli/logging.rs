//! Logs on standard error.
//!
//! Commands that run for long say what they do; the others speak when something is wrong. `-v` and `-q` change that, and
//! `COSMIRROR_LOG` (in the syntax of tracing's `EnvFilter`, such as `warn,cosmirror::mirror=debug`) replaces it. Libraries are
//! heard from `warn` on: the SDKs log every request.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::admin::Recent;
use crate::failure::{CommandError, Exit};

const VARIABLE: &str = "COSMIRROR_LOG";

/// Forms of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging for the process.
pub(super) fn start(format: LogFormat, verbose: u8, quiet: bool, service: bool) -> Result<(), CommandError> {
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // The page shows problems whatever the logs are set to.
    let problems = Recent::of_process().layer().with_filter(LevelFilter::WARN);
    let logs = tracing_subscriber::registry().with(lines.with_filter(filter(verbose, quiet, service)?)).with(problems);
    let started = logs.try_init();
    started.map_err(|error| CommandError::new(Exit::Failure, format!("cannot start logging: {error}"), ""))
}

fn filter(verbose: u8, quiet: bool, service: bool) -> Result<EnvFilter, CommandError> {
    let directives = match std::env::var(VARIABLE) {
        Ok(directives) if !directives.is_empty() => directives,
        _ => directives(verbose, quiet, service).to_owned(),
    };
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
    fn every_level_is_a_valid_filter() {
        for (verbose, quiet, service) in
            [(0, true, true), (0, false, false), (0, false, true), (1, false, true), (2, false, true)]
        {
            assert!(EnvFilter::try_new(directives(verbose, quiet, service)).is_ok());
        }
    }
}
