//! Opens every mirror that can hold something of the selection, and the container that it is restored into.

use std::sync::Arc;

use cosmirror_formats::records::Generation;
use cosmirror_formats::restore_plan::Part;

use crate::cli::Context;
use crate::cli::history::{key_or_only, open_mirror};
use crate::cli::restore::args::{OverwriteArg, PlanArgs};
use crate::config::{Container, same_account};
use crate::documents::Documents;
use crate::encryption::Identities;
use crate::failure::{CommandError, Exit, Failure, Kind};
use crate::history::MirrorReader;
use crate::restore::{Interval, Point, Request, Selection, quoted};
use crate::run::open_container;

/// One container's part of the restore.
pub(super) struct Opened {
    pub(super) mirror: MirrorReader,
    /// None where the container is to be created.
    pub(super) documents: Option<Arc<dyn Documents>>,
    pub(super) request: Request,
    pub(super) described: Part,
}

/// Opens them.
pub(super) async fn open(
    args: &PlanArgs,
    context: &Context,
    identities: &Identities,
) -> Result<Vec<Opened>, CommandError> {
    let containers = context.containers(&args.sources)?;
    let several = containers.len() > 1;
    fitting(args, several)?;
    let (mut opened, mut not_found) = (Vec::new(), None);
    for container in containers {
        let mirror = open_mirror(context, container, identities).await?;
        let request = match request(args, &mirror).await {
            Err(error) if several && error.exit == Exit::NotFound => {
                not_found = Some(error);
                continue;
            }
            request => request?,
        };
        opened.push(part(args, context, container, mirror, request).await?);
    }
    match not_found {
        Some(error) if opened.is_empty() => Err(error),
        _ => Ok(opened),
    }
}

/// Refuses what contradicts itself, which the arguments alone do not tell.
fn fitting(args: &PlanArgs, several: bool) -> Result<(), CommandError> {
    let refused = |message: &str, remedy: &str| Err(CommandError::new(Exit::Usage, message, remedy));
    if several && args.version.is_some() {
        return refused("a version belongs to one container, and several are configured", "choose one with --source");
    }
    if several && args.ids.is_some() {
        return refused("a list of documents belongs to one container", "choose one with --source");
    }
    if several && args.into.is_some() {
        return refused("several containers cannot be restored into one", "choose one with --source");
    }
    if args.delete_extra && matches!(args.overwrite, OverwriteArg::IfNewer | OverwriteArg::Never) {
        return refused("--delete-extra removes what --overwrite if-newer and never keep", "leave one of both out");
    }
    Ok(())
}

async fn part(
    args: &PlanArgs,
    context: &Context,
    container: &Container,
    mirror: MirrorReader,
    request: Request,
) -> Result<Opened, CommandError> {
    let account = context.account()?;
    let source = format!("{}/{}", container.database, container.container);
    let into = args.into.clone().unwrap_or_else(|| source.clone());
    let (database, name) = into.split_once('/').unwrap_or((&container.database, &container.container));
    let life = mirror.record.generations.last();
    if let Point::At(at) = request.point {
        require_same_key(&mirror, &source, at)?;
    }
    let (documents, into_rid) = match open_container(account, database, name).await {
        Ok((documents, found)) => {
            let own = life.map(|life| life.partition_key_paths.as_slice()).unwrap_or_default();
            if found.key_paths != own {
                return Err(other_key(&into, &found.key_paths, &source, own));
            }
            (Some(documents), Some(found.rid))
        }
        Err(failure) if failure.kind == Kind::NotFound && args.create => (None, None),
        Err(failure) => return Err(missing(failure).into()),
    };
    let (mut at, mut version, mut before_change) = (None, None, None);
    match request.point.clone() {
        Point::At(instant) => at = Some(instant),
        Point::Version(name) => version = Some(name),
        Point::BeforeChange(etag) => before_change = Some(etag),
    }
    let described = Part {
        account: account.endpoint.clone(),
        mirrored_account: Some(mirror.record.account.clone()).filter(|own| !same_account(own, &account.endpoint)),
        rid: life.map(|life| life.rid.clone()).unwrap_or_default(),
        source,
        into,
        into_rid,
        selection: request.to_string(),
        at,
        version,
        before_change,
        overwrite: request.overwrite.name().to_owned(),
        delete_extra: request.delete_extra,
    };
    Ok(Opened { mirror, documents, request, described })
}

/// Documents of an earlier life can only go into a container with the partition key of that life.
fn require_same_key(mirror: &MirrorReader, source: &str, at: i64) -> Result<(), CommandError> {
    let record = &mirror.record;
    let paths = |life: Option<&Generation>| life.map(|life| life.partition_key_paths.join(", ")).unwrap_or_default();
    let (then, now) = (paths(record.lives_until(at).last()), paths(record.generations.last()));
    if then == now {
        return Ok(());
    }
    let message = format!("{source} had the partition key {then} at that instant, and was created anew with {now}");
    let remedy = "export it as of that instant, and import that into another container with --create";
    Err(CommandError::new(Exit::Usage, message, remedy))
}

fn missing(failure: Failure) -> Failure {
    if failure.kind == Kind::NotFound {
        return failure.remedy("check its name and --into, or pass --into DATABASE/CONTAINER --create to create it when the plan is applied");
    }
    failure
}

fn other_key(into: &str, theirs: &[String], source: &str, own: &[String]) -> CommandError {
    let message = format!(
        "{into} has the partition key {}, and the mirror of {source} has {}",
        theirs.join(", "),
        own.join(", ")
    );
    CommandError::new(Exit::Usage, message, "restore into a container with the same partition key")
}

async fn request(args: &PlanArgs, mirror: &MirrorReader) -> Result<Request, CommandError> {
    let selection = match (&args.id, args.key.key(), &args.prefix, &args.ids) {
        (Some(id), key, ..) => Selection::Document { key: key_or_only(mirror, key, id).await?, id: id.clone() },
        (None, Some(key), ..) => Selection::Key(key),
        (None, None, Some(path), _) => Selection::prefix_of(mirror, path),
        (None, None, None, Some(file)) => Selection::listed(mirror, file).await?,
        (None, None, None, None) => Selection::All,
    };
    let point = match (&args.version, &args.before_change, &args.at, args.changed_between) {
        (Some(version), ..) => Point::Version(version.clone()),
        (None, Some(etag), ..) => Point::BeforeChange(quoted(etag)),
        (None, None, Some(at), _) => Point::At(at.as_second()),
        (None, None, None, Some(Interval { from, .. })) => Point::At(from - 1),
        (None, None, None, None) => {
            let remedy = "name it with --at, --version, --before-change or --changed-between";
            return Err(CommandError::new(Exit::Usage, "no instant is given", remedy));
        }
    };
    Ok(Request {
        changed: args.changed_between,
        condition: args.condition.clone(),
        overwrite: args.overwrite.into(),
        delete_extra: args.delete_extra,
        uncertain: args.uncertain.map(Into::into),
        unknown: args.unknown.map(Into::into),
        ..Request::new(selection, point)
    })
}
