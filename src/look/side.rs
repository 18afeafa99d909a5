//! The two states that are compared.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use cosmirror_formats::feed_page::SystemProperties;

use super::{Absence, Seen, Which, before_the_first, look, preceding};
use crate::documents::Documents;
use crate::failure::{CommandError, Exit, Failure};
use crate::history::{DocumentHistory, Entry, MirrorReader};
use crate::retry::persist;

/// One of the two states.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Side<'a> {
    /// Whether it is the container's.
    pub(crate) live: bool,
    /// The instant that was asked for, in seconds since 1970.
    pub(crate) at: Option<i64>,
    /// The version that it is.
    pub(crate) entry: Option<&'a Entry>,
    /// Why there is no document, as the end of a sentence about it.
    pub(crate) absent: Option<String>,
    /// The document's bytes.
    pub(crate) bytes: Option<Bytes>,
    /// Commit time of the container's document, in seconds since 1970.
    pub(crate) ts: Option<i64>,
    /// Etag of the container's document.
    pub(crate) etag: Option<String>,
}

impl<'a> Side<'a> {
    fn of(seen: Seen<'a>, at: Option<i64>) -> Self {
        let side = Self { live: false, at, entry: None, absent: None, bytes: None, ts: None, etag: None };
        match seen {
            Seen::Document { entry, bytes } => {
                let (ts, etag) = (Some(entry.version.ts), entry.version.etag.clone());
                Self { entry: Some(entry), bytes: Some(bytes), ts, etag, ..side }
            }
            Seen::Absent(Absence { how, entry, .. }) => {
                Self { entry, absent: Some(how), ts: entry.map(|entry| entry.version.ts), ..side }
            }
        }
    }

    /// What it is, for an error.
    pub(crate) fn named(&self, id: &str) -> String {
        match self.entry {
            Some(entry) => format!("version {} of document {id:?}", entry.place.version()),
            None => format!("the container's document {id:?}"),
        }
    }
}

/// Both states.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sides<'a> {
    pub(crate) from: Side<'a>,
    pub(crate) to: Side<'a>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'t> {
    Live,
    Mirror(Which<'t>),
}

/// What `--from` and `--to` ask for.
pub(crate) type Both<'t> = (Option<Asked<'t>>, Option<Asked<'t>>);

/// The states that `--from` and `--to` name, or what stands for them. The container is opened where it is asked for.
pub(crate) async fn sides<'a, F>(
    mirror: &MirrorReader,
    history: &'a DocumentHistory,
    (from, to): Both<'_>,
    open: impl Fn() -> F,
) -> Result<Sides<'a>, CommandError>
where
    F: Future<Output = Result<Arc<dyn Documents>, Failure>>,
{
    let newest = match history.entries.last() {
        // The two newest versions, whatever may hide the state that they make.
        Some(last) if from.is_none() && to.is_none() => return last_two(mirror, history, last).await,
        _ => Asked::Mirror(Which::Newest),
    };
    let to_asked = to.unwrap_or(newest);
    let to = side(mirror, history, to_asked, &open).await?;
    let from = match (from, to_asked) {
        (Some(from), _) => side(mirror, history, from, &open).await?,
        (None, Asked::Live) => side(mirror, history, Asked::Mirror(Which::Newest), &open).await?,
        (None, Asked::Mirror(_)) => before(mirror, history, &to).await?,
    };
    Ok(Sides { from, to })
}

async fn last_two<'a>(
    mirror: &MirrorReader,
    history: &'a DocumentHistory,
    last: &'a Entry,
) -> Result<Sides<'a>, CommandError> {
    let to = version(mirror, history, last).await?;
    Ok(Sides { from: before(mirror, history, &to).await?, to })
}

/// The version before the one that `to` is.
async fn before<'a>(
    mirror: &MirrorReader,
    history: &'a DocumentHistory,
    to: &Side<'a>,
) -> Result<Side<'a>, CommandError> {
    let Some(entry) = to.entry else {
        let message = format!("document {:?} did not exist yet, and there is nothing before", history.id);
        return Err(CommandError::new(Exit::NotFound, message, "name what to compare it with: --from"));
    };
    // What ended by its time to live, or with its container, is the version itself.
    if to.bytes.is_none() && !entry.version.is_tombstone() {
        return version(mirror, history, entry).await;
    }
    match preceding(history, entry) {
        Some(before) => version(mirror, history, before).await,
        None => Ok(Side::of(before_the_first(history, entry)?, None)),
    }
}

async fn version<'a>(
    mirror: &MirrorReader,
    history: &'a DocumentHistory,
    entry: &Entry,
) -> Result<Side<'a>, CommandError> {
    Ok(Side::of(look(mirror, history, Which::Version(&entry.place.version())).await?, None))
}

async fn side<'a, F>(
    mirror: &MirrorReader,
    history: &'a DocumentHistory,
    asked: Asked<'_>,
    open: impl Fn() -> F,
) -> Result<Side<'a>, CommandError>
where
    F: Future<Output = Result<Arc<dyn Documents>, Failure>>,
{
    match asked {
        Asked::Live => live(history, open().await?.as_ref()).await,
        Asked::Mirror(which) => {
            let at = if let Which::At(at) = which { Some(at) } else { None };
            Ok(Side::of(look(mirror, history, which).await?, at))
        }
    }
}

async fn live<'a>(history: &DocumentHistory, documents: &dyn Documents) -> Result<Side<'a>, CommandError> {
    let side = Side { live: true, at: None, entry: None, absent: None, bytes: None, ts: None, etag: None };
    let Some(document) = persist(|| documents.read(&history.key, &history.id)).await? else {
        return Ok(Side { absent: Some("does not exist in the container".to_owned()), ..side });
    };
    let text = std::str::from_utf8(&document.bytes).ok();
    let ts = text.and_then(|text| SystemProperties::of(text).ok()?.ts);
    Ok(Side { bytes: Some(document.bytes), etag: Some(document.etag), ts, ..side })
}
