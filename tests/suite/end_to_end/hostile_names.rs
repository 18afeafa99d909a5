//! Ids and partition keys that are hard on URLs, paths, XML, shells and people.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::documents::Document;
use super::emulator::Change;
use super::oracle::{Name, assert_every_change_once, assert_latest_versions, live, live_as_sent};
use super::world::{ALL_VERSIONS, LATEST_VERSION, Target, World};

/// Commands that run at the same time.
const COMMANDS_AT_ONCE: usize = 3;

const IDS: [&str; 44] = [
    ".",
    "..",
    "...",
    ".a",
    "a.",
    "a..b",
    " ",
    " a",
    "a ",
    "a b",
    "a\tb",
    "a\nb",
    "\r",
    "\u{1}",
    "\u{7f}",
    "a#b",
    "a?b",
    "a&b=c",
    "100%",
    "%41",
    "%2F",
    "%2e%2e",
    "a+b",
    "\"",
    "it's",
    "`$(x)`",
    "<a>&amp;",
    "~",
    "~41",
    "~e",
    "~h",
    "A",
    "a",
    "é",
    "e\u{301}",
    "🦀",
    "\u{202e}abc",
    "\u{feff}",
    "-rf",
    "--",
    "con",
    "null",
    "{}",
    "a:b*c|d",
];

/// Partition keys of one component. `{}` is a document without the property.
const KEYS: [&str; 25] = [
    r#""p""#,
    r#""""#,
    "1",
    "1.5",
    "-0.25",
    "1e300",
    "9007199254740991",
    "true",
    "false",
    "null",
    "{}",
    r#""1""#,
    r#""true""#,
    r#""null""#,
    r#""{}""#,
    r#""~e""#,
    r#""~n1""#,
    r#""a/b""#,
    r#""a\\b""#,
    r#""..""#,
    r#"".""#,
    r#"" ""#,
    r#""\t""#,
    r#""00000000000000000001""#,
    r#""☃""#,
];

