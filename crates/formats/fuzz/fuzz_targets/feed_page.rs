//! Whatever a feed page holds as an entry: a change whose document is a part of the entry, or a reason. Never a panic.
//!
//! The first byte chooses whether the rest is an entry as it is, a document in an envelope, or a flat document; what was read is
//! compared with what a general JSON reader finds, wherever that can read it.

#![no_main]

use cosmirror_formats::feed_page::{SystemProperties, parse_change, without_system_properties};
use cosmirror_formats::{Change, KeyDefinition, PartitionKey};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;

const SYSTEM: [&str; 6] = ["_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"];

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((&shape, rest)) = data.split_first() else { return Corpus::Reject };
    let paths: &[&str] = match shape >> 4 {
        0 | 8.. => &["/pk"],
        1..4 => &["/t", "/u", "/v"],
        _ => &["/a/b", "/\"x/y\""],
    };
    let definition = KeyDefinition::new(paths);
    match shape & 3 {
        0 | 1 => check(rest, &definition),
        shape => {
            let Ok(document) = std::str::from_utf8(rest) else { return Corpus::Reject };
            let Some(open) = document.strip_suffix('}') else { return Corpus::Reject };
            // The service appends its properties; without a member before them there is no comma.
            let comma = if open.trim_end().ends_with('{') { "" } else { "," };
            let system = r#""_rid":"r","_self":"s","_etag":"\"7\"","_attachments":"","_ts":1700000000"#;
            let entry = if shape == 2 {
                format!(
                    r#"{{"current":{open}{comma}{system}}},"metadata":{{"lsn":9,"crts":5,"operationType":"replace"}}}}"#
                )
            } else {
                format!(r#"{open}{comma}{system},"_lsn":44}}"#)
            };
            check(entry.as_bytes(), &definition);
        }
    }
    Corpus::Keep
});

fn check(entry: &[u8], definition: &KeyDefinition) {
    let change = match parse_change(entry, definition) {
        Ok(change) => change,
        Err(reason) => {
            assert!(!reason.to_string().is_empty());
            return;
        }
    };
    if change.operation.is_delete() {
        assert!(change.document.is_empty() && change.etag.is_none() && change.lsn.is_some(), "{change:?}");
        assert_eq!(change.pk.0.len(), definition.levels());
        return;
    }
    let (outer, inner) = (entry.as_ptr_range(), change.document.as_bytes().as_ptr_range());
    assert!(outer.start <= inner.start && inner.end <= outer.end, "the document is no part of the entry");
    assert!(change.etag.is_some(), "{change:?}");
    let properties = SystemProperties::of(change.document).expect("it was read before");
    assert_eq!((Some(&change.id), &change.etag), (properties.id.as_ref(), &properties.etag));
    let stripped = without_system_properties(change.document).expect("it was read before");
    // Numbers out of range, deep nesting and halves of pairs are more than a tree can hold.
    if let Ok(tree) = serde_json::from_str::<Value>(change.document) {
        compare(&change, &tree, definition);
        assert_eq!(own(&serde_json::from_str(&stripped).expect("JSON")), own(&tree), "{stripped}");
        assert!(
            SYSTEM[..5]
                .iter()
                .all(|name| serde_json::from_str::<Value>(&stripped).is_ok_and(|v| v.get(name).is_none()))
        );
    }
}

/// The members that are a client's.
fn own(tree: &Value) -> Value {
    let mut tree = tree.clone();
    if let Some(members) = tree.as_object_mut() {
        members.retain(|name, _| !SYSTEM.contains(&name.as_str()));
    }
    tree
}

fn compare(change: &Change<'_>, tree: &Value, definition: &KeyDefinition) {
    assert_eq!(tree["id"].as_str(), Some(change.id.as_str()));
    assert_eq!(tree["_etag"].as_str(), change.etag.as_deref());
    let key: Vec<Value> = match definition.levels() {
        1 => vec![at(tree, &["pk"])],
        3 => vec![at(tree, &["t"]), at(tree, &["u"]), at(tree, &["v"])],
        _ => vec![at(tree, &["a", "b"]), at(tree, &["x/y"])],
    };
    assert_eq!(PartitionKey::from_json(&Value::Array(key)), Some(change.pk.clone()), "{tree}");
}

/// The scalar at a path; an empty object, which stands for none, where there is no scalar.
fn at(tree: &Value, path: &[&str]) -> Value {
    let found = path.iter().try_fold(tree, |at, name| at.as_object()?.get(*name));
    found.filter(|value| !value.is_object() && !value.is_array()).cloned().unwrap_or_else(|| serde_json::json!({}))
}
