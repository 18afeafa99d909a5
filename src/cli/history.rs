//! `history`: the versions of one document, oldest first.

use std::sync::Arc;

use cosmirror_formats::{MirrorPaths, PartitionKey};

use super::Context;
use super::args::HistoryArgs;
use super::output::Format;
use super::table;
use crate::config::Container;
use crate::encryption::Identities;
use crate::failure::CommandError;
use crate::history::{MirrorReader, instant, origins};
use crate::look::versions::{VersionView, View, view};
use crate::run::open_mirror_store;
use crate::store::VersionStore;

/// Runs the command.
pub(super) async fn run(args: &HistoryArgs, context: &Context) -> Result<(), CommandError> {
    let mirror = open_mirror(context, context.source_container(&args.source)?, &Identities::default()).await?;
    let key = key_or_only(&mirror, args.key.key(), &args.id).await?;
    let history = mirror.history(&key, &args.id).await?;
    if history.is_empty() {
        return Err(mirror.not_found(&key, &args.id).await);
    }
    for letter in &history.unreadable {
        tracing::warn!(name = letter.name, "a change of this document is a dead letter that cannot be parsed");
    }
    let origins = origins(mirror.store.as_ref(), &mirror.paths, &key, &args.id).await?;
    let view = view(&history, &origins);
    match context.output.format {
        Format::Json => context.output.json(&view),
        Format::Ndjson => view.versions.iter().try_for_each(|version| context.output.json(version)),
        Format::Text | Format::JsonPatch => text(&view).iter().try_for_each(|line| context.output.line(line)),
    }
}

/// One container's mirror in the configured target. Without `identities` what is encrypted stays closed.
pub(super) async fn open_mirror(
    context: &Context,
    container: &Container,
    identities: &Identities,
) -> Result<MirrorReader, CommandError> {
    let (store, paths) = mirror_of(context, container)?;
    let mut mirror = MirrorReader::open_with(store, paths, identities.clone()).await?;
    if context.mirror.is_none() {
        mirror.source = Some((context.config.config.clone(), container.clone()));
    }
    Ok(mirror)
}

/// Where one container's mirror is.
pub(super) fn mirror_of(
    context: &Context,
    container: &Container,
) -> Result<(Arc<dyn VersionStore>, MirrorPaths), CommandError> {
    let config = &context.config.config;
    let paths = MirrorPaths::new(&config.target.prefix, &container.database, &container.container);
    Ok((open_mirror_store(config)?, paths))
}

/// The key that was given, or the only one under which the id occurs.
pub(super) async fn key_or_only(
    mirror: &MirrorReader,
    key: Option<PartitionKey>,
    id: &str,
) -> Result<PartitionKey, CommandError> {
    match key {
        Some(key) => Ok(key),
        None => mirror.only_key_of(id).await,
    }
}

fn text(view: &View<'_>) -> Vec<String> {
    let width = view.versions.iter().map(|version| version.version.len()).max().unwrap_or_default().max(7);
    let several = view.versions.windows(2).any(|two| two[0].generation != two[1].generation);
    let generation = if several { "  GENERATION" } else { "" };
    // Only what another column stands behind is filled up.
    let origins =
        view.versions.iter().filter(|_| several).map(|version| version.origin.len().max(6)).max().unwrap_or(0);
    let mut lines = vec![
        table::printable(&format!("{} of partition key {}", view.id, view.partition_key)),
        format!(
            "  {:<20}  {:<9}  {:>9}  {:<width$}  {:<origins$}{generation}",
            "TIME", "OP", "BYTES", "VERSION", "ORIGIN"
        )
        .trim_end()
        .to_owned(),
    ];
    for (at, version) in view.versions.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &view.versions[before]);
        if let Some(before) = before.filter(|before| before.generation != version.generation) {
            lines.extend(recreated(before));
        }
        let mark = if version.current { '*' } else { ' ' };
        let omitted = version.omitted.map(|omitted| format!("  ({omitted} left out before it)")).unwrap_or_default();
        let generation = if several { format!("  {}", version.generation) } else { String::new() };
        let line = format!(
            "{mark} {:<20}  {:<9}  {:>9}  {:<width$}  {:<origins$}{generation}{omitted}",
            instant(version.ts),
            version.op,
            version.bytes,
            version.version,
            version.origin
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.extend(view.versions.last().and_then(recreated));
    lines
}

