//! Whatever stands in the lease container: an error, never a panic and never a guess.

use proptest::prelude::*;

use super::*;

#[test]
fn fields_of_another_type_are_refused_by_name() {
    for field in ["Owner", "ContinuationToken", "timestamp", "Mode", "LeaseToken", "PartitionId"] {
        for value in ["1", "true", "{}", "[\"0\"]"] {
            let rest = if field == "LeaseToken" { "" } else { r#""LeaseToken":"0","# };
            let refusal = refusal(&format!(r#"{{{rest}"{field}":{value},"id":"{PREFIX}..0"}}"#));
            assert!(refusal.contains(field) && refusal.contains(PREFIX), "{refusal}");
        }
    }
    for version in ["\"1\"", "-1", "0.5", "1e300", "[]"] {
        assert!(refusal(&format!(r#"{{"id":"x","LeaseToken":"0","version":{version}}}"#)).contains("version"));
    }
    for properties in ["\"\"", "[]", "7"] {
        let json = format!(r#"{{"id":"x","LeaseToken":"0","properties":{properties}}}"#);
        assert!(refusal(&json).contains("properties"));
    }
}

#[test]
fn documents_that_name_no_lease_or_two_are_refused() {
    assert!(refusal(r#"{"LeaseToken":"0"}"#).contains("id"));
    assert!(refusal(r#"{"id":"","LeaseToken":"0"}"#).contains("id"));
    assert!(refusal(r#"{"id":3,"LeaseToken":"0"}"#).contains("id"));
    assert!(refusal(r#"{"id":"p.info"}"#).contains("no LeaseToken"));
    let two = refusal(r#"{"id":"x","LeaseToken":"0","PartitionId":"1"}"#);
    assert!(two.contains("LeaseToken \"0\" and PartitionId \"1\""), "{two}");
    let later = Lease::from_json(br#"{"id":"a","LeaseToken":"0","version":2}"#);
    assert!(matches!(later, Err(LeaseError::Version { version: 2, .. })));
    for json in ["", "null", "[]", "7", "\"x\"", "{", r#"{"id":"a","LeaseToken":"0"} x"#] {
        refusal(json);
    }
}

#[test]
fn names_that_stand_twice_are_refused_at_any_depth() {
    for json in [
        r#"{"id":"a","LeaseToken":"0","LeaseToken":"1"}"#,
        r#"{"id":"a","LeaseToken":"0","foreign":1,"foreign":1}"#,
        r#"{"id":"a","LeaseToken":"0","properties":{"x":"1","x":"2"}}"#,
        r#"{"id":"a","LeaseToken":"0","FeedRange":{"Range":{"min":"","min":"20","max":"FF"}}}"#,
        r#"{"id":"a","LeaseToken":"0","foreign":[{"x":[{"y":1,"y":2}]}]}"#,
    ] {
        assert!(refusal(json).contains("stands twice"), "{json}");
    }
}

#[test]
fn deep_nesting_and_numbers_without_a_value_are_refused() {
    let nested =
        |depth: usize| format!(r#"{{"id":"a","LeaseToken":"0","foreign":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    refusal(&nested(100_000));
    assert_eq!(read(&nested(50)).unknown.len(), 1);
    refusal(&format!(r#"{{"id":"a","LeaseToken":"0","foreign":{}}}"#, "{\"a\":".repeat(100_000)));
    refusal(r#"{"id":"a","LeaseToken":"0","foreign":1e999}"#);
    refusal(&format!(r#"{{"id":"a","LeaseToken":"0","version":{}}}"#, "9".repeat(10_000)));
    refusal("{\"id\":\"a\",\"LeaseToken\":\"\u{1}\"}");
    assert!(Lease::from_json(b"{\"id\":\"a\xff\",\"LeaseToken\":\"0\"}").is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Lease::from_json(&bytes);
    }

    #[test]
    fn no_damaged_lease_panics_and_what_is_read_can_be_written_and_read(
        at in 0_usize..400, with in "[\\PC]{0,3}", cut in 0_usize..10,
    ) {
        let whole = format!(
            r#"{{"id":"{PREFIX}..05-3F","version":1,"LeaseToken":"05-3F","PartitionId":null,"FeedRange":{{"Range":{{"min":"05","max":"3F"}}}},"Owner":null,"ContinuationToken":"\"9\"","properties":{{"a":"b"}},"timestamp":"2026","Mode":null}}"#
        );
        let damaged: String =
            whole.chars().take(at).chain(with.chars()).chain(whole.chars().skip(at + cut)).collect();
        if let Ok(lease) = Lease::from_json(damaged.as_bytes()) {
            prop_assert_eq!(Lease::from_json(&lease.to_json()).unwrap(), lease);
        }
    }
}
