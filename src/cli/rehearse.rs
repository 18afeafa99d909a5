//! `rehearse`: restores a sample into a scratch container, compares it with the mirror, and says how long a restore takes.

use std::sync::Arc;

use cosmirror_formats::rehearsal::{MILLION, Rehearsal};
use indicatif::HumanBytes;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::args::RehearseArgs;
use super::history::mirror_of;
use super::interrupt::interruptible;
use crate::config::{Config, Container, FIRST_TARGET, format_share};
use crate::cosmos::Account;
use crate::failure::{CommandError, Exit};
use crate::history::instant;
use crate::pace::RequestUnits;
use crate::rehearse::{Rehearse, unseen, verdict};

/// Runs the command.
pub(super) async fn run(args: &RehearseArgs, context: &Context) -> Result<(), CommandError> {
    let remedy = "use the daemon's configuration: its mirror holds the record that says whose the scratch container is";
    context.require_configuration("rehearse, which writes a record", remedy)?;
    let container = context.source_container(&args.source)?;
    let config = &context.config.config;
    let into = args.into.split_once('/').unwrap_or_default();
    require_scratch(config, into)?;
    require_own_scratch(config, container, context.target.as_deref(), into)?;
    let (store, paths) = mirror_of(context, container)?;
    let cancel = CancellationToken::new();
    let units = args.request_units_per_second.unwrap_or(config.source.request_units_per_second_max);
    let rehearse = Rehearse {
        store,
        paths,
        account: Account::connect(&config.source).await?,
        endpoint: config.source.endpoint.clone(),
        into: (into.0.to_owned(), into.1.to_owned()),
        at: args.at.map(|at| at.as_second()),
        sample_per_million: args.sample.unwrap_or(MILLION),
        clean: args.clean,
        by: "command",
        identities: args.identity.read()?,
        units: Arc::new(RequestUnits::new(units)),
        concurrency: args.concurrency,
        cancel: cancel.clone(),
        shows: unseen(),
    };
    let rehearsed = interruptible(rehearse.run(), &cancel, cancelled).await?;
    for note in &rehearsed.notes {
        tracing::warn!("{note}");
    }
    show(&rehearsed.record, container, context)?;
    verdict(&rehearsed.record).map_or(Ok(()), Err)
}

fn cancelled() -> CommandError {
    CommandError::new(Exit::Cancelled, "cancelled", "rehearse again with --clean")
}

/// A container that is followed, or that holds the leases, is no place to delete in.
fn require_scratch(config: &Config, (database, name): (&str, &str)) -> Result<(), CommandError> {
    let leases = &config.leases;
    let followed = config.containers.iter().any(|c| (c.database.as_str(), c.container.as_str()) == (database, name));
    let what = match (followed, (leases.database.as_str(), leases.container.as_str()) == (database, name)) {
        (true, _) => "is followed",
        (_, true) => "holds the leases",
        (false, false) => return Ok(()),
    };
    let message = format!("--into {database}/{name}: that container {what}");
    Err(CommandError::new(Exit::Usage, message, "name a scratch container, empty or to be created"))
}

/// Rehearsals exclude each other by the record of the mirror that they rehearse, so a scratch container is for one mirror. That of the daemon is for the
/// container that the settings say, as the first target holds it.
fn require_own_scratch(
    config: &Config,
    rehearsed: &Container,
    target: Option<&str>,
    into: (&str, &str),
) -> Result<(), CommandError> {
    let of_first = target.is_none_or(|target| target == FIRST_TARGET);
    let names = |of: &Container| (of.database.clone(), of.container.clone());
    let another = config.containers.iter().find(|followed| {
        let (database, name) = config.rehearsal.scratch(&followed.database, &followed.container);
        (database.as_str(), name.as_str()) == into && !(of_first && names(followed) == names(rehearsed))
    });
    let Some(another) = another else { return Ok(()) };
    let message = format!(
        "--into {}/{}: by `rehearsal.into` that container is for rehearsals of {}/{} from the first target",
        into.0, into.1, another.database, another.container
    );
    Err(CommandError::new(Exit::Usage, message, "name a scratch container in which nothing else is rehearsed"))
}

