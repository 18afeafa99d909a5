//! Nothing that a lease holds is lost on the way through its document.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn bounds() -> impl Strategy<Value = EpkRange> {
    ("([0-9A-E][0-9A-F]){0,16}", "([0-9A-E][0-9A-F]){0,16}").prop_filter_map("no interval", |(a, b)| {
        let max = if b.is_empty() { "FF".to_owned() } else { b };
        (a < max).then(|| EpkRange::new(a, max))
    })
}

fn foreign() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("not JSON", |number| serde_json::Number::from_f64(number).map(Value::Number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn lease()(
        version in 0_u64..=1,
        range in prop::option::of(bounds()),
        bounds in bounds(),
        id in "\\PC{1,12}",
        partition in "[0-9]{1,4}",
        owner in prop::option::of("[a-z\"\\\\ ]{0,4}[a-z]"),
        continuation in prop::option::of("\"[0-9]{1,19}\""),
        properties in prop::collection::btree_map(any::<String>(), any::<String>(), 0..5),
        timestamp in "\\PC{0,30}",
        mode in prop::option::of("(Incremental|Full-Fidelity) Feed"),
        others in prop::collection::btree_map("x[a-z]{0,5}", foreign(), 0..4),
        old in any::<bool>(),
        odd in prop::option::of(0_i64..9),
    ) -> Lease {
        // Version 1 always has bounds, and its token tells them.
        let range = if version == 1 { Some(bounds) } else { range };
        let token = match &range {
            Some(range) if version == 1 => format!("{}-{}", range.min, range.max),
            _ => partition,
        };
        let mut unknown: Map<String, Value> = others.into_iter().collect();
        if old && version == 0 {
            unknown.insert("PartitionId".to_owned(), token.as_str().into());
        }
        if let Some(odd) = odd.filter(|_| !properties.contains_key("odd")) {
            unknown.insert("properties".to_owned(), json!({ "odd": odd }));
        }
        Lease { id, version, token, range, owner, continuation, properties, timestamp, mode, unknown }
    }
}

proptest! {
    #[test]
    fn a_lease_is_what_its_document_says(lease in lease()) {
        let document = lease.to_json();
        let read = Lease::from_json(&document).unwrap();
        prop_assert_eq!(&read, &lease);
        prop_assert_eq!(read.to_json(), document);
    }

    #[test]
    fn what_the_service_adds_changes_nothing(lease in lease()) {
        let mut document: Value = serde_json::from_slice(&lease.to_json()).unwrap();
        for system in ["_rid", "_self", "_etag", "_attachments"] {
            document[system] = "x".into();
        }
        document["_ts"] = 1_795_194_000.into();
        let read = Lease::from_json(document.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read.to_json(), lease.to_json());
    }
}
