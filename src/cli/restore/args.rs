//! The arguments of `restore`, `restore plan` and `restore apply`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use cosmirror_sql::Condition;
use jiff::Timestamp;

use crate::cli::args::{IdentityArgs, KeyArgs, container_name, instant};
use crate::cli::help;
use crate::restore::{Interval, Overwrite, Side};

/// What its options stand under in the help.
const SELECTION: &str = "Which documents";
const POINT: &str = "As of when";
const WRITING: &str = "Where to, and what happens to what is there";
const PLAN: &str = "The plan's file";
const APPLYING: &str = "Applying";

/// Arguments of `restore`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct RestoreArgs {
    /// Planning or applying alone
    #[command(subcommand)]
    pub(crate) command: Option<RestoreCommand>,
    /// What to plan
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Say what would be done and do nothing
    #[arg(long, help_heading = APPLYING)]
    pub(crate) dry_run: bool,
    /// How to apply it
    #[command(flatten)]
    pub(crate) apply: ApplyOptions,
}

/// What `restore` can do in two steps.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RestoreCommand {
    /// Write down what a restore would do, and do nothing else
    #[command(after_long_help = help::RESTORE_PLAN)]
    Plan(Box<PlanArgs>),
    /// Do what a plan says, and verify it
    #[command(after_long_help = help::RESTORE_APPLY)]
    Apply(ApplyArgs),
}

/// Arguments of `restore plan`.
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("selection").required(true).multiple(true).args(SELECTIONS)))]
#[command(group(clap::ArgGroup::new("point").args(["at", "version", "before_change"])))]
pub(crate) struct PlanArgs {
    /// The document with this id
    #[arg(long, value_name = "ID", allow_hyphen_values = true, help_heading = SELECTION)]
    pub(crate) id: Option<String>,
    /// Its partition key; without --id, every document of that key
    #[command(flatten, next_help_heading = SELECTION)]
    pub(crate) key: KeyArgs,
    /// The documents that this file names, one a line: {"id":"…","pk":…}; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "pk", "pk_json"], help_heading = SELECTION)]
    pub(crate) ids: Option<PathBuf>,
    /// Documents whose blobs' names begin with this beneath the container's folder of documents; whole names are taken too
    #[arg(long, value_name = "PATH", conflicts_with_all = ["id", "ids", "pk", "pk_json"], help_heading = SELECTION)]
    pub(crate) prefix: Option<String>,
    /// Documents that changed between these two instants, both included; A.. is until now. Narrows any other selection. Without a
    /// point, as they were one second before A
    #[arg(long, value_name = "A..B", value_parser = interval, allow_hyphen_values = true, help_heading = SELECTION)]
    pub(crate) changed_between: Option<Interval>,
    /// Documents of which this SQL condition holds at the point, such as "c.status = 'open' AND c.total > 10". Narrows any other
    /// selection; documents that did not exist then are left alone
    #[arg(
        long = "where", value_name = "SQL", value_parser = condition, allow_hyphen_values = true,
        help_heading = SELECTION
    )]
    pub(crate) condition: Option<Condition>,
    /// Every document
    #[arg(long, conflicts_with_all = ["id", "ids", "pk", "pk_json", "prefix", "version"], help_heading = SELECTION)]
    pub(crate) all: bool,
    /// As they were at this instant: RFC 3339, or relative such as -2h
    #[arg(
        long, value_name = "T", value_parser = instant, allow_hyphen_values = true,
        required_unless_present_any = ["version", "before_change", "changed_between"],
        help_heading = POINT
    )]
    pub(crate) at: Option<Timestamp>,
    /// This version of one document, as `history` names it
    #[arg(long, value_name = "V", requires = "id", conflicts_with = "changed_between", help_heading = POINT)]
    pub(crate) version: Option<String>,
    /// As they were directly before the version with this etag, with or without its quotes; documents without such a version are
    /// left alone
    #[arg(long, value_name = "ETAG", allow_hyphen_values = true, help_heading = POINT)]
    pub(crate) before_change: Option<String>,
    /// The containers; left out, all that are configured
    #[arg(long = "source", value_name = "DATABASE/CONTAINER", help_heading = SELECTION)]
    pub(crate) sources: Vec<String>,
    /// Restore into this container; its partition key must be the same
    #[arg(long, value_name = "DATABASE/CONTAINER", value_parser = container_name, help_heading = WRITING)]
    pub(crate) into: Option<String>,
    /// Create that container, and its database, when the plan is applied, with the settings of the mirrored one; not with its throughput,
    /// which no mirror holds
    #[arg(long, requires = "into", help_heading = WRITING)]
    pub(crate) create: bool,
    /// Restore into the account at this endpoint, such as https://ACCOUNT.documents.azure.com/; left out, source.endpoint. How to prove who
    /// we are there is source.auth, and where that is not set, developer
    #[arg(long, value_name = "URL", help_heading = WRITING)]
    pub(crate) account: Option<String>,
    /// What happens to documents that exist and are otherwise than they were
    #[arg(long, value_enum, default_value_t, value_name = "POLICY", help_heading = WRITING)]
    pub(crate) overwrite: OverwriteArg,
    /// Delete documents that did not exist then
    #[arg(long, help_heading = WRITING)]
    pub(crate) delete_extra: bool,
    /// Where a document changed within an interval and the mirror cannot tell when, as in latest-version mode: take the state
    /// before or after it. Left out, such documents are counted and left alone
    #[arg(long, value_enum, value_name = "SIDE", help_heading = WRITING)]
    pub(crate) uncertain: Option<SideArg>,
    /// Where the mirror lacks what would tell a document's state, such as a version that a lifecycle rule removed: take the
    /// nearest state it has before or after. Left out, such documents are counted and left alone
    #[arg(long, value_enum, value_name = "SIDE", help_heading = WRITING)]
    pub(crate) unknown: Option<SideArg>,
    /// The plan's file; left out, restore-<id>.plan in the working directory
    #[arg(short = 'f', long, value_name = "FILE", help_heading = PLAN)]
    pub(crate) file: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, help_heading = PLAN)]
    pub(crate) force: bool,
    /// What opens content that is encrypted
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// What selects documents.
const SELECTIONS: [&str; 8] = ["id", "ids", "pk", "pk_json", "prefix", "changed_between", "condition", "all"];

