//! One document: its versions, one of them, and the difference of two.

use axum::body::Bytes;
use cosmirror_formats::{Encryption, PartitionKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shell::restore_command;
use super::{Mirror, bounded, json_bytes, partition_key};
use crate::diff::changes;
use crate::failure::{CommandError, Exit};
use crate::history::{DocumentHistory, Entry, MirrorReader, origins};
use crate::json_text::{pretty_within, visible};
use crate::look::difference::{ChangeView, View, document, text};
use crate::look::side::{Asked as AskedSide, sides};
use crate::look::versions::view;
use crate::look::{Absence, Seen, Which, look};

/// Versions of one document that are looked through; their list is in memory.
const VERSIONS_MAX: usize = 20_000;
/// Versions that are told, the newest of them.
const VERSIONS_TOLD: usize = 500;
/// Longest document that is shown. The service's own limit is 2 MiB.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Longest text with lines and indents; what would be longer is shown as it is stored.
const PRETTY_BYTES_MAX: usize = 8 << 20;
/// Changes that are told.
const CHANGES_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    pub(super) container: String,
    id: String,
    pk: String,
    version: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// A document's mirror and history.
struct Opened {
    reader: MirrorReader,
    key: PartitionKey,
    history: DocumentHistory,
}

async fn open(mirror: &Mirror<'_>, asked: &Asked) -> Result<Opened, CommandError> {
    let (id, key) = (bounded("id", &asked.id)?, partition_key(&asked.pk)?);
    let reader = MirrorReader::open(mirror.store.clone(), mirror.paths.clone()).await?;
    let Some(history) = reader.history_within(&key, id, VERSIONS_MAX).await? else {
        let message = format!("the document has more than {VERSIONS_MAX} versions");
        return Err(CommandError::new(Exit::Limit, message, "`cosmirror history` lists them all"));
    };
    if history.is_empty() {
        let message = format!("the mirror holds no document {id:?} with the partition key {key}");
        return Err(CommandError::new(Exit::NotFound, message, "search for its id without a partition key"));
    }
    Ok(Opened { reader, key, history })
}

pub(super) async fn history(mirror: &Mirror<'_>, asked: &Asked) -> Result<Bytes, CommandError> {
    let Opened { reader, key, history } = open(mirror, asked).await?;
    let origins = origins(reader.store.as_ref(), &reader.paths, &key, &history.id).await?;
    let mut told = view(&history, &origins);
    let left_off = told.versions.len().saturating_sub(VERSIONS_TOLD);
    told.versions.drain(..left_off);
    #[derive(Serialize)]
    struct Told<T> {
        #[serde(flatten)]
        history: T,
        /// Older versions that are not told.
        left_off: usize,
        /// Changes that cannot be read.
        unreadable: usize,
    }
    json_bytes(&Told { history: told, left_off, unreadable: history.unreadable.len() })
}

pub(super) async fn version(mirror: &Mirror<'_>, asked: &Asked) -> Result<Bytes, CommandError> {
    let opened = open(mirror, asked).await?;
    let name = required("version", asked.version.as_deref())?;
    let entry = shown(&opened.history, name)?;
    let encryption = entry.version.encryption.as_ref().map(Encryption::to_string);
    let (exists, absent, bytes) = match &encryption {
        // The daemon holds no key.
        Some(_) => (true, None, Bytes::new()),
        None => match look(&opened.reader, &opened.history, Which::Version(name)).await? {
            Seen::Document { bytes, .. } => (true, None, bytes),
            Seen::Absent(Absence { how, .. }) => (false, Some(how), Bytes::new()),
        },
    };
    let stored = std::str::from_utf8(&bytes).map_err(|_| {
        CommandError::new(Exit::Integrity, "the version is not UTF-8", "`cosmirror show --raw` writes its bytes")
    })?;
    let pretty = pretty_within(stored, PRETTY_BYTES_MAX);
    let source = format!("{}/{}", mirror.container.database, mirror.container.container);
    let restore = exists.then(|| restore_command(&source, &opened.history.id, &opened.key, name)).flatten();
    json_bytes(&json!({
        "id": opened.history.id,
        "partition_key": opened.key.to_json(),
        "version": name,
        "op": entry.version.op.as_str(),
        "ts": entry.version.ts,
        "etag": entry.version.etag,
        "bytes": entry.length,
        "sha256": entry.version.sha256,
        "exists": exists,
        "absent": absent,
        "encryption": encryption,
        "text": visible(pretty.as_deref().unwrap_or(stored)),
        "restore": restore,
    }))
}

/// A change with its values as the texts that they are: a browser does not read every number exactly.
#[derive(Debug, Serialize)]
struct Change {
    op: &'static str,
    path: String,
    path_from: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

pub(super) async fn difference(mirror: &Mirror<'_>, asked: &Asked) -> Result<Bytes, CommandError> {
    let Opened { reader, history, .. } = open(mirror, asked).await?;
    let (from, to) = (required("from", asked.from.as_deref())?, required("to", asked.to.as_deref())?);
    for name in [from, to] {
        if shown(&history, name)?.version.encryption.is_some() {
            let message = format!("the version {name} is encrypted, and the daemon holds no key");
            let remedy = "`cosmirror diff --identity FILE` compares it";
            return Err(CommandError::new(Exit::Unauthorized, message, remedy));
        }
    }
    let version = |name| Some(AskedSide::Mirror(Which::Version(name)));
    // Neither side is the container's, so it is never opened.
    let never =
        || async { Err(crate::failure::Failure::new(crate::failure::Kind::Internal, "the source was asked for")) };
    let sides = sides(&reader, &history, (version(from), version(to)), never).await?;
    let texts = [text(&sides.from, &history.id, false)?, text(&sides.to, &history.id, false)?];
    let documents = [document(&texts[0], &sides.from, &history.id)?, document(&texts[1], &sides.to, &history.id)?];
    let found = changes(documents[0].as_ref(), documents[1].as_ref());
    let view = View::new(&history, &sides, [documents[0].as_ref(), documents[1].as_ref()], found);
    let told: Vec<Change> = view.changes.iter().take(CHANGES_MAX).map(Change::of).collect();
    let sides: [Value; 2] = [&view.from, &view.to].map(|side| serde_json::to_value(side).unwrap_or_default());
    json_bytes(&json!({
        "from": sides[0],
        "to": sides[1],
        "equal": view.equal,
        "notes": view.notes,
        "left_off": view.changes.len() - told.len(),
        "changes": told,
    }))
}

impl Change {
    fn of(change: &ChangeView<'_>) -> Self {
        let visible = |text: String| visible(&text).into_owned();
        Self {
            op: change.op,
            path: visible(change.path.to_string()),
            path_from: change.path_from.as_ref().map(|path| visible(path.to_string())),
            from: change.from.as_ref().map(|json| visible(json.to_string())),
            to: change.to.as_ref().map(|json| visible(json.to_string())),
        }
    }
}

fn required<'t>(name: &str, text: Option<&'t str>) -> Result<&'t str, CommandError> {
    let text = text.ok_or_else(|| {
        CommandError::new(Exit::Usage, format!("{name} is missing"), "name a version that /browse/history lists")
    })?;
    bounded(name, text)
}

/// A version that is not too long to be shown.
fn shown<'a>(history: &'a DocumentHistory, name: &str) -> Result<&'a Entry, CommandError> {
    let entry = history.version(name).ok_or_else(|| {
        let message = format!("document {:?} has no version {name:?}", history.id);
        CommandError::new(Exit::NotFound, message, "name one that /browse/history lists")
    })?;
    if entry.length > DOCUMENT_BYTES_MAX {
        let message = format!("the version has {} bytes, more than {DOCUMENT_BYTES_MAX}", entry.length);
        return Err(CommandError::new(Exit::Limit, message, "`cosmirror show --raw` writes them"));
    }
    Ok(entry)
}
