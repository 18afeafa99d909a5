//! `status`: how far each container is mirrored, read from leases, feed and mirror; no daemon is asked.
//!
//! What is not known is null in JSON and `?` in text, never 0. Lag is what the leases tell: an owner saves its watermark at each renewal
//! of a lease, so up to that interval is in every lag.

use std::io::IsTerminal as _;
use std::time::Duration;

use super::Context;
use super::args::StatusArgs;
use super::output::Format;
use crate::config::{Container, format_duration};
use crate::cosmos::Account;
use crate::failure::{Action, CommandError, Exit, Failure};

mod read;
mod text;

use crate::status::{ContainerView, View};

/// Pause between two readings of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// What makes a terminal begin a new page.
const NEW_PAGE: &[u8] = b"\x1b[2J\x1b[H";

/// Runs the command.
pub(super) async fn run(args: &StatusArgs, context: &Context) -> Result<(), CommandError> {
    let containers = context.containers(&args.sources)?;
    let account = match context.mirror {
        Some(_) if args.max_lag.is_some() => {
            let remedy = "leave one of both out: how far it is behind only the source could tell";
            return Err(CommandError::new(Exit::Usage, "--max-lag asks the source, and --mirror does not", remedy));
        }
        Some(_) => None,
        None => Some(Account::connect(&context.config.config.source).await?),
    };
    loop {
        match read_all(account.as_ref(), context, &containers).await {
            Ok(view) => {
                show(&view, args.watch, context)?;
                within(&view, args.max_lag)?;
            }
            // Who watches wants to see the end of an outage as well.
            Err(failure) if args.watch && failure.kind.action() == Action::Retry => {
                tracing::warn!(error = %failure, "not read; trying again");
            }
            Err(failure) => return Err(failure.into()),
        }
        if !args.watch || context.output.is_closed() {
            return Ok(());
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

/// `account` is none where the mirror alone is asked.
async fn read_all(account: Option<&Account>, context: &Context, containers: &[&Container]) -> Result<View, Failure> {
    let mut views = Vec::new();
    for container in containers {
        let config = &context.config.config;
        views.push(match account {
            Some(account) => read::container(account, config, container).await?,
            None => read::of_mirror(config, container).await?,
        });
    }
    Ok(View { containers: views })
}

fn show(view: &View, again: bool, context: &Context) -> Result<(), CommandError> {
    match context.output.format {
        Format::Json => context.output.json(view),
        Format::Ndjson => view.containers.iter().try_for_each(|container| context.output.json(container)),
        Format::Text | Format::JsonPatch => {
            if again && std::io::stdout().is_terminal() {
                context.output.bytes(NEW_PAGE)?;
            }
            text::lines(view).iter().try_for_each(|line| context.output.line(line))
        }
    }
}

/// Refuses a lag above the limit, and one that is not known; one line for each container.
fn within(view: &View, limit: Option<Duration>) -> Result<(), CommandError> {
    let Some(limit) = limit else { return Ok(()) };
    let over: Vec<String> = view.containers.iter().filter_map(|container| excess(container, limit)).collect();
    if over.is_empty() {
        return Ok(());
    }
    let remedy = "see whether the range has an owner and what that one logs; without an owner, start `cosmirror run`";
    Err(CommandError::new(Exit::Drift, over.join("\n"), remedy))
}

fn excess(container: &ContainerView, limit: Duration) -> Option<String> {
    let name = format!("{}/{}", container.database, container.container);
    if let Some(hole) = container.holes.first() {
        return Some(format!("{name}: the lag of range {hole} is not known, because no lease covers it"));
    }
    let (range, lag) = container.slowest()?;
    let over = u64::try_from(lag).is_ok_and(|lag| Duration::from_secs(lag) > limit);
    over.then(|| format!("{name}: range {range} is {lag} s behind, more than {}", format_duration(limit)))
}

#[cfg(test)]
mod tests;
