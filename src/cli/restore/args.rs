//! The arguments of `restore`, `restore plan` and `restore apply`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::cli::args::{KeyArgs, instant};

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
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How to apply it
    #[command(flatten)]
    pub(crate) apply: ApplyOptions,
}

/// What `restore` can do in two steps.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RestoreCommand {
    /// Write down what a restore would do, and do nothing else
    Plan(PlanArgs),
    /// Do what a plan says, and verify it
    Apply(ApplyArgs),
}

/// Arguments of `restore plan`.
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("selection").required(true).multiple(true).args(["id", "pk", "pk_json", "all"])))]
#[command(group(clap::ArgGroup::new("point").required(true).args(["at", "version"])))]
pub(crate) struct PlanArgs {
    /// The document with this id
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) id: Option<String>,
    /// Its partition key; without --id, every document of that key
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Every document
    #[arg(long, conflicts_with_all = ["id", "pk", "pk_json", "version"])]
    pub(crate) all: bool,
    /// As they were at this instant: RFC 3339, or relative such as -2h
    #[arg(long, value_name = "T", value_parser = instant, allow_hyphen_values = true)]
    pub(crate) at: Option<Timestamp>,
    /// This version of one document, as `history` names it
    #[arg(long, value_name = "V", requires = "id")]
    pub(crate) version: Option<String>,
    /// The containers; left out, all that are configured
    #[arg(long = "source", value_name = "DATABASE/CONTAINER")]
    pub(crate) sources: Vec<String>,
    /// Delete documents that did not exist then
    #[arg(long)]
    pub(crate) delete_extra: bool,
    /// The plan's file; left out, restore-<id>.plan in the working directory
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of `restore apply`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyArgs {
    /// The plan, or the undo file of one
    pub(crate) file: PathBuf,
    /// Take an undo file that does not say how the work ended, as a crash leaves it, and undo what it holds
    #[arg(long)]
    pub(crate) unfinished: bool,
    /// How to apply it
    #[command(flatten)]
    pub(crate) options: ApplyOptions,
}

/// How a plan is applied.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(crate) struct ApplyOptions {
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Where to keep what undoes it, never over an existing file; left out, the plan's name and .undo
    #[arg(long, value_name = "FILE")]
    pub(crate) undo: Option<PathBuf>,
    /// Give what is written this property, with the restore's id as its value
    #[arg(long, value_name = "NAME")]
    pub(crate) mark_field: Option<String>,
    /// Request units per second to take at most; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) request_units_per_second: u32,
    /// Documents at a time, at most; a container that is asked too much gets fewer
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(crate) concurrency: u32,
    /// Stop when so many documents have failed; left out, go on with the others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
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
