//! The exports of a chain: a full one, and those that build on it, in order.
//!
//! Nothing of an export is believed before its bytes have their digests and each names the one before it.

use cosmirror_formats::export::{ExportFile, ExportedContainer};

use super::LINES_AT_ONCE;
use super::bad::BadLines;
use super::cursor::{Cursor, Step};
use crate::export::place::Place;
use crate::export::read::{self, ReadManifest};
use crate::failure::{CommandError, Exit, Failure};
use crate::history::instant;

/// One export.
pub(super) struct Opened {
    pub(super) place: Box<dyn Place>,
    pub(super) read: ReadManifest,
}

impl Opened {
    fn what(&self) -> String {
        self.place.describe("")
    }
}

/// Exports that build on each other.
pub(crate) struct Chain {
    exports: Vec<Opened>,
    /// Which of their containers are imported.
    chosen: Vec<usize>,
}

impl Chain {
    /// Opens the exports in these places, the full one first.
    pub(crate) async fn open(places: Vec<Box<dyn Place>>) -> Result<Self, CommandError> {
        let mut exports: Vec<Opened> = Vec::new();
        for place in places {
            let what = place.describe("");
            let read = read::manifest(place.as_ref()).await?.ok_or_else(|| {
                let remedy = "name the place of an export, or a file of documents";
                CommandError::new(Exit::NotFound, format!("there is no export in {what}"), remedy)
            })?;
            let opened = Opened { place, read };
            require_follows(exports.last(), &opened)?;
            exports.push(opened);
        }
        let chosen = (0..exports.first().map_or(0, |first| first.read.manifest.containers.len())).collect();
        Ok(Self { exports, chosen })
    }

    /// The same with these containers alone.
    pub(crate) fn choose(&mut self, names: &[String]) -> Result<(), CommandError> {
        let all: Vec<String> = self.containers().map(name_of).collect();
        let mut chosen = Vec::new();
        for name in names {
            let at = all.iter().position(|own| own == name).ok_or_else(|| {
                let message = format!("--source {name}: the export has no such container");
                CommandError::new(Exit::Usage, message, format!("choose one of {}", all.join(", ")))
            })?;
            if !chosen.contains(&at) {
                chosen.push(at);
            }
        }
        if !chosen.is_empty() {
            self.chosen = chosen;
        }
        Ok(())
    }

    /// The containers that are imported, as the newest export has them.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &ExportedContainer> {
        let newest = self.exports.last().map(|newest| &newest.read.manifest.containers);
        self.chosen.iter().filter_map(move |at| newest?.get(*at))
    }

    /// The digests of its manifests, which tell all their content.
    pub(super) fn digests(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().map(|export| export.read.sha256.as_str())
    }

    /// What messages call it.
    pub(crate) fn describe(&self) -> String {
        self.exports.iter().map(Opened::what).collect::<Vec<_>>().join(", ")
    }

    /// For each container the cursors of its exports, oldest first, from their first line.
    pub(super) fn cursors(&self) -> Vec<Vec<Cursor<'_>>> {
        let of = |(to, at): (usize, &usize)| {
            let cursors = self.exports.iter().filter_map(|export| Cursor::new(export, *at, to));
            cursors.collect::<Vec<_>>()
        };
        self.chosen.iter().enumerate().map(of).collect()
    }

    /// How many documents its lines are of, at most.
    pub(super) fn documents_max(&self) -> u64 {
        let exports = self
            .exports
            .iter()
            .flat_map(|export| self.chosen.iter().filter_map(|at| export.read.manifest.containers.get(*at)));
        exports.map(|container| container.counts().documents).sum()
    }

    /// Looks at every byte and every line.
    pub(super) async fn check(&self, bad: &mut BadLines) -> Result<(), CommandError> {
        for export in &self.exports {
            let containers = self.chosen.iter().filter_map(|at| export.read.manifest.containers.get(*at));
            for file in containers.flat_map(|container| &container.files) {
                check_bytes(export, file).await?;
            }
        }
        for mut cursor in self.cursors().into_iter().flatten() {
            let mut read = 0;
            loop {
                match cursor.advance().await? {
                    Step::Line(_) => {}
                    Step::Bad(line) => bad.add(&line)?,
                    Step::End => break,
                }
                read += 1;
                if read % LINES_AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }
}

/// The container as `database/container`.
pub(super) fn name_of(container: &ExportedContainer) -> String {
    format!("{}/{}", container.database, container.container)
}

/// Holds a file's bytes against its digest. Where they differ, the first line that cannot be read is named as well.
async fn check_bytes(export: &Opened, file: &ExportFile) -> Result<(), Failure> {
    let what = export.place.describe(&file.name);
    let opened = read::open(export.place.as_ref(), file).await?;
    tokio::task::yield_now().await;
    let Err(failure) = read::check(opened, &what, file) else { return Ok(()) };
    let opened = read::open(export.place.as_ref(), file).await?;
    let Ok(mut lines) = read::lines(opened, &what, export.read.manifest.compression) else { return Err(failure) };
    loop {
        let fault = match lines.next() {
            Ok(None) => return Err(failure),
            Ok(Some(text)) => {
                serde_json::from_str::<&serde_json::value::RawValue>(text).err().map(|_| "is not JSON".to_owned())
            }
            Err(error) => Some(format!("cannot be read: {error}")),
        };
        if let Some(fault) = fault {
            let message = format!("{}; its line {} {fault}", failure.message, lines.number());
            return Err(Failure { message, ..failure });
        }
    }
}

/// Refuses an export that does not build on the one before it.
fn require_follows(before: Option<&Opened>, next: &Opened) -> Result<(), CommandError> {
    let what = next.what();
    let usage = |message: String, remedy: &str| Err(CommandError::new(Exit::Usage, message, remedy));
    let Some(before) = before else {
        let Some(since) = &next.read.manifest.since else { return Ok(()) };
        let message = format!("the export in {what} builds on another one, {} of {}", since.id, instant(since.at));
        return usage(message, "name the whole chain, the full export first");
    };
    let (own, earlier) = (&next.read.manifest, &before.read.manifest);
    let Some(since) = &own.since else {
        let message = format!("the export in {what} is a full one, and builds on none");
        return usage(message, "name one full export, and behind it those that build on it");
    };
    if since.id != earlier.id {
        let message = format!("the export in {what} builds on {}, and before it comes {}", since.id, earlier.id);
        return usage(message, "name the exports of the chain in their order, without leaving one out");
    }
    if since.sha256 != before.read.sha256 {
        let message =
            format!("the manifest in {} is not the one that the export in {what} was built on", before.what());
        let remedy = "take an undamaged copy of the earlier export; nothing was written";
        return Err(CommandError::new(Exit::Integrity, message, remedy));
    }
    let facts = |containers: &[ExportedContainer]| {
        let facts = containers.iter().map(|of| (name_of(of), of.prefix.clone(), of.key_paths().to_vec()));
        facts.collect::<Vec<_>>()
    };
    if facts(&own.containers) != facts(&earlier.containers) || own.at <= earlier.at {
        let message = format!("the export in {what} does not go with the one that it builds on");
        return Err(CommandError::new(Exit::Integrity, message, "make the export anew; nothing was written"));
    }
    Ok(())
}