fn show(record: &Rehearsal, container: &Container, context: &Context) -> Result<(), CommandError> {
    if context.output.format.is_json() {
        return context.output.json(record);
    }
    text(record, container).iter().try_for_each(|line| context.output.line(line))
}

fn text(record: &Rehearsal, container: &Container) -> Vec<String> {
    let (counts, took) = (&record.counts, &record.took);
    let share = format_share(record.sample_per_million);
    let at = record.instant.map(instant).unwrap_or_else(|| "?".to_owned());
    let mut lines = vec![
        format!(
            "{}/{} into {}: {share} as of {at}: {}",
            container.database,
            container.container,
            record.scratch.name,
            record.state.as_str()
        ),
        format!(
            "  documents {} of {}, {}; equal {}, different {}, missing {}, extra {}, unknown {}, damaged {}, failed {}",
            counts.documents,
            counts.all,
            HumanBytes(counts.bytes),
            counts.equal,
            counts.different,
            counts.missing,
            counts.extra,
            counts.unknown,
            counts.damaged,
            counts.failed
        ),
        format!(
            "  took {:.1} s to plan, {:.1} s to restore, {:.1} s to compare",
            took.plan_seconds, took.restore_seconds, took.compare_seconds
        ),
    ];
    if let (Some(rate), Some(all)) = (took.documents_per_second, took.rto_seconds_all) {
        lines.push(format!(
            "  recovery time: {:.1} s measured, at {rate:.0} documents/s; {all:.1} s extrapolated for all {} documents",
            took.rto_seconds, counts.all
        ));
    }
    lines.push(match (record.cleaned, record.traces.is_empty()) {
        (true, _) => "  what was written is removed again".to_owned(),
        (false, true) => "  nothing was written".to_owned(),
        (false, false) => {
            format!("  what was written stays in {}; the next one with --clean removes it", record.scratch.name)
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FeedMode, Start};

    fn followed(database: &str, container: &str) -> Container {
        Container {
            database: database.to_owned(),
            container: container.to_owned(),
            feed: FeedMode::default(),
            start: Start::default(),
            versions_per_minute_max: 0,
        }
    }

    #[test]
    fn what_is_followed_or_holds_the_leases_is_no_scratch_container() {
        let config = Config { containers: vec![followed("shop", "orders")], ..Config::default() };
        for taken in [("shop", "orders"), ("shop", "leases")] {
            assert_eq!(require_scratch(&config, taken).unwrap_err().exit, Exit::Usage);
        }
        assert!(require_scratch(&config, ("scratch", "orders")).is_ok());
    }

    /// Two mirrors have two records, so neither rehearsal would know of the other one in the same container.
    #[test]
    fn the_daemons_scratch_container_is_for_its_own_mirror_alone() {
        let (orders, customers) = (followed("shop", "orders"), followed("shop", "customers"));
        let mut config = Config { containers: vec![orders.clone(), customers], ..Config::default() };
        let required = |config: &Config, target, into| require_own_scratch(config, &orders, target, into);
        assert!(required(&config, Some("south"), ("scratch", "orders")).is_ok(), "the daemon rehearses nowhere");
        config.rehearsal.into = "scratch/{container}".to_owned();
        for target in [None, Some(FIRST_TARGET)] {
            assert!(required(&config, target, ("scratch", "orders")).is_ok());
            assert!(required(&config, target, ("scratch", "other")).is_ok());
            let refused = required(&config, target, ("scratch", "customers")).unwrap_err();
            assert!(refused.exit == Exit::Usage && refused.message.contains("shop/customers"), "{refused}");
        }
        assert_eq!(required(&config, Some("south"), ("scratch", "orders")).unwrap_err().exit, Exit::Usage);
        assert!(required(&config, Some("south"), ("scratch", "south")).is_ok());
    }
}