/// What happens to documents that exist and are otherwise than they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum OverwriteArg {
    /// They are written, even if they change again after the plan
    Always,
    /// They are written, unless they change after the plan
    #[default]
    IfChanged,
    /// They are written where what is restored was committed later than what is there
    IfNewer,
    /// They are kept; only what is gone is created
    Never,
}

/// A side of what is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SideArg {
    /// The newest known state before
    Before,
    /// The next known state after
    After,
}

impl From<OverwriteArg> for Overwrite {
    fn from(arg: OverwriteArg) -> Self {
        match arg {
            OverwriteArg::Always => Self::Always,
            OverwriteArg::IfChanged => Self::IfChanged,
            OverwriteArg::IfNewer => Self::IfNewer,
            OverwriteArg::Never => Self::Never,
        }
    }
}

impl From<SideArg> for Side {
    fn from(arg: SideArg) -> Self {
        match arg {
            SideArg::Before => Self::Before,
            SideArg::After => Self::After,
        }
    }
}

/// Reads `A..B` or `A..`.
fn interval(text: &str) -> Result<Interval, String> {
    let (from, until) = text.split_once("..").ok_or("not of the form A..B or A..")?;
    let from = instant(from)?.as_second();
    let until = if until.is_empty() { None } else { Some(instant(until)?.as_second()) };
    if until.is_some_and(|until| until < from) {
        return Err("it ends before it begins".to_owned());
    }
    Ok(Interval { from, until })
}

fn condition(text: &str) -> Result<Condition, String> {
    Condition::parse(text).map_err(|error| error.to_string())
}

/// Arguments of `restore apply`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyArgs {
    /// The plan, or the undo file of one
    pub(crate) file: PathBuf,
    /// Take an undo file that does not say how the work ended, as a crash leaves it, and undo what it holds
    #[arg(long)]
    pub(crate) unfinished: bool,
    /// The account that the file is for, where source.endpoint is another
    #[arg(long, value_name = "URL", help_heading = WRITING)]
    pub(crate) account: Option<String>,
    /// How to apply it
    #[command(flatten)]
    pub(crate) options: ApplyOptions,
    /// What opens content that is encrypted
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
}

