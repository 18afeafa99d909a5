//! A page of a listing as its readers take it: names with metadata, either of which may be anybody's.
//!
//! The page itself is XML, which the SDK decodes, and what turns the SDK's items into heads cannot be reached without the SDK. So this
//! begins where our own work begins, with each item's name and metadata. That XML carries both unchanged is a property of
//! the emulator's writer and reader (`crates/emulator/src/blob/xml.rs`), and the store contract's over the SDK.

#![no_main]

use std::collections::BTreeMap;

use cosmirror_formats::{MirrorPaths, PartitionKey, Version};
use cosmirror_formats_fuzz::AnyVersion;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const ITEMS_MAX: usize = 8;

#[derive(Arbitrary, Debug)]
enum Name {
    Own,
    OfAnother(u8),
    Foreign(String),
}

#[derive(Arbitrary, Debug)]
struct Item {
    version: AnyVersion,
    name: Name,
    /// Metadata of somebody else.
    foreign: Option<BTreeMap<String, String>>,
}

fuzz_target!(|items: Vec<Item>| {
    let items = &items[..items.len().min(ITEMS_MAX)];
    let paths = MirrorPaths::new("", "shop", "orders");
    let versions: Vec<Version> = items.iter().map(|item| item.version.version()).collect();
    let own: Vec<String> = versions.iter().map(|version| paths.document(&version.pk, &version.id)).collect();
    for (place, item) in items.iter().enumerate() {
        let name = match &item.name {
            Name::Own => own[place].clone(),
            Name::OfAnother(other) => own[usize::from(*other) % own.len()].clone(),
            Name::Foreign(name) => name.clone(),
        };
        let metadata = item.foreign.clone().unwrap_or_else(|| versions[place].to_metadata());
        let accepted = accepted(&paths, &name, &metadata);
        match accepted {
            Some(version) => assert_eq!(paths.document(&version.pk, &version.id), name),
            None => assert!(item.foreign.is_some() || name != own[place], "{name}"),
        }
    }
    for (version, name) in versions.iter().zip(&own) {
        for (other, of_other) in versions.iter().zip(&own) {
            let same = version.pk == other.pk && version.id == other.id;
            assert_eq!(same, name == of_other, "{name}");
            selected(&paths, &version.pk, &other.pk, of_other);
        }
    }
});

/// The version an item stands for, where its metadata speaks of the document that the name belongs to.
fn accepted(paths: &MirrorPaths, name: &str, metadata: &BTreeMap<String, String>) -> Option<Version> {
    let version = Version::from_metadata(metadata).ok()?;
    (paths.document(&version.pk, &version.id) == name).then_some(version)
}

/// The prefix of a key selects the names of all keys that begin with it, and no other.
fn selected(paths: &MirrorPaths, key: &PartitionKey, other: &PartitionKey, name: &str) {
    let is_whole = !name[paths.documents().len()..].starts_with("~h");
    for levels in 1..=key.0.len() {
        let begin = PartitionKey(key.0[..levels].to_vec());
        // An id is no level: a prefix as long as a longer key must not take an id for a component.
        let expected = other.0.len() >= levels && other.0[..levels] == begin.0[..];
        if is_whole || !expected {
            assert_eq!(name.starts_with(&paths.documents_of_key(&begin)), expected, "{name} {begin}");
        }
    }
}
