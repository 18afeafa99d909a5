//! Every container's plan, in one file.

use std::path::PathBuf;
use std::sync::Arc;

use cosmirror_formats::restore_plan::{Counts, FORMAT, Part, PlanEnd, PlanHead};
use serde::Serialize;

use super::args::PlanArgs;
use super::spinner;
use crate::cli::Context;
use crate::cli::history::{key_or_only, open_mirror};
use crate::config::Container;
use crate::documents::Documents;
use crate::failure::{CommandError, Exit};
use crate::history::{MirrorReader, instant};
use crate::restore::{PlanWriter, Point, Request, Restore, Selection, Tally, new_id};
use crate::run::open_documents;

/// Where a plan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// Into its file.
    File,
    /// It is only counted.
    Nowhere,
}

/// One container's part of the restore.
struct Opened {
    mirror: MirrorReader,
    documents: Arc<dyn Documents>,
    request: Request,
    described: Part,
}

/// A plan that was made.
pub(super) struct Planned {
    /// Its file, which is there if that was asked for.
    pub(super) path: PathBuf,
    head: PlanHead,
    tallies: Vec<Tally>,
    end: PlanEnd,
    to: To,
}

/// The plan for all containers that hold something of the selection.
pub(super) async fn plan(args: &PlanArgs, context: &Context, to: To) -> Result<Planned, CommandError> {
    let opened = open(args, context).await?;
    let id = new_id();
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("restore-{id}.plan")));
    let parts: Vec<Part> = opened.iter().map(|part| part.described.clone()).collect();
    let head = PlanHead { format: FORMAT, id, made: crate::time::now().to_string(), parts };
    let mut writer = match to {
        To::File => PlanWriter::create(&path, args.force, &head)?,
        To::Nowhere => PlanWriter::nowhere(&head)?,
    };
    let several = context.containers(&args.sources)?.len() > 1;
    let (mut tallies, mut not_found) = (Vec::new(), None);
    for (part, Opened { mirror, documents, request, .. }) in opened.iter().enumerate() {
        let progress = spinner("comparing");
        let restore = Restore { mirror, documents: documents.as_ref(), request, part, progress: progress.clone() };
        let result = restore.plan(&mut writer).await;
        progress.finish_and_clear();
        match result {
            Err(error) if several && error.exit == Exit::NotFound => {
                not_found = Some(error);
                tallies.push(Tally::default());
            }
            result => tallies.push(result?),
        }
    }
    if let Some(error) = not_found.filter(|_| tallies.iter().all(Tally::is_empty)) {
        return Err(error);
    }
    let mut counts = Counts::default();
    tallies.iter().for_each(|tally| counts += tally.counts);
    let damaged = tallies.iter().map(|tally| tally.damaged).sum();
    let bytes = tallies.iter().map(|tally| tally.bytes).sum();
    let end = writer.finish(counts, damaged, bytes, 0.0)?;
    for note in tallies.iter().flat_map(|tally| &tally.notes) {
        tracing::warn!("{note}");
    }
    Ok(Planned { path, head, tallies, end, to })
}

/// Opens every container that can hold something of the selection.
async fn open(args: &PlanArgs, context: &Context) -> Result<Vec<Opened>, CommandError> {
    let config = &context.config.config;
    let containers = context.containers(&args.sources)?;
    let several = containers.len() > 1;
    if several && args.version.is_some() {
        return Err(CommandError::new(
            Exit::Usage,
            "a version belongs to one container, and several are configured",
            "choose one with --source",
        ));
    }
    let (mut opened, mut not_found) = (Vec::new(), None);
    for container in containers {
        let mirror = open_mirror(context, container).await?;
        let request = match request(args, &mirror).await {
            Err(error) if several && error.exit == Exit::NotFound => {
                not_found = Some(error);
                continue;
            }
            request => request?,
        };
        let documents = open_documents(&config.source, &container.database, &container.container).await?;
        let described = described(context, container, &mirror, &request);
        opened.push(Opened { mirror, documents, request, described });
    }
    match not_found {
        Some(error) if opened.is_empty() => Err(error),
        _ => Ok(opened),
    }
}

