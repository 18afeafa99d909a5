//! `restore`: plan, ask, apply, verify; `restore plan` and `restore apply` are its two halves.
//!
//! | step | file |
//! |---|---|
//! | the arguments | `restore/args.rs` |
//! | every container's plan, in one file | `restore/plan.rs` |
//! | ask a person | `restore/ask.rs` |
//! | do what the file says | `restore/apply.rs` |
//!
//! Every container's plan is made before anything is asked or written. A signal ends planning and asking at once, and the
//! writing behind the requests that are under way; a second one does not wait for them. The plan's file stays while there is
//! something left of it to do.

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::interrupt::interruptible;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit};
use crate::restore::Report;

pub(super) mod apply;
pub(super) mod args;
pub(super) mod ask;
mod plan;

use args::{ApplyArgs, RestoreArgs, RestoreCommand};

/// Runs the command.
pub(super) async fn run(args: &RestoreArgs, context: &Context) -> Result<(), CommandError> {
    let cancel = CancellationToken::new();
    let into = account(args).map(|endpoint| context.into_account(endpoint)).transpose()?;
    let context = into.as_ref().unwrap_or(context);
    interruptible(dispatch(args, context, &cancel), &cancel, cancelled).await
}

/// The account that was named besides the configuration.
fn account(args: &RestoreArgs) -> Option<&str> {
    match &args.command {
        Some(RestoreCommand::Plan(plan)) => plan.account.as_deref(),
        Some(RestoreCommand::Apply(apply)) => apply.account.as_deref(),
        None => args.plan.account.as_deref(),
    }
}

fn cancelled() -> CommandError {
    CommandError::new(Exit::Cancelled, "cancelled", "run the same restore again: what is restored already stays")
}

async fn dispatch(args: &RestoreArgs, context: &Context, cancel: &CancellationToken) -> Result<(), CommandError> {
    let unless_cancelled =
        async |work: &mut (dyn Future<Output = Result<plan::Planned, CommandError>> + Send + Unpin)| {
            tokio::select! {
                planned = work => planned,
                () = cancel.cancelled() => Err(cancelled()),
            }
        };
    match &args.command {
        Some(RestoreCommand::Plan(plan)) => {
            let identities = plan.identity.read()?;
            let planned =
                unless_cancelled(&mut Box::pin(plan::plan(plan, context, &identities, plan::To::File))).await?;
            planned.show(context)
        }
        Some(RestoreCommand::Apply(ApplyArgs { file, unfinished, options, identity, .. })) => {
            apply::run((file, *unfinished), options, context, &identity.read()?, cancel).await
        }
        None => {
            let to = if args.dry_run { plan::To::Nowhere } else { plan::To::File };
            // Read once: it may be a pipe.
            let identities = args.plan.identity.read()?;
            let planned = unless_cancelled(&mut Box::pin(plan::plan(&args.plan, context, &identities, to))).await?;
            if args.dry_run {
                return planned.show(context);
            }
            at_once(&planned, args, context, &identities, cancel).await
        }
    }
}

/// Applies a plan that was just made. Its file goes once all of it is done, or if it is not wanted.
async fn at_once(
    planned: &plan::Planned,
    args: &RestoreArgs,
    context: &Context,
    identities: &Identities,
    cancel: &CancellationToken,
) -> Result<(), CommandError> {
    let path = &planned.path;
    let file = apply::open(path, false, identities, cancel).await.inspect_err(|_| remove(path))?;
    let nothing = file.changes() == 0;
    let report = match apply::applied(file, path, &args.apply, (context, identities), cancel).await {
        Ok(report) => report,
        Err(error) => {
            remove(path);
            return Err(error);
        }
    };
    let error = report.error();
    let done_with = nothing || error.is_none();
    if done_with {
        remove(path);
    }
    apply::show(context, &Report { plan: report.plan.clone().filter(|_| !done_with), ..report })?;
    error.map_or(Ok(()), Err)
}

/// A plan that is done with is no loss, and one that cannot be removed is no failure.
fn remove(path: &std::path::Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "the plan was not removed");
    }
}

/// Bars are drawn on a terminal only.
pub(super) fn bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}");
    let bar = ProgressBar::new(length).with_message(what);
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

fn spinner(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos} documents {per_sec}");
    let spinner = ProgressBar::new_spinner().with_message(what);
    style.map(|style| spinner.clone().with_style(style)).unwrap_or(spinner)
}
