//! `show`: one document, as it is in the mirror or as it was.

use bytes::Bytes;

use super::Context;
use super::args::ShowArgs;
use super::history::{key_or_only, open_mirror};
use crate::failure::{CommandError, Exit};
use crate::history::{DocumentHistory, MirrorReader};
use crate::json_text;
use crate::look::{Absence, Seen, Which, covered, look};

/// Runs the command.
pub(super) async fn run(args: &ShowArgs, context: &Context) -> Result<(), CommandError> {
    let identities = args.identity.read()?;
    let mirror = open_mirror(context, context.source_container(&args.source)?, &identities).await?;
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
    let instants: Vec<i64> = args.at.iter().map(|at| at.as_second()).collect();
    let (mirror, history) = covered(mirror, history, &instants).await?;
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

/// The bytes of what was asked for.
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
    use crate::history::memory::{covered_in_latest_version, covered_store, key, reader, settings_changed, version};

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
        let instants = if let Which::At(at) = which { vec![at] } else { Vec::new() };
        let (mirror, history) = covered(mirror, history, &instants).await?;
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
    async fn a_default_time_to_live_that_came_later_makes_no_document_vanish_from_before() {
        let store = covered_store(&json!({}));
        store.add_version(Version { op: Op::Create, ..version("d", "e", 1000, Some(1), b"") }, "{}");
        settings_changed(&store, &json!({"defaultTtl": 60}));
        let mirror = reader(&store).await;
        let history = mirror.history(&key("p"), "d").await.unwrap();
        assert!(document(&mirror, &history, Which::At(1059)).await.is_ok());
        let refusal = document(&mirror, &history, Which::At(1060)).await.unwrap_err();
        assert_eq!(refusal.exit, Exit::NotCovered);
        assert!(refusal.message.contains("which of off, 60 s was in force"), "{}", refusal.message);
        assert!(document(&mirror, &history, Which::Newest).await.is_ok());
    }

    #[tokio::test]
    async fn a_feed_without_deletes_shows_the_newest_version_as_far_as_deletes_were_looked_for() {
        let store = covered_in_latest_version(&json!({"defaultTtl": -1}));
        for (lsn, ts, text) in [(1, 1000, r#"{"n":1}"#), (2, 1600, r#"{"n":2,"ttl":100}"#)] {
            store.add_version(version("d", &format!("e{lsn}"), ts, Some(lsn), b""), text);
        }
        store.add_version(version("other", "x", 1000, Some(3), b""), "{}");
        let mirror = reader(&store).await;
        let at = async |id: &str, at| {
            let history = mirror.history(&key("p"), id).await.unwrap();
            document(&mirror, &history, Which::At(at)).await.map_err(|error| (error.exit, error.message))
        };
        assert!(at("other", 1500).await.is_ok());
        let (exit, message) = at("other", 1501).await.unwrap_err();
        assert_eq!(exit, Exit::NotCovered);
        assert!(message.ends_with("not known yet: deletes are known up to 1970-01-01T00:25:00Z"), "{message}");
        assert!(at("d", 1599).await.is_ok(), "a later version says that it was there");
        assert_eq!(at("d", 1600).await.unwrap_err().0, Exit::NotCovered);
        assert_eq!(at("d", 1700).await.unwrap_err().0, Exit::NotFound, "it has expired, whether it was deleted or not");
    }

    #[tokio::test]
    async fn what_was_stored_while_coverage_was_waited_for_is_shown() {
        let store = covered_store(&json!({}));
        store.add_version(Version { op: Op::Create, ..version("d", "e", 1000, Some(1), b"") }, r#"{"n":1}"#);
        let mirror = reader(&store).await;
        let history = mirror.history(&key("p"), "d").await.unwrap();
        store.add_version(version("d", "f", 1100, Some(2), b""), r#"{"n":2}"#);
        let (mirror, history) = covered(mirror, history, &[1200]).await.unwrap();
        assert_eq!(document(&mirror, &history, Which::At(1200)).await.unwrap(), r#"{"n":2}"#);
    }

    #[tokio::test]
    async fn a_version_is_shown_by_the_name_that_the_history_gives() {
        // The store's first two puts are the mirror's own records.
        assert_eq!(shown(Which::Version("v3")).await.unwrap(), r#"{"n":1.10}"#);
    }
}