/// That the life which the version belongs to has ended.
fn recreated(version: &VersionView<'_>) -> Option<String> {
    let ended = version.life.ended.map(instant)?;
    Some(format!("  {ended}  the container was created anew by then; what it had held was gone"))
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::Op;

    use super::*;
    use crate::history::memory::{entry, history};
    use crate::history::{Life, Origins};

    #[test]
    fn golden_json_of_a_history() {
        let mut tombstone = entry("", 20, Some(2));
        tombstone.version.etag = None;
        tombstone.version.op = Op::Delete;
        tombstone.current = true;
        tombstone.version.sha256 = "00".to_owned();
        let mut created = entry("\"e\"", 10, Some(1));
        created.version.sha256 = "ff".to_owned();
        created.length = 5;
        let (history, origins) = (history(vec![created, tombstone]), Origins::default());
        let golden = concat!(
            r#"{"id":"d","partition_key":["p"],"versions":["#,
            r#"{"version":"\"e\"","op":"replace","ts":10,"lsn":1,"etag":"\"e\"","bytes":5,"sha256":"ff","current":false,"origin":"feed","generation":"rid"},"#,
            r#"{"version":"","op":"delete","ts":20,"lsn":2,"etag":null,"bytes":0,"sha256":"00","current":true,"origin":"feed","generation":"rid"}]}"#,
        );
        assert_eq!(serde_json::to_string(&view(&history, &origins)).unwrap(), golden);
    }

    #[test]
    fn what_was_left_out_beneath_a_version_shows() {
        let mut thinned = entry("v2", 20, Some(9));
        thinned.version.omitted = Some(7);
        let (history, origins) = (history(vec![entry("v1", 10, Some(1)), thinned]), Origins::default());
        let view = view(&history, &origins);
        assert!(text(&view)[3].ends_with("feed  (7 left out before it)"), "{:?}", text(&view));
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!((json["versions"][1]["omitted"].as_u64(), json["versions"][0].get("omitted")), (Some(7), None));
    }

    #[test]
    fn versions_of_an_earlier_life_of_the_container_are_told_apart() {
        let mut old = entry("v1", 10, Some(1));
        old.life = Life { began: None, ended: Some(15) };
        let mut young = entry("v2", 20, Some(2));
        young.version.rid = "other".to_owned();
        young.life = Life { began: Some(15), ended: None };
        let both = history(vec![old.clone(), young]);
        let lines = text(&view(&both, &Origins::default()));
        assert!(lines[1].ends_with("ORIGIN  GENERATION") && lines[2].ends_with("feed    rid"), "{lines:?}");
        assert!(lines[3].contains("1970-01-01T00:00:15Z") && lines[3].contains("created anew"), "{lines:?}");
        assert!(lines[4].ends_with("feed    other") && lines.len() == 5, "{lines:?}");
        let lines = text(&view(&history(vec![old]), &Origins::default()));
        assert!(lines[1].ends_with("ORIGIN") && lines[3].contains("created anew"), "{lines:?}");
    }

    #[test]
    fn the_table_marks_the_current_version() {
        let mut current = entry("v2", 20, Some(2));
        current.current = true;
        let history = history(vec![entry("v1", 10, Some(1)), current]);
        let lines = text(&view(&history, &Origins::default()));
        assert_eq!(lines[1], "  TIME                  OP             BYTES  VERSION  ORIGIN");
        assert_eq!(lines[3], "* 1970-01-01T00:00:20Z  replace            0  v2       feed");
    }
}
