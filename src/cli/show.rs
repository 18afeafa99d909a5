//! `show`: one document, as it is in the mirror or as it was.

use bytes::Bytes;

use super::Context;
use super::args::ShowArgs;
use super::history::{key_or_only, open_mirror};
use super::look::{Absence, Seen, Which, look};
use crate::failure::{CommandError, Exit};
use crate::history::{DocumentHistory, MirrorReader};
use crate::json_text;

/// Runs the command.
pub(super) async fn run(args: &ShowArgs, context: &Context) -> Result<(), CommandError> {
    let mirror = open_mirror(context, context.source_container(&args.source)?).await?;
    let key = key_or_only(&mirror, args.key.key(), &args.id).await?;
    let history = mirror.history(&key, &args.id).await?;
    if history.is_empty() {
        return Err(mirror.not_found(&key, &args.id).await);
    }
    let which = match (&args.version, &args.at) {
        (Some(version), _) => Which::Version(version),
        (None, Some(at)) => Which::At(at.as_second()),
        (None, None) => Which::Newest,
    };
    let bytes = document(&mirror, &history, which).await?;
    if args.raw {
        return context.output.bytes(&bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    if context.output.format.is_json() {
        return context.output.line(json_text::compact(&text));
    }
    context.output.line(json_text::visible(&json_text::pretty(&text)))
}

/// The stored bytes of what was asked for.
async fn document(mirror: &MirrorReader, history: &DocumentHistory, which: Which<'_>) -> Result<Bytes, CommandError> {
    match look(mirror, history, which).await? {
        Seen::Document { bytes, .. } => Ok(bytes),
        Seen::Absent(absence) => Err(absent(&history.id, &absence)),
    }
}

fn absent(id: &str, absence: &Absence<'_>) -> CommandError {
    let remedy = match (absence.entry, absence.before) {
        (None, _) => "`cosmirror history` says since when it exists".to_owned(),
        (Some(_), Some(before)) => format!("show it as it was before: --version {}", before.place.version()),
        (Some(_), None) => "`cosmirror history` lists what there is of it".to_owned(),
    };
    CommandError::new(Exit::NotFound, format!("document {id:?} {}", absence.how), remedy)
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::{Op, Version};
    use serde_json::json;

    use super::*;
    use crate::history::memory::{covered_store, key, reader, version};

    async fn shown(which: Which<'_>) -> Result<String, CommandError> {
        let store = covered_store(&json!({"defaultTtl": -1}));
        for (lsn, text) in [(1, r#"{"n":1.10}"#), (2, r#"{"n":2,"ttl":50}"#)] {
            let ts = 1000 + i64::try_from(lsn).unwrap() * 100;
            let op = if lsn == 1 { Op::Create } else { Op::Replace };
            store.add_version(Version { op, ..version("d", &format!("e{lsn}"), ts, Some(lsn), b"") }, text);
        }
        let deleted = Version { op: Op::Delete, etag: None, ..version("d", "", 1300, Some(3), b"") };
        store.add_version(deleted, "");
        let mirror = reader(&store).await;
        let history = mirror.history(&key("p"), "d").await.unwrap();
        let bytes = document(&mirror, &history, which).await?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn an_instant_shows_the_bytes_of_that_time() {
        assert_eq!(shown(Which::At(1199)).await.unwrap(), r#"{"n":1.10}"#);
        assert_eq!(shown(Which::At(1200)).await.unwrap(), r#"{"n":2,"ttl":50}"#);
    }

    #[tokio::test]
    async fn a_document_that_was_not_there_then_says_since_or_until_when() {
        for (which, part) in [
            (Which::At(1099), "did not exist yet"),
            (Which::At(1250), "time to live at 1970-01-01T00:20:50Z"),
            (Which::At(1300), "deleted at 1970-01-01T00:21:40Z"),
            (Which::Newest, "deleted at 1970-01-01T00:21:40Z"),
            (Which::Version("v9"), "no version"),
        ] {
            let error = shown(which).await.unwrap_err();
            assert_eq!(error.exit, Exit::NotFound);
            assert!(error.message.contains(part), "{}", error.message);
            let remedy = if part.contains("yet") { "history" } else { "before: --version v4" };
            assert!(error.remedy.contains(remedy) || part.contains("no version"), "{}", error.remedy);
        }
    }

    #[tokio::test]
    async fn an_instant_outside_the_window_is_refused() {
        assert_eq!(shown(Which::At(2001)).await.unwrap_err().exit, Exit::NotCovered);
        assert_eq!(shown(Which::At(99)).await.unwrap_err().exit, Exit::NotCovered);
    }

    #[tokio::test]
    async fn a_version_is_shown_by_the_name_that_the_history_gives() {
        // The store's first two puts are the mirror's own records.
        assert_eq!(shown(Which::Version("v3")).await.unwrap(), r#"{"n":1.10}"#);
    }
}