/// How a plan is applied.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct ApplyOptions {
    /// Do not ask
    #[arg(long, help_heading = APPLYING)]
    pub(crate) yes: bool,
    /// Where to keep what undoes it, never over an existing file; left out, the plan's name and .undo
    #[arg(long, value_name = "FILE", help_heading = APPLYING)]
    pub(crate) undo: Option<PathBuf>,
    /// Give what is written this property, with the restore's id as its value
    #[arg(long, value_name = "NAME", help_heading = APPLYING)]
    pub(crate) mark_field: Option<String>,
    /// Request units per second to take at most; 0 is no limit. Left out, the configuration's source.request_units_per_second_max
    #[arg(long, value_name = "N", help_heading = APPLYING)]
    pub(crate) request_units_per_second: Option<u32>,
    /// Documents at a time, at most; a container that is asked too much gets fewer
    #[arg(
        long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512),
        help_heading = APPLYING
    )]
    pub(crate) concurrency: u32,
    /// Stop when so many documents have failed; left out, go on with the others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = APPLYING)]
    pub(crate) max_failures: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Restore {
        #[command(flatten)]
        args: RestoreArgs,
    }

    fn restore(arguments: &[&str]) -> Result<RestoreArgs, clap::Error> {
        <Restore as clap::Parser>::try_parse_from([&["restore"], arguments].concat()).map(|restore| restore.args)
    }

    #[test]
    fn a_restore_needs_a_selection_and_a_point() {
        for missing in
            [&["--all"][..], &["--at", "-2h"], &["--all", "--version", "v"], &["--all", "--id", "a", "--at", "-2h"]]
        {
            assert!(restore(missing).is_err(), "{missing:?}");
            assert!(restore(&[&["plan"], missing].concat()).is_err(), "plan {missing:?}");
        }
        assert!(restore(&["--id", "a", "--pk", "x", "--at", "-2h", "--version", "v"]).is_err());
        let one = restore(&["--id", "a", "--pk", "x", "--pk", "-y", "--at", "-90s"]).unwrap();
        assert_eq!(one.plan.key.key().unwrap().to_json(), serde_json::json!(["x", "-y"]));
        assert!(restore(&["--pk-json", "7", "--at", "-1h"]).unwrap().plan.key.key().is_some());
        assert!(restore(&["--all", "--at", "-1h"]).unwrap().plan.key.key().is_none());
    }

    #[test]
    fn an_interval_is_a_selection_and_a_point() {
        let between = |text: &str| restore(&["--changed-between", text]).map(|args| args.plan.changed_between.unwrap());
        let hour = between("2026-01-31T08:00:00Z..2026-01-31T09:00:00.5Z").unwrap();
        assert_eq!(hour.until, Some(hour.from + 3600));
        assert_eq!(between("-2h..").unwrap().until, None);
        assert!(between("-2h..-1h").is_ok());
        for wrong in ["-1h..-2h", "-1h", "..", "x..y"] {
            assert!(between(wrong).is_err(), "{wrong}");
        }
        assert!(restore(&["--id", "a", "--changed-between", "-2h..", "--at", "-3h"]).is_ok());
    }

    #[test]
    fn selections_and_points_that_exclude_each_other_are_refused() {
        let at = ["--at", "-1h"];
        for wrong in [
            &["--prefix", "p", "--id", "a"][..],
            &["--prefix", "p", "--all"],
            &["--all", "--before-change", "e"],
            &["--all", "--into", "db"],
            &["--all", "--into", "db/c/d"],
            &["--all", "--create"],
            &["--all", "--overwrite", "sometimes"],
        ] {
            assert!(restore(&[wrong, &at].concat()).is_err(), "{wrong:?}");
        }
        assert!(restore(&["--all", "--before-change", "\"e\""]).is_ok());
        assert!(restore(&["--prefix", "p", "--into", "db/c", "--create", "--at", "-1h"]).is_ok());
    }

    #[test]
    fn planning_and_applying_have_their_own_arguments() {
        let plan = restore(&["plan", "--all", "--at", "-1h", "-f", "x.plan"]).unwrap();
        assert!(matches!(plan.command, Some(RestoreCommand::Plan(plan)) if plan.all && plan.file.is_some()));
        let apply = restore(&["apply", "x.plan", "--yes"]).unwrap();
        assert!(matches!(apply.command, Some(RestoreCommand::Apply(apply)) if apply.options.yes));
        assert!(restore(&["apply"]).is_err());
        assert!(restore(&["--all", "--at", "-1h", "apply", "x.plan"]).is_err());
        assert!(restore(&["plan", "--all", "--at", "-1h", "--yes"]).is_err());
    }
}
