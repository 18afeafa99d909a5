//! One export from its beginning to its end, for a command and for a job.

use cosmirror_formats::MirrorPaths;
use cosmirror_formats::export::{Compression, CoveredWindow, ExportedContainer, FORMAT, Manifest};
use indicatif::ProgressBar;

use super::place::Place;
use super::{Base, Begun, Book, Export, require_readable};
use crate::failure::CommandError;
use crate::history::{Coverage, MirrorReader};
use crate::restore::{Point, Request, Selection, Side, new_id};

/// What is asked for besides an instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// How files are compressed.
    pub(crate) compression: Compression,
    /// Bytes of documents in a file.
    pub(crate) file_bytes_max: u64,
    /// What stands in for states that changed in an interval.
    pub(crate) uncertain: Option<Side>,
    /// What stands in for states that are not known.
    pub(crate) unknown: Option<Side>,
}

impl Options {
    /// What is asked of each mirror.
    pub(crate) fn request(&self, at: i64) -> Request {
        Request { uncertain: self.uncertain, unknown: self.unknown, ..Request::new(Selection::All, Point::At(at)) }
    }
}

/// An export that can be made.
pub(crate) struct Whole {
    /// As of the end of this second.
    pub(crate) at: i64,
    /// Of these, each of which covers that instant.
    pub(crate) mirrors: Vec<MirrorReader>,
    /// On top of this one.
    pub(crate) base: Option<Base>,
    /// So.
    pub(crate) options: Options,
}

/// An export that was made.
pub(crate) struct Made {
    /// What it says of itself.
    pub(crate) manifest: Manifest,
    /// Why documents were left out: the first few of each container.
    pub(crate) notes: Vec<String>,
    /// Whether it was whole before, and nothing was written.
    pub(crate) was_there: bool,
}

/// The mirror, if it covers the instant and can be read.
pub(crate) async fn covering(mirror: MirrorReader, at: i64, options: &Options) -> Result<MirrorReader, CommandError> {
    Coverage::require(&mirror, at).await?;
    // What has become a dead letter since the mirror was opened may be what makes the instant a covered one.
    let mirror = mirror.read_again().await?;
    require_readable(&mirror, &options.request(at)).await?;
    Ok(mirror)
}

impl Whole {
    /// Makes it, or goes on with it where it was begun.
    pub(crate) async fn run(&self, place: &mut dyn Place, progress: &ProgressBar) -> Result<Made, CommandError> {
        let Self { at, mirrors, base, options } = self;
        let asked = self.manifest();
        if let Some(base) = base {
            base.require_fits(*at, &asked.containers)?;
        }
        let mut book = match Book::begin(place, asked).await? {
            Begun::Finished(manifest) => return Ok(Made { manifest, notes: Vec::new(), was_there: true }),
            Begun::Open(book) => book,
        };
        let now = options.request(*at);
        if base.as_ref().is_some_and(Base::took_sides) {
            tracing::info!(
                "the earlier export took sides where a state was not known, so every document is brought again"
            );
        }
        let before = base.as_ref().map(|base| Request::new(Selection::All, Point::At(base.at())));
        let mut notes = Vec::new();
        for (container, mirror) in mirrors.iter().enumerate() {
            let since = base.as_ref().zip(before.as_ref());
            let export = Export { mirror, container, now: &now, since, progress };
            notes.extend(export.run(&mut book).await?);
        }
        Ok(Made { manifest: book.finish().await?, notes, was_there: false })
    }

    fn manifest(&self) -> Manifest {
        let Self { at, mirrors, base, options } = self;
        let side = |side: Option<Side>| {
            side.map(|side| match side {
                Side::Before => "before".to_owned(),
                Side::After => "after".to_owned(),
            })
        };
        Manifest {
            format: FORMAT,
            id: new_id(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            began: crate::time::now().to_string(),
            finished: None,
            at: *at,
            since: base.as_ref().map(Base::since),
            chain: base.as_ref().map(Base::chain).unwrap_or_default(),
            compression: options.compression,
            file_bytes_max: options.file_bytes_max,
            uncertain: side(options.uncertain),
            unknown: side(options.unknown),
            containers: mirrors.iter().map(|mirror| described(mirror, *at)).collect(),
        }
    }
}

/// The container as it was at an instant. What it was created again as behind it has perhaps another partition key.
fn described(mirror: &MirrorReader, at: i64) -> ExportedContainer {
    let (record, window) = (&mirror.record, mirror.window());
    let own = mirror.paths.base();
    let name = MirrorPaths::new("", &record.database, &record.container);
    let prefix = own.strip_suffix(name.base()).unwrap_or_default().trim_end_matches('/');
    ExportedContainer {
        account: record.account.clone(),
        database: record.database.clone(),
        container: record.container.clone(),
        prefix: prefix.to_owned(),
        generations: record.lives_until(at).to_vec(),
        window: CoveredWindow { from: window.from, until: window.until, deletes_until: window.deletes_until },
        files: Vec::new(),
    }
}
