//! `verify`: what the source holds beside what the mirror holds, and `--repair`.
//!
//! It needs no daemon and disturbs none. Containers are compared one after the other; what was found of them is told together at the end.
//! Drift that was not repaired ends the command with 4.

use cosmirror_formats::{EpkRange, PartitionKey};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Context;
use super::args::{VerifyArgs, VerifyMode};
use super::history::open_mirror;
use super::output::Format;
use crate::config::{Config, Container, FIRST_TARGET};
use crate::cosmos::Account;
use crate::documents::cosmos::CosmosDocuments;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit};
use crate::leases::live::Live;
use crate::pace::RequestUnits;
use crate::reconcile::{Counts, Difference, Mirrors, Mode, Reconcile, Repair, Report, Request, Sample, Source, State};
use crate::run::termination;

/// The contract's form of a comparison.
#[derive(Debug, Serialize)]
struct View<'a> {
    #[serde(flatten)]
    total: Counts,
    containers: Vec<ContainerView<'a>>,
}

#[derive(Debug, Serialize)]
struct ContainerView<'a> {
    database: &'a str,
    container: &'a str,
    #[serde(flatten)]
    report: Report,
}

/// Runs the command.
pub(super) async fn run(args: &VerifyArgs, context: &Context) -> Result<(), CommandError> {
    let signal = termination()?;
    tokio::select! {
        result = verify(args, context) => result,
        _ = signal => {
            let remedy = "run it again: what was repaired stays, and every repair is one conditional write";
            Err(CommandError::new(Exit::Cancelled, "cancelled", remedy))
        }
    }
}

async fn verify(args: &VerifyArgs, context: &Context) -> Result<(), CommandError> {
    let remedy = "compare it with a container by restore plan --all --at T --into DATABASE/CONTAINER --account URL, which writes nothing";
    context.require_configuration("verify, which compares with the source", remedy)?;
    if let Some(name) = &args.against {
        return against(name, args, context).await;
    }
    let config = &context.config.config;
    let identities = args.identity.read()?;
    let account = Account::connect(&config.source).await?;
    let units = RequestUnits::new(config.source.request_units_per_second_max);
    let mut view = View { total: Counts::default(), containers: Vec::new() };
    for container in context.containers(&args.sources)? {
        let report = compare(args, context, container, (&account, &units), &identities).await?;
        view.total += report.counts;
        view.containers.push(ContainerView { database: &container.database, container: &container.container, report });
    }
    show(&view, context)?;
    verdict(&view.total)
}

/// Compares the mirror with the one in another target.
async fn against(name: &str, args: &VerifyArgs, context: &Context) -> Result<(), CommandError> {
    let here = context.target.as_deref().unwrap_or(FIRST_TARGET);
    let other = context.on_target(name)?;
    // Metadata tell all that is compared.
    let without_keys = Identities::default();
    let mut view = View { total: Counts::default(), containers: Vec::new() };
    for container in context.containers(&args.sources)? {
        let mirrors = (
            open_mirror(context, container, &without_keys).await?,
            open_mirror(&other, container, &without_keys).await?,
        );
        let mirrors = Mirrors { first: (&mirrors.0, here), other: (&mirrors.1, name), request: request(args) };
        let report = mirrors.run().await?;
        view.total += report.counts;
        view.containers.push(ContainerView { database: &container.database, container: &container.container, report });
    }
    show(&view, context)?;
    let drift = view.total.drift();
    if drift == 0 {
        return Ok(());
    }
    let message = format!("{drift} documents differ between the targets {here:?} and {name:?}");
    let remedy =
        "compare each with the source, by verify and verify --target NAME; --repair puts right the one that is wrong";
    Err(CommandError::new(Exit::Drift, message, remedy))
}

fn request(args: &VerifyArgs) -> Request {
    Request {
        mode: match args.mode {
            VerifyMode::Presence => Mode::Presence,
            VerifyMode::Hash => Mode::Hash,
            VerifyMode::Full => Mode::Full,
        },
        sample: args.sample.map_or(Sample::ALL, Sample),
        repair: if args.repair { Repair::All } else { Repair::No },
        list_max: args.list,
    }
}

async fn compare(
    args: &VerifyArgs,
    context: &Context,
    container: &Container,
    (account, units): (&Account, &RequestUnits),
    identities: &Identities,
) -> Result<Report, CommandError> {
    let config: &Config = &context.config.config;
    let name = format!("{}/{}", container.database, container.container);
    let mirror = open_mirror(context, container, identities).await?;
    let resolved = account.resolve(&container.database, &container.container).await?;
    let documents = CosmosDocuments::new(account.clone(), resolved.clone(), name.clone());
    let feed = crate::feed::cosmos::CosmosFeed::new(account.clone(), resolved.clone(), name);
    let live = Live::open(account, config, container).await?;
    let effective_key = |key: &PartitionKey| resolved.effective_key(key);
    let progress = spinner();
    let reconcile = Reconcile {
        mirror: &mirror,
        source: Source {
            feed: &feed,
            documents: &documents,
            leases: live.as_ref().map(|live| &live.leases),
            mode: container.feed,
            margin: i64::try_from(config.source.staleness_margin.as_secs()).unwrap_or(i64::MAX),
            renew_interval: config.leases.renew_interval,
            units,
            effective_key: &effective_key,
        },
        request: request(args),
        scope: None,
        within: EpkRange::full(),
        progress: progress.clone(),
        on_phase: &|phase| progress.set_message(phase.word()),
    };
    let report = reconcile.run().await;
    progress.finish_and_clear();
    Ok(report?)
}

