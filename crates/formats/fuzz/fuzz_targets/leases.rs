//! Whatever stands in the lease container: a lease that can be written and read back without loss, or a reason. Never a panic.

#![no_main]

use cosmirror_formats::Lease;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// What the reader understands or leaves out on purpose; everything else belongs to others and stays.
const OWN: [&str; 15] = [
    "id",
    "version",
    "LeaseToken",
    "PartitionId",
    "FeedRange",
    "Owner",
    "ContinuationToken",
    "properties",
    "timestamp",
    "Mode",
    "_rid",
    "_self",
    "_etag",
    "_attachments",
    "_ts",
];

fuzz_target!(|data: &[u8]| {
    let lease = match Lease::from_json(data) {
        Ok(lease) => lease,
        Err(reason) => {
            assert!(!reason.to_string().is_empty());
            return;
        }
    };
    let written = lease.to_json();
    let again = Lease::from_json(&written).expect("what we write");
    let mut expected = lease.clone();
    for system in ["_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"] {
        expected.unknown.remove(system);
    }
    assert_eq!(again, expected, "{}", String::from_utf8_lossy(&written));
    assert_eq!(again.to_json(), written);

    let before: Value = serde_json::from_slice(data).expect("it was read before");
    let after: Value = serde_json::from_slice(&written).expect("what we write");
    for (name, value) in before.as_object().expect("a lease is an object") {
        if !OWN.contains(&name.as_str()) && name != "_lsn" {
            assert_eq!(after.get(name), Some(value), "{name:?}");
        }
    }
    for (name, value) in before["properties"].as_object().into_iter().flatten() {
        assert_eq!(after["properties"].get(name), Some(value), "the property {name:?}");
    }
    for name in ["LeaseToken", "ContinuationToken", "timestamp"] {
        let text = before[name].as_str().filter(|text| !text.is_empty());
        assert!(text.is_none() || after[name].as_str() == text, "{name}");
    }
});