/// Partition keys of three components.
const TREES: [[&str; 3]; 12] = [
    [r#""a""#, r#""b""#, r#""c""#],
    [r#""a/b""#, r#""c""#, r#""""#],
    [r#""a""#, r#""b/c""#, r#""""#],
    [r#""a""#, r#""b""#, r#""""#],
    [r#""a""#, r#""b""#, "{}"],
    [r#""a""#, r#""b""#, "null"],
    [r#""a""#, "{}", "{}"],
    ["{}", "{}", "{}"],
    ["null", "null", "null"],
    ["1", "true", "false"],
    [r#""1""#, r#""true""#, r#""false""#],
    [r#""..""#, r#"".""#, r#""~""#],
];

/// A document of a key whose components are at these properties.
fn document(properties: &[&str], components: &[&str], id: &str) -> Document {
    let defined = properties.iter().zip(components).filter(|(_, component)| **component != "{}");
    let members: String = defined.map(|(name, component)| format!("\"{name}\":{component},")).collect();
    let text = format!("{{{members}\"n\":1.10,\"id\":{}}}", Value::from(id));
    Document { key: format!("[{}]", components.join(",")), id: id.to_owned(), text }
}

/// Documents of containers with the partition keys `/pk` and `/t`, `/u`, `/v`.
pub(super) fn documents() -> (Vec<Document>, Vec<Document>) {
    let long = ["☃".repeat(255), "x".repeat(255)];
    let ids = IDS.iter().copied().chain(long.iter().map(String::as_str));
    let mut plain: Vec<Document> = ids.map(|id| document(&["pk"], &[r#""p""#], id)).collect();
    plain.extend(KEYS.iter().map(|key| document(&["pk"], &[key], "x")));
    let wide = format!("\"{}\"", "☃ ".repeat(200));
    plain.push(document(&["pk"], &[&wide], "x"));
    let mut tree: Vec<Document> = TREES.iter().map(|key| document(&["t", "u", "v"], key, "..")).collect();
    tree.push(document(&["t", "u", "v"], &[&wide, &wide, &wide], &long[0]));
    (plain, tree)
}

/// Arguments that name a document's key: `--pk` for each string, else `--pk-json`.
fn key_arguments(key: &str) -> Vec<String> {
    let components: Vec<Value> = serde_json::from_str(key).unwrap();
    match components.iter().map(|component| component.as_str()).collect::<Option<Vec<&str>>>() {
        Some(strings) => strings.iter().map(|text| format!("--pk={text}")).collect(),
        None => vec!["--pk-json".to_owned(), key.to_owned()],
    }
}

/// Every document is shown as it is.
async fn assert_shown(world: &World, container: &str) {
    let source = format!("shop/{container}");
    let live = live(&world.history(container).await);
    let shows = stream::iter(&live).map(|((key, id), text)| {
        let source = source.as_str();
        async move {
            let key = key_arguments(key);
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            let shown = world.succeed(&[&["show", "--raw", "--source", source], &key[..], &["--", id]].concat()).await;
            assert_eq!(String::from_utf8_lossy(&shown), *text, "{id:?}");
            Ok::<_, std::convert::Infallible>(())
        }
    });
    shows.buffer_unordered(COMMANDS_AT_ONCE).try_collect::<()>().await.unwrap();
}

#[tokio::test]
async fn every_id_and_key_has_one_blob_and_is_shown_as_it_is() {
    let containers = [("plain", ALL_VERSIONS), ("tree", ALL_VERSIONS), ("newest", LATEST_VERSION)];
    let world = World::new(&containers, Target::Blobs).await;
    let (plain, tree) = documents();
    for (container, paths, documents) in
        [("plain", &["/pk"][..], &plain), ("tree", &["/t", "/u", "/v"], &tree), ("newest", &["/t", "/u", "/v"], &tree)]
    {
        world.source(container).make(paths).await;
        for Document { key, text, .. } in documents {
            world.source(container).put(key, text).await;
        }
    }
    world.catch_up().await;
    let mirror = world.mirror().await;
    for name in mirror.keys() {
        assert!(name.is_ascii() && name.len() <= 1_024, "{name}");
        assert!(
            !name.split('/').any(|part| part.trim_end_matches('.').len() != part.len() || part.is_empty()),
            "{name}"
        );
    }
    let folded: BTreeSet<String> = mirror.keys().map(|name| name.to_lowercase()).collect();
    assert_eq!(folded.len() + 1, mirror.len(), "only the ids a and A differ by case alone");
    for (container, count) in [("plain", plain.len()), ("tree", tree.len())] {
        let history = world.history(container).await;
        assert_eq!(live(&history).len(), count);
        assert_every_change_once(&history, history.len() as u64, &mirror, container);
    }
    assert_latest_versions(&world.history("newest").await, &mirror, "newest");
    for (container, _) in containers {
        assert_shown(&world, container).await;
    }
}

/// Deletes every second document and changes the others.
async fn disturb(world: &World, container: &str, documents: &[Document]) {
    let source = world.source(container);
    for (place, Document { key, id, text }) in documents.iter().enumerate() {
        if place % 2 == 0 {
            source.delete(key, id).await;
        } else {
            source.put(key, &text.replace("1.10", "2.20")).await;
        }
    }
}

fn state(history: &[Change], name: &Name) -> Option<String> {
    live_as_sent(history).remove(name)
}

#[tokio::test]
async fn deleted_and_changed_documents_of_any_name_come_back() {
    let containers = [("plain", ALL_VERSIONS), ("tree", ALL_VERSIONS)];
    let world = World::new(&containers, Target::Blobs).await;
    let (plain, tree) = documents();
    world.source("plain").make(&["/pk"]).await;
    world.source("tree").make(&["/t", "/u", "/v"]).await;
    for (container, documents) in [("plain", &plain), ("tree", &tree)] {
        for Document { key, text, .. } in documents {
            world.source(container).put(key, text).await;
        }
    }
    world.catch_up().await;
    world.emulator.advance(5).await;
    for (container, documents) in [("plain", &plain), ("tree", &tree)] {
        let (at, held) = (world.complete_until(container).await, world.history(container).await);
        disturb(&world, container, documents).await;
        world.catch_up().await;
        assert_every_change_once(&world.history(container).await, held.len() as u64, &world.mirror().await, container);
        let source = format!("shop/{container}");
        let restore = ["restore", "--yes", "--at", &at, "--source", &source];
        for Document { key, id, .. } in documents.iter().take(16) {
            let key_arguments = key_arguments(key);
            let key_arguments: Vec<&str> = key_arguments.iter().map(String::as_str).collect();
            world.succeed(&[&restore[..], &["--id", id], &key_arguments].concat()).await;
            let key: Value = serde_json::from_str(key).unwrap();
            let name = (key.to_string(), id.clone());
            assert_eq!(state(&world.history(container).await, &name), state(&held, &name), "{name:?}");
        }
        world.succeed(&[&restore[..], &["--all"]].concat()).await;
        assert_eq!(live_as_sent(&world.history(container).await), live_as_sent(&held));
    }
}
