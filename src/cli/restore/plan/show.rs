//! A plan in words and in JSON.

use std::path::Path;
use std::time::Duration;

use cosmirror_formats::restore_plan::{Counts, Part};
use indicatif::{HumanBytes, HumanDuration};
use serde::Serialize;

use super::{Planned, To};
use crate::cli::Context;
use crate::config::account_host;
use crate::failure::{CommandError, Exit};
use crate::history::instant;
use crate::restore::{Basis, Tally};

/// The contract's form of a plan.
#[derive(Serialize)]
struct View<'a> {
    plan: PlanView<'a>,
}

#[derive(Serialize)]
struct PlanView<'a> {
    #[serde(flatten)]
    counts: Counts,
    file: Option<&'a Path>,
    bytes: u64,
    request_units: f64,
    seconds: Option<f64>,
    digest: &'a str,
    damaged: u64,
    notes: Vec<&'a str>,
    containers: Vec<ContainerView<'a>>,
}

#[derive(Serialize)]
struct ContainerView<'a> {
    source: &'a str,
    into: &'a str,
    selection: &'a str,
    at: Option<i64>,
    #[serde(flatten)]
    counts: Counts,
    bytes: u64,
    request_units: f64,
    damaged: u64,
}

impl Planned {
    /// Prints it. Refused documents are a warning here, and an exit code once the plan is applied; damaged ones are an error in both.
    pub(in crate::cli::restore) fn show(&self, context: &Context) -> Result<(), CommandError> {
        if context.output.format.is_json() {
            context.output.json(&View { plan: self.view() })?;
        } else {
            for line in self.lines(&context.again()) {
                context.output.line(line)?;
            }
        }
        let refused = self.end.counts.uncertain + self.end.counts.unknown;
        if refused > 0 {
            tracing::warn!(
                "the state of {refused} documents at that point is not known; they will be left alone unless --uncertain or --unknown says which known state to take"
            );
        }
        if self.end.damaged == 0 {
            return Ok(());
        }
        let message = format!("{} documents have damaged versions", self.end.damaged);
        let remedy = "the named versions cannot be used; choose others by --version";
        Err(CommandError::new(Exit::Integrity, message, remedy))
    }

    fn view(&self) -> PlanView<'_> {
        let containers = self.head.parts.iter().zip(&self.tallies).map(|(part, tally)| ContainerView {
            source: &part.source,
            into: &part.into,
            selection: &part.selection,
            at: part.at,
            counts: tally.counts,
            bytes: tally.bytes,
            request_units: tally.estimate.request_units,
            damaged: tally.damaged,
        });
        PlanView {
            counts: self.end.counts,
            file: (self.to == To::File).then_some(self.path.as_path()),
            bytes: self.end.bytes,
            request_units: self.end.request_units,
            seconds: self.time.map(|(time, _)| time.as_secs_f64()),
            digest: &self.end.digest,
            damaged: self.end.damaged,
            notes: self.tallies.iter().flat_map(|tally| &tally.notes).map(String::as_str).collect(),
            containers: containers.collect(),
        }
    }

    fn lines(&self, (mirror, account): &(String, String)) -> Vec<String> {
        let summaries = self.head.parts.iter().zip(&self.tallies).map(|(part, tally)| summary(part, tally));
        let mut lines: Vec<String> = summaries.collect();
        if self.end.counts.changes() > 0 {
            let (bytes, units) = (HumanBytes(self.end.bytes), self.end.request_units);
            lines.push(format!("to write: {bytes}; about {units:.0} request units, {}", time(self.time)));
        }
        if self.to == To::File {
            let path = self.path.display();
            lines.push(format!("plan: {path} (do it with: cosmirror{mirror} restore apply {path}{account})"));
        }
        lines
    }
}

fn time(time: Option<(Duration, Basis)>) -> String {
    match time {
        Some((time, Basis::Budget)) => format!("{} by the configured request units per second", HumanDuration(time)),
        Some((time, Basis::Latency)) => {
            // What is shorter would be told as no time at all.
            let time = time.max(Duration::from_secs(1));
            format!("{} by the latency of the plan's own requests", HumanDuration(time))
        }
        None => "time not estimated".to_owned(),
    }
}

fn summary(part: &Part, tally: &Tally) -> String {
    let point = match (part.at, &part.version, &part.before_change) {
        (Some(at), ..) => format!("as of {}", instant(at)),
        (None, Some(version), _) => format!("version {version}"),
        (None, None, etag) => format!("before the change {}", etag.as_deref().unwrap_or_default()),
    };
    let into = match &part.mirrored_account {
        None if part.into == part.source => String::new(),
        None => format!(" into {}", part.into),
        Some(_) => format!(" into {} of {}", part.into, account_host(&part.account)),
    };
    let Counts { create, replace, delete, unchanged, conflict, extra, uncertain, unknown } = tally.counts;
    let damaged = if tally.damaged == 0 { String::new() } else { format!(", damaged {}", tally.damaged) };
    format!(
        "{}{into}: {}, {point}\n  create {create}, replace {replace}, delete {delete}, unchanged {unchanged}, \
         conflict {conflict}, extra {extra}, uncertain {uncertain}, unknown {unknown}{damaged}",
        part.source, part.selection
    )
}
