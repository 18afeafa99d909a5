//! Any id and any partition key have one name of their own, from which they can be read unless it is hashed.
//!
//! The encoding is written here a second time, after `docs/formats.md`, so that the code is not held to itself.

#![no_main]

use cosmirror_formats::version::sha256_hex;
use cosmirror_formats::{KeyValue, MirrorPaths, PartitionKey, Version};
use cosmirror_formats_fuzz::{AnyDocument, AnyVersion};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    first: AnyVersion,
    second: AnyDocument,
    /// Whether the second differs from the first in its id only.
    alike: bool,
    prefix: Option<u8>,
}

fuzz_target!(|input: Input| {
    let prefix = input.prefix.map_or_else(String::new, |length| "p".repeat(length.into()));
    let paths = MirrorPaths::new(&prefix, "shop", "orders/ü");
    let version = input.first.version();
    let (key, id) = (version.pk.clone(), version.id.clone());
    let name = paths.document(&key, &id);
    check(&paths, &key, &id, &name);
    let read = Version::from_metadata(&version.to_metadata()).expect("our own metadata");
    assert_eq!(paths.document(&read.pk, &read.id), name);

    let other_key = if input.alike { key.clone() } else { input.second.key() };
    let other_id = input.second.id();
    let other = paths.document(&other_key, &other_id);
    assert_eq!(name == other, key == other_key && id == other_id, "{key} {id:?}, {other_key} {other_id:?}");
});

fn check(paths: &MirrorPaths, key: &PartitionKey, id: &str, name: &str) {
    assert!(name.is_ascii() && name.len() <= 1_024, "{name}");
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    assert!(name.bytes().all(kept), "{name}");
    let components = name.strip_prefix(&paths.documents()).and_then(|name| name.strip_suffix(".json"));
    let components: Vec<&str> = components.expect("a document's name").split('/').collect();
    let texts: Vec<String> = key.0.iter().map(component).chain([escaped(id)]).collect();
    assert_eq!(components.len(), texts.len(), "{name}");
    let hashed = |text: &str| format!("~h{}", sha256_hex(text.as_bytes()));
    if components.iter().zip(&texts).all(|(component, text)| **component == hashed(text)) {
        return;
    }
    let begin = paths.documents_of_key(&PartitionKey(key.0[..1].to_vec()));
    assert!(name.starts_with(&begin), "{name} {begin}");
    for (component, text) in components.iter().zip(&texts) {
        assert!(!component.is_empty() && !component.ends_with('.'), "{name}");
        if text.len() <= 200 {
            assert_eq!(component, text, "{name}");
            continue;
        }
        let readable = component.strip_suffix(&hashed(text)).expect("the hash at the end");
        assert!(text.starts_with(readable) && (98..=100).contains(&readable.len()), "{name}");
        assert_eq!(unescaped(readable).map(|_| ()), Some(()), "an escape is torn: {name}");
    }
    let id_component = components[components.len() - 1];
    if escaped(id).len() <= 200 {
        assert_eq!(unescaped(id_component).as_deref(), Some(id.as_bytes()), "{name}");
    }
}

fn component(value: &KeyValue) -> String {
    match value {
        KeyValue::String(text) if text.is_empty() => "~e".to_owned(),
        KeyValue::String(text) => escaped(text),
        KeyValue::Number(number) => {
            let text = number_text(*number);
            assert_eq!(text.parse::<f64>().ok(), Some(*number), "{text} is another number");
            format!("~n{text}")
        }
        KeyValue::Bool(true) => "~t".to_owned(),
        KeyValue::Bool(false) => "~f".to_owned(),
        KeyValue::Null => "~z".to_owned(),
        KeyValue::Undefined => "~u".to_owned(),
    }
}

fn number_text(number: f64) -> String {
    let magnitude = number.abs();
    match magnitude {
        0.0 => "0".to_owned(),
        1e-7..1e21 => number.to_string(),
        _ => format!("{number:e}"),
    }
}

fn escaped(text: &str) -> String {
    let dots = text.bytes().all(|byte| byte == b'.');
    let trailing = text.len().wrapping_sub(1);
    let one = |(place, byte): (usize, u8)| match byte {
        b'.' if dots || place == trailing => "~2E".to_owned(),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("~{byte:02X}"),
    };
    text.bytes().enumerate().map(one).collect()
}

/// The bytes a component stands for; none where an escape is torn or none.
fn unescaped(component: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = component;
    while let Some(first) = rest.bytes().next() {
        if first == b'~' {
            bytes.push(u8::from_str_radix(rest.get(1..3)?, 16).ok()?);
            rest = &rest[3..];
        } else {
            bytes.push(first);
            rest = &rest[1..];
        }
    }
    Some(bytes)
}