fn described(context: &Context, container: &Container, mirror: &MirrorReader, request: &Request) -> Part {
    let name = format!("{}/{}", container.database, container.container);
    let (at, version) = match &request.point {
        Point::At(at) => (Some(*at), None),
        Point::Version(version) => (None, Some(version.clone())),
    };
    Part {
        account: context.config.config.source.endpoint.clone(),
        source: name.clone(),
        rid: mirror.record.generations.last().map(|life| life.rid.clone()).unwrap_or_default(),
        into: name,
        into_rid: None,
        selection: request.selection.to_string(),
        at,
        version,
        before_change: None,
        overwrite: "if-changed".to_owned(),
        delete_extra: request.delete_extra,
    }
}

async fn request(args: &PlanArgs, mirror: &MirrorReader) -> Result<Request, CommandError> {
    let selection = match (&args.id, args.key.key()) {
        (Some(id), key) => Selection::Document { key: key_or_only(mirror, key, id).await?, id: id.clone() },
        (None, Some(key)) => Selection::Key(key),
        (None, None) => Selection::All,
    };
    let point = match (&args.version, &args.at) {
        (Some(version), _) => Point::Version(version.clone()),
        (None, Some(at)) => Point::At(at.as_second()),
        (None, None) => {
            return Err(CommandError::new(Exit::Usage, "no instant is given", "name it with --at or --version"));
        }
    };
    Ok(Request { selection, point, delete_extra: args.delete_extra })
}

/// The contract's form of a plan.
#[derive(Serialize)]
struct View<'a> {
    plan: PlanView<'a>,
}

#[derive(Serialize)]
struct PlanView<'a> {
    #[serde(flatten)]
    counts: Counts,
    file: Option<&'a std::path::Path>,
    bytes: u64,
    damaged: u64,
    digest: &'a str,
    notes: Vec<&'a str>,
    containers: Vec<ContainerView<'a>>,
}

#[derive(Serialize)]
struct ContainerView<'a> {
    source: &'a str,
    into: &'a str,
    selection: &'a str,
    #[serde(flatten)]
    counts: Counts,
    bytes: u64,
    damaged: u64,
}

impl Planned {
    /// Prints it.
    pub(super) fn show(&self, context: &Context) -> Result<(), CommandError> {
        if context.output.format.is_json() {
            context.output.json(&View { plan: self.view() })?;
        } else {
            for (part, tally) in self.head.parts.iter().zip(&self.tallies) {
                context.output.line(summary(part, tally))?;
            }
            if self.to == To::File {
                context.output.line(format!("plan: {}", self.path.display()))?;
            }
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
            counts: tally.counts,
            bytes: tally.bytes,
            damaged: tally.damaged,
        });
        PlanView {
            counts: self.end.counts,
            file: (self.to == To::File).then_some(self.path.as_path()),
            bytes: self.end.bytes,
            damaged: self.end.damaged,
            digest: &self.end.digest,
            notes: self.tallies.iter().flat_map(|tally| &tally.notes).map(String::as_str).collect(),
            containers: containers.collect(),
        }
    }
}

fn summary(part: &Part, tally: &Tally) -> String {
    let point = match (part.at, &part.version) {
        (Some(at), _) => format!("as of {}", instant(at)),
        (None, version) => format!("version {}", version.as_deref().unwrap_or_default()),
    };
    let Counts { create, replace, delete, unchanged, conflict, extra, uncertain, unknown } = tally.counts;
    format!(
        "{}: {}, {point}\n  create {create}, replace {replace}, delete {delete}, unchanged {unchanged}, \
         conflict {conflict}, extra {extra}, uncertain {uncertain}, unknown {unknown}",
        part.into, part.selection
    )
}
