//! Partition keys in every form: as text, in a document at any path, and as a delete tells them.

#![no_main]

use cosmirror_formats::{KeyDefinition, KeyValue, PartitionKey};
use cosmirror_formats_fuzz::AnyDocument;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

#[derive(Arbitrary, Debug)]
struct Input {
    key: AnyDocument,
    /// A key's text as a user may give it.
    text: String,
    /// Definitions as they may come from an account.
    paths: Vec<String>,
    /// A path that can be followed in a tree as well: names without slashes and quotes.
    names: Vec<String>,
    document: String,
}

fuzz_target!(|input: Input| {
    round_trip(&input.key.key());
    if let Ok(value) = serde_json::from_str::<Value>(&input.text)
        && let Some(key) = PartitionKey::from_json(&value)
    {
        round_trip(&key);
    }
    let definition = KeyDefinition::new(&input.paths);
    let _ = definition.of_document(&input.document);
    if let Ok(tree) = serde_json::from_str::<Value>(&input.document) {
        let _ = definition.of_delete(&tree);
        followed(&input, &tree);
    }
    placed(&input);
});

fn round_trip(key: &PartitionKey) {
    let text = key.to_string();
    let value: Value = serde_json::from_str(&text).expect("our own text");
    let read = PartitionKey::from_json(&value).expect("our own text");
    assert_eq!(read, *key, "{text}");
    assert_eq!(read.to_string(), text);
}

fn plain(names: &[String]) -> Option<Vec<&str>> {
    let names: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
    (!names.is_empty() && !names.iter().any(|name| name.is_empty() || name.contains(['/', '"']))).then_some(names)
}

/// A key found in a document's text is the one found in its tree.
fn followed(input: &Input, tree: &Value) {
    let Some(names) = plain(&input.names).filter(|_| tree.is_object()) else { return };
    let definition = KeyDefinition::new([format!("/{}", names.join("/"))]);
    let found = names.iter().try_fold(tree, |at, name| at.as_object()?.get(*name));
    let expected = found.filter(|value| !value.is_object() && !value.is_array()).and_then(KeyValue::from_json);
    let key = definition.of_document(&input.document).expect("it is JSON");
    assert_eq!(key.0, [expected.unwrap_or(KeyValue::Undefined)]);
}

/// A key that is put into a document at a path is found there, and in both forms of a delete.
fn placed(input: &Input) {
    let Some(names) = plain(&input.names) else { return };
    let value = input.key.key().0.swap_remove(0);
    let definition = KeyDefinition::new([format!("/{}", names.join("/"))]);
    let mut tree = match &value {
        KeyValue::Undefined => json!({}),
        value => names.iter().rev().fold(value.to_json(), |inner, name| json!({ *name: inner })),
    };
    let key = PartitionKey(vec![value]);
    assert_eq!(definition.of_document(&tree.to_string()).expect("it is JSON"), key);
    assert_eq!(definition.of_delete(&tree).as_ref(), Some(&key));
    assert_eq!(definition.of_delete(&key.to_json()), Some(key));
    tree["another"] = 1.into();
    assert!(definition.of_delete(&json!([])).is_none());
}