fn show(view: &View<'_>, context: &Context) -> Result<(), CommandError> {
    match context.output.format {
        Format::Json => context.output.json(view),
        Format::Ndjson => view.containers.iter().try_for_each(|container| context.output.json(container)),
        Format::Text | Format::JsonPatch => text(view).iter().try_for_each(|line| context.output.line(line)),
    }
}

fn text(view: &View<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for ContainerView { database, container, report } in &view.containers {
        let Counts { documents, equal, missing, stale, extra, different, pending, repaired } = report.counts;
        lines.push(format!(
            "{database}/{container}: {documents} documents, equal {equal}, missing {missing}, stale {stale}, \
             extra {extra}, different {different}, pending {pending}, repaired {repaired}"
        ));
        lines.extend(report.differences.iter().map(line));
        let told = report.differences.len() as u64;
        let all = missing + stale + extra + different;
        if all > told {
            lines.push(format!("  … and {} more; --list N tells more of them", all - told));
        }
    }
    lines
}

fn line(difference: &Difference) -> String {
    let Difference { state, id, partition_key, reason, repaired } = difference;
    let repaired = if *repaired { " (repaired)" } else { "" };
    format!("  {} {id:?} of partition key {partition_key}: {reason}{repaired}", word(*state))
}

fn word(state: State) -> &'static str {
    match state {
        State::Equal => "equal",
        State::Missing => "missing",
        State::Stale => "stale",
        State::Extra => "extra",
        State::Different => "different",
        State::Absent => "absent",
    }
}

fn verdict(total: &Counts) -> Result<(), CommandError> {
    let drift = total.drift();
    if drift == 0 {
        return Ok(());
    }
    let message = format!("{drift} of {} documents differ between source and mirror", total.documents);
    let remedy = if total.different > 0 {
        "see what is listed: --repair puts right what is missing, stale or extra; damaged versions stay as they are, restore them from \
         a copy of the target"
    } else {
        "see what is listed, and run verify --repair"
    };
    Err(CommandError::new(Exit::Drift, message, remedy))
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos} documents {per_sec}");
    let spinner = ProgressBar::new_spinner().with_message("comparing");
    style.map(|style| spinner.clone().with_style(style)).unwrap_or(spinner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(counts: Counts) -> View<'static> {
        let difference = Difference {
            state: State::Missing,
            id: "a".to_owned(),
            partition_key: serde_json::json!(["p"]),
            reason: "the mirror has no version of it".to_owned(),
            repaired: true,
        };
        let report = Report { counts, differences: vec![difference], complete_until: None };
        View { total: counts, containers: vec![ContainerView { database: "d", container: "c", report }] }
    }

    const COUNTS: Counts =
        Counts { documents: 9, equal: 5, missing: 2, stale: 0, extra: 1, different: 0, pending: 1, repaired: 1 };

    #[test]
    fn golden_json_of_a_comparison() {
        let golden = concat!(
            r#"{"documents":9,"equal":5,"missing":2,"stale":0,"extra":1,"different":0,"pending":1,"repaired":1,"#,
            r#""containers":[{"database":"d","container":"c","#,
            r#""documents":9,"equal":5,"missing":2,"stale":0,"extra":1,"different":0,"pending":1,"repaired":1,"#,
            r#""differences":[{"state":"missing","id":"a","partition_key":["p"],"#,
            r#""reason":"the mirror has no version of it","repaired":true}]}]}"#,
        );
        assert_eq!(serde_json::to_string(&view(COUNTS)).unwrap(), golden);
    }

    #[test]
    fn the_text_tells_that_there_are_more() {
        let lines = text(&view(COUNTS));
        assert_eq!(lines[1], r#"  missing "a" of partition key ["p"]: the mirror has no version of it (repaired)"#);
        assert_eq!(lines[2], "  … and 2 more; --list N tells more of them");
    }

    #[test]
    fn drift_that_is_left_ends_with_4_and_pending_documents_do_not() {
        assert_eq!(verdict(&COUNTS).unwrap_err().exit, Exit::Drift);
        assert!(verdict(&Counts { repaired: 3, ..COUNTS }).is_ok());
        assert!(verdict(&Counts { documents: 3, pending: 3, ..Counts::default() }).is_ok());
    }
}
