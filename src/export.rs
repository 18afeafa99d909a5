//! Documents as they were at an instant, in numbered files that another container, or another program, can take.
//!
//! | step | file |
//! |---|---|
//! | where an export lies: a directory, or blobs | `export/place.rs` |
//! | one export from its beginning to its end | `export/whole.rs` |
//! | what was asked for, and how far an interrupted one came | `export/book.rs` |
//! | the export that this one builds on | `export/base.rs` |
//! | what a document was then, and what the earlier export said of it | `export/state.rs` |
//! | lines into files of bounded size | `export/file.rs` |
//! | files into lines, held against their digest | `export/read.rs` |
//!
//! Documents stream by in the order of their names, so memory holds a few of them, whatever the container holds. Every file is durable before
//! the manifest names it, and the manifest gets its own name last, so what has that name is whole. A crash leaves finished files and a manifest of an
//! unfinished export; the same command goes on behind them, as of the same instant, and makes the files that an undisturbed run makes.
//!
//! A document whose state is not known is never guessed: a line says that it was left out, and why. An export that builds on this
//! one reads these lines, so that it brings such documents once they are known.

use cosmirror_formats::export::LineCounts;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;

use crate::crash::crash_point;
use crate::failure::{Failure, Kind};
use crate::history::MirrorReader;
use crate::restore::{ProgressLog, Request, Selection, candidates};

mod base;
mod book;
mod file;
pub(crate) mod place;
pub(crate) mod read;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod whole;

pub(crate) use base::Base;
pub(crate) use book::begun;
pub(crate) use whole::{Made, Options, Whole, covering};

use book::{Begun, Book};
use file::FileWriter;
use state::{Exported, exported, require_readable};

/// Documents that are read at the same time; each has at most the 2 MiB that the service allows, and its line.
const DOCUMENTS_AT_ONCE: usize = 16;
/// Reasons kept for the person who reads the result; beyond it documents are only counted.
const NOTES_MAX: usize = 20;

/// The export of one container.
pub(crate) struct Export<'a> {
    /// Where its documents are.
    pub(crate) mirror: &'a MirrorReader,
    /// Which of the export's containers it is, from 0.
    pub(crate) container: usize,
    /// The instant that is exported, and what stands in for states that are not known.
    pub(crate) now: &'a Request,
    /// The export that it builds on, and its instant.
    pub(crate) since: Option<(&'a Base, &'a Request)>,
    /// Shows how far it is.
    pub(crate) progress: &'a ProgressBar,
}

impl Export<'_> {
    /// Writes what the book does not name yet, and says of some documents why they were left out.
    pub(crate) async fn run(&self, book: &mut Book<'_>) -> Result<Vec<String>, Failure> {
        let behind = book.last_name(self.container).map(str::to_owned);
        let mut doubted = match self.since {
            Some((base, _)) => Some(base.left_out(self.container)?),
            None => None,
        };
        let took_sides = self.since.is_some_and(|(base, _)| base.took_sides());
        let selection = Selection::All;
        let documents = candidates(self.mirror, &selection)
            .try_filter(|candidate| std::future::ready(behind.as_ref().is_none_or(|behind| candidate.name > *behind)))
            .map(|candidate| {
                let candidate = candidate?;
                let left_out = doubted.as_mut().map_or(Ok(false), |names| names.holds(&candidate.name))?;
                Ok((candidate, took_sides || left_out))
            })
            .map_ok(|(candidate, doubted)| exported(self, candidate, doubted))
            .try_buffered(DOCUMENTS_AT_ONCE);
        let mut documents = std::pin::pin!(documents);
        let (mut file, mut notes, mut last) = (None, Vec::new(), behind.clone().unwrap_or_default());
        let mut log = ProgressLog::new(self.progress, "exporting");
        while let Some(Exported { name, text, counts, note }) = documents.try_next().await? {
            self.progress.inc(1);
            log.tell();
            follow(&mut last, &name)?;
            notes.extend(note.filter(|_| notes.len() < NOTES_MAX));
            if let Some(text) = text {
                self.add(book, &mut file, (name, &text, counts)).await?;
            }
        }
        self.close(book, file).await?;
        Ok(notes)
    }

    async fn add(
        &self,
        book: &mut Book<'_>,
        file: &mut Option<FileWriter>,
        (name, text, counts): (String, &str, LineCounts),
    ) -> Result<(), Failure> {
        if file.as_ref().is_some_and(|file| file.bytes() + text.len() as u64 > book.file_bytes_max()) {
            self.close(book, file.take()).await?;
        }
        let open = match file {
            Some(open) => open,
            None => file.insert(book.begin_file()?),
        };
        open.add(name, text, counts)
    }

    /// Makes a file durable, and then the manifest that names it.
    async fn close(&self, book: &mut Book<'_>, file: Option<FileWriter>) -> Result<(), Failure> {
        let Some(file) = file else { return Ok(()) };
        book.keep(self.container, file).await?;
        crash_point!("export-file-finished");
        Ok(())
    }
}

/// Refuses a name that does not come behind the last one: whoever goes on with an export, builds on it or imports it counts on their order.
fn follow(last: &mut String, name: &str) -> Result<(), Failure> {
    if name <= last.as_str() {
        let message = format!("the target lists {name} behind {last}, which is not the order of their bytes");
        let remedy = "an export takes an account without a hierarchical namespace";
        return Err(Failure::new(Kind::Misconfigured, message).remedy(remedy));
    }
    name.clone_into(last);
    Ok(())
}
