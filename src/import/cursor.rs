//! The lines of one export of one container, in their order.
//!
//! The order is held: names ascend over all files, so no document comes twice. So are the counts of the manifest. A line that
//! cannot be used is given as such and passed over.

use std::io::{BufReader, Read};

use cosmirror_formats::export::{ExportFile, ExportedContainer, Line, LineCounts, PutLine};
use cosmirror_formats::feed_page::{SystemProperties, without_system_properties};
use cosmirror_formats::{KeyDefinition, MirrorPaths};

use super::Item;
use super::bad::BadLine;
use super::chain::Opened;
use crate::export::read;
use crate::failure::{Failure, Kind};
use crate::restore::Lines;

const DAMAGED: &str = "take an undamaged copy of the export, or make it anew; nothing was written";

/// A place in an export.
pub(super) struct Cursor<'a> {
    export: &'a Opened,
    container: &'a ExportedContainer,
    /// Which of the containers the documents go to.
    to: usize,
    paths: MirrorPaths,
    definition: KeyDefinition,
    next_file: usize,
    open: Option<Open<'a>>,
    last: Option<String>,
}

struct Open<'a> {
    file: &'a ExportFile,
    what: String,
    lines: Lines<BufReader<Box<dyn Read + Send>>>,
    counts: LineCounts,
    bad: u64,
}

/// What comes next.
pub(super) enum Step {
    Line(Head),
    Bad(BadLine),
    End,
}

/// What a line says of a document.
pub(super) struct Head {
    /// The document's name in the mirror.
    pub(super) name: String,
    pub(super) said: Said,
}

pub(super) enum Said {
    Put(Item),
    Gone,
    LeftOut,
}

impl<'a> Cursor<'a> {
    /// Before the first line of one of an export's containers.
    pub(super) fn new(export: &'a Opened, container: usize, to: usize) -> Option<Self> {
        let container = export.read.manifest.containers.get(container)?;
        let (paths, definition) = (container.paths(), KeyDefinition::new(container.key_paths()));
        Some(Self { export, container, to, paths, definition, next_file: 0, open: None, last: None })
    }

    /// The next line.
    pub(super) async fn advance(&mut self) -> Result<Step, Failure> {
        loop {
            let open = match &mut self.open {
                Some(open) => open,
                None => {
                    let Some(file) = self.container.files.get(self.next_file) else { return Ok(Step::End) };
                    self.next_file += 1;
                    self.open.insert(open(self.export, file).await?)
                }
            };
            let number = open.lines.number() + 1;
            let text = open.lines.next();
            let text =
                text.map_err(|error| damaged(format!("line {number} of {} cannot be read: {error}", open.what)))?;
            let Some(text) = text else {
                require_counts(open)?;
                self.open = None;
                continue;
            };
            match head(text, &self.paths, &self.definition, self.to) {
                Ok((head, line)) => {
                    if self.last.as_ref().is_some_and(|last| *last >= head.name) {
                        let what = &open.what;
                        return Err(damaged(format!(
                            "line {number} of {what} is not behind the one before it in order"
                        )));
                    }
                    open.counts += line;
                    self.last = Some(head.name.clone());
                    return Ok(Step::Line(head));
                }
                Err(reason) => {
                    open.bad += 1;
                    let (file, text) = (open.what.clone(), text.to_owned());
                    return Ok(Step::Bad(BadLine { file, line: number, reason, text }));
                }
            }
        }
    }
}

async fn open<'a>(export: &Opened, file: &'a ExportFile) -> Result<Open<'a>, Failure> {
    let what = export.place.describe(&file.name);
    let opened = read::open(export.place.as_ref(), file).await?;
    let lines = read::lines(opened, &what, export.read.manifest.compression)?;
    Ok(Open { file, what, lines, counts: LineCounts::default(), bad: 0 })
}

fn require_counts(open: &Open<'_>) -> Result<(), Failure> {
    if open.bad > 0 || open.counts == open.file.counts {
        return Ok(());
    }
    Err(damaged(format!("{} does not have the lines that the manifest says", open.what)))
}

fn damaged(message: String) -> Failure {
    Failure::new(Kind::Integrity, message).remedy(DAMAGED)
}

/// What a line says, or why it cannot be used.
fn head(
    text: &str,
    paths: &MirrorPaths,
    definition: &KeyDefinition,
    container: usize,
) -> Result<(Head, LineCounts), String> {
    let line = Line::of_text(text).map_err(|error| error.to_string())?;
    let mut counts = LineCounts::default();
    counts.count(&line);
    let name = line.name(paths);
    let said = match line {
        Line::Delete(_) => Said::Gone,
        Line::Unknown(_) => Said::LeftOut,
        Line::Put(PutLine { id, pk, ts, document, .. }) => {
            let own = SystemProperties::of(document).ok().and_then(|properties| properties.id);
            let key = definition.of_document(document).ok();
            if own.as_ref() != Some(&id) || key.as_ref() != Some(&pk) {
                return Err("its document has another id or partition key than the line says".to_owned());
            }
            let text = without_system_properties(document).map_err(|_| "its document cannot be read".to_owned())?;
            Said::Put(Item { container, id, key: pk, ts: Some(ts), text: text.into() })
        }
    };
    Ok((Head { name, said }, counts))
}
