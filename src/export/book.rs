//! What an export is to be, and which of its files are durable: the manifest as it grows.
//!
//! It is there before the first file, and behind each file it names one more. A run that finds one goes on with it if it asks for the same; its instant
//! and its id are those of the first run. Behind the last file it gets the manifest's own name, which nothing changes any more.

use cosmirror_formats::export::{ExportedContainer, MANIFEST, Manifest, UNFINISHED, file_name};

use super::file::FileWriter;
use super::place::Place;
use super::read;
use crate::crash::crash_point;
use crate::failure::{CommandError, Exit, Failure, Kind};
use crate::history::instant;

/// The manifest of an export that is being made.
pub(crate) struct Book<'a> {
    place: &'a dyn Place,
    manifest: Manifest,
}

/// What a place holds of the export that is asked for.
pub(crate) enum Begun<'a> {
    /// Nothing, or a part: it is to be made.
    Open(Book<'a>),
    /// All of it.
    Finished(Manifest),
}

/// The export that was begun in a place, whether it is whole or not; none where there is none.
pub(crate) async fn begun(place: &dyn Place) -> Result<Option<Manifest>, Failure> {
    for name in [MANIFEST, UNFINISHED] {
        if let Some(found) = read::manifest_named(place, name).await? {
            return Ok(Some(found.manifest));
        }
    }
    Ok(None)
}

impl<'a> Book<'a> {
    /// Begins what `asked` describes, or goes on with it. A place that holds anything else is refused, and not touched.
    pub(crate) async fn begin(place: &'a mut dyn Place, asked: Manifest) -> Result<Begun<'a>, CommandError> {
        let names = place.names().await?;
        if !names.is_empty() && !names.iter().any(|name| name == MANIFEST || name == UNFINISHED) {
            return Err(refused(place, "is not empty and holds no export"));
        }
        if let Some(found) = begun(place).await? {
            require_same(place, &found, &asked)?;
        }
        place.claim().await?;
        let place: &'a dyn Place = place;
        // Whoever had the claim until now may have begun or finished it.
        let Some(found) = begun(place).await? else {
            let book = Self { place, manifest: asked };
            book.save(UNFINISHED).await?;
            return Ok(Begun::Open(book));
        };
        require_same(place, &found, &asked)?;
        if found.finished.is_some() {
            // A crash just behind the end left it.
            place.remove(UNFINISHED).await?;
            return Ok(Begun::Finished(found));
        }
        tracing::info!(id = found.id, at = instant(found.at), "going on with the export that was begun");
        Ok(Begun::Open(Self { place, manifest: found }))
    }

    /// Bytes of lines of which a file has at most this many.
    pub(super) fn file_bytes_max(&self) -> u64 {
        self.manifest.file_bytes_max
    }

    /// The name of the last document of a container that is in a file.
    pub(super) fn last_name(&self, container: usize) -> Option<&str> {
        let files = &self.manifest.containers.get(container)?.files;
        files.last().map(|file| file.last.as_str())
    }

    /// A file to add lines to.
    pub(super) fn begin_file(&self) -> Result<FileWriter, Failure> {
        FileWriter::new(self.place.stage()?, self.manifest.compression)
    }

    /// Makes a container's next file durable, and then says so.
    pub(super) async fn keep(&mut self, container: usize, file: FileWriter) -> Result<(), Failure> {
        let compression = self.manifest.compression;
        let of = self.manifest.containers.get_mut(container);
        let of = of.ok_or_else(|| Failure::new(Kind::Internal, "a file of no container"))?;
        let (staged, file) = file.finish(file_name(container + 1, of.files.len() + 1, compression))?;
        self.place.keep(&file.name, staged).await?;
        crash_point!("export-file-kept");
        of.files.push(file);
        self.save(UNFINISHED).await
    }

    /// Gives the manifest its name: the export is whole.
    pub(crate) async fn finish(mut self) -> Result<Manifest, Failure> {
        self.manifest.finished = Some(crate::time::now().to_string());
        crash_point!("export-to-manifest");
        self.save(MANIFEST).await?;
        crash_point!("export-manifest-kept");
        self.place.remove(UNFINISHED).await?;
        Ok(self.manifest)
    }

    async fn save(&self, name: &str) -> Result<(), Failure> {
        let text = self.manifest.to_text();
        let text = text.map_err(|error| Failure::new(Kind::Internal, format!("the manifest: {error}")))?;
        self.place.put(name, &text).await
    }
}

fn refused(place: &dyn Place, why: &str) -> CommandError {
    let message = format!("{} {why}", place.describe(""));
    CommandError::new(Exit::Usage, message, "name an empty place, or one that does not exist yet, with --out")
}

/// Refuses a place that holds an export of another request.
fn require_same(place: &dyn Place, found: &Manifest, asked: &Manifest) -> Result<(), CommandError> {
    if is_same(found, asked) {
        return Ok(());
    }
    if found.finished.is_some() {
        return Err(refused(place, &format!("holds another export, as of {}", instant(found.at))));
    }
    let error = refused(place, &format!("holds an unfinished export of another request, as of {}", instant(found.at)));
    let remedy = "pass --resume and what was asked for then to go on with it, or name another place with --out";
    Err(CommandError { remedy: remedy.to_owned(), ..error })
}

/// Whether two manifests are of the same request.
fn is_same(one: &Manifest, other: &Manifest) -> bool {
    let asked = |of: &Manifest| {
        let containers = of.containers.iter().map(identity).collect::<Vec<_>>();
        let sides = (of.uncertain.clone(), of.unknown.clone());
        (of.format, of.at, of.since.clone(), of.compression, of.file_bytes_max, sides, containers)
    };
    asked(one) == asked(other)
}

fn identity(of: &ExportedContainer) -> (String, String, String, String, Vec<String>) {
    let rids = of.generations.iter().map(|life| life.rid.clone()).collect();
    (of.account.clone(), of.database.clone(), of.container.clone(), of.prefix.clone(), rids)
}
