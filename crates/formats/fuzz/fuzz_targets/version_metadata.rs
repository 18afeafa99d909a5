//! Metadata of versions: ours reads back as it was, that of others is read or refused by name. Never a panic.

#![no_main]

use std::collections::BTreeMap;

use cosmirror_formats::Version;
use cosmirror_formats_fuzz::AnyVersion;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 15] = [
    "format",
    "op",
    "ts",
    "lsn",
    "nth",
    "lineage",
    "etag",
    "rid",
    "id",
    "pk",
    "prev",
    "after",
    "omitted",
    "encryption",
    "sha256",
];

#[derive(Arbitrary, Debug)]
struct Input {
    version: AnyVersion,
    /// Fields of ours that hold something else.
    damage: Vec<(u8, Option<String>)>,
    foreign: BTreeMap<String, String>,
    upper: bool,
}

fuzz_target!(|input: Input| {
    let version = input.version.version();
    let metadata = version.to_metadata();
    assert!(metadata.keys().all(|name| NAMES.contains(&name.as_str())));
    assert_eq!(Version::from_metadata(&metadata).as_ref(), Ok(&version));
    // A document's own names ride in headers whatever characters they have.
    assert!(metadata["id"].is_ascii() && metadata["pk"].is_ascii());
    assert_eq!(version.is_tombstone(), version.etag.is_none());
    assert!(version.etag.as_ref().is_none_or(|etag| *etag == version.identity()));

    let mut damaged = metadata;
    for (field, value) in input.damage {
        let name = NAMES[usize::from(field) % NAMES.len()];
        match value {
            Some(value) => _ = damaged.insert(name.to_owned(), value),
            None => _ = damaged.remove(name),
        }
    }
    if input.upper {
        damaged = damaged.into_iter().map(|(name, value)| (name.to_uppercase(), value)).collect();
    }
    damaged.extend(input.foreign);
    match Version::from_metadata(&damaged) {
        Ok(read) => assert_eq!(Version::from_metadata(&read.to_metadata()).as_ref(), Ok(&read)),
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
});
