//! What a feed delivers is kept to the byte, in both of its shapes, whatever JSON a client has sent.

use cosmirror_formats::feed_page::{parse_change, without_system_properties};
use cosmirror_formats::{KeyDefinition, Operation};
use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "support/raw_json.rs"]
mod raw_json;

/// Ids and keys as they stand in a text, and what they are.
const TEXTS: [(&str, &str); 7] = [
    (r#""d0""#, "d0"),
    (r#""\u0064\u0030""#, "d0"),
    (r#""☃ \u2603""#, "☃ ☃"),
    (r#""\ud83d\ude00""#, "😀"),
    (r#""a\"},\"_ts\":1""#, "a\"},\"_ts\":1"),
    (r#""\\u0041""#, "\\u0041"),
    (r#""\/""#, "/"),
];
const KEYS: [(&str, fn() -> Value); 7] = [
    (r#""p0""#, || json!("p0")),
    (r#""\u00e9""#, || json!("é")),
    ("1.10", || json!(1.1)),
    ("-0.0", || json!(0)),
    ("1e5", || json!(100_000)),
    ("null", || Value::Null),
    (r#"[1,{"a":2}]"#, || json!({})),
];

const ETAG: &str = r#""\"0000-7\"""#;

struct Entry {
    sent: String,
    id: &'static str,
    key: Value,
    stored: String,
    picks: usize,
}

/// A number below the one asked for, from a tape that ends in zeros: shorter tapes give plainer texts.
fn from_tape(tape: &[u16]) -> impl FnMut(usize) -> usize {
    let mut rest = tape.iter();
    move |below| rest.next().map_or(0, |number| usize::from(*number) % below.max(1))
}

fn entry() -> impl Strategy<Value = Entry> {
    prop::collection::vec(any::<u16>(), 0..400).prop_map(|tape| {
        let mut pick = from_tape(&tape);
        let ((raw_id, id), (raw_key, key)) = (TEXTS[pick(TEXTS.len())], KEYS[pick(KEYS.len())]);
        let sent = raw_json::document(&mut pick, &[("id", raw_id), ("pk", raw_key)]);
        // As the service does it: before the last brace, behind all that was sent.
        let open = sent.strip_suffix('}').unwrap();
        let stored = format!(r#"{open},"_rid":"r","_self":"s","_etag":{ETAG},"_attachments":"a/","_ts":1700000000}}"#);
        Entry { sent, id, key: key(), stored, picks: tape.len() }
    })
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (of {} picks)", self.sent, self.picks)
    }
}

fn check(entry: &Entry, text: &str, document: &str, expected: (Operation, Option<u64>, i64)) {
    let change = parse_change(text.as_bytes(), &KeyDefinition::new(["/pk"])).unwrap();
    assert_eq!(change.document, document);
    assert_eq!((change.operation, change.lsn, change.ts), expected);
    assert_eq!((change.id.as_str(), change.etag.as_deref()), (entry.id, Some("\"0000-7\"")));
    assert_eq!(change.pk.to_json(), json!([entry.key]));
    assert_eq!(without_system_properties(change.document).unwrap(), entry.sent);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn an_envelope_gives_its_document_byte_for_byte(entry in entry()) {
        let stored = &entry.stored;
        let metadata = r#"{"lsn":9,"crts":1700000001,"operationType":"replace","previousImageLSN":3}"#;
        for envelope in [
            format!(r#"{{"current":{stored},"metadata":{metadata}}}"#),
            format!("{{ \"metadata\" : {metadata} ,\r\n\t\"current\" :\t{stored} }}"),
            format!(r#"{{"current":{stored},"metadata":{metadata},"previous":{stored}}}"#),
        ] {
            check(&entry, &envelope, stored, (Operation::Replace, Some(9), 1_700_000_001));
        }
    }

    #[test]
    fn a_flat_document_is_taken_byte_for_byte(entry in entry()) {
        let flat = format!("{},\"_lsn\":44}}", entry.stored.strip_suffix('}').unwrap());
        check(&entry, &flat, &flat, (Operation::Write, Some(44), 1_700_000_000));
    }
}

/// The generator is worth nothing if it makes nothing special.
#[test]
fn the_texts_are_those_that_get_lost_in_translation() {
    let mut seed = 1_u32;
    let mut pick = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) as usize % below.max(1)
    };
    let texts: Vec<String> = (0..400).map(|_| raw_json::document(&mut pick, &[("id", "\"i\"")])).collect();
    let changed = texts.iter().filter(|text| match serde_json::from_str::<Value>(text) {
        Ok(tree) => tree.to_string() != **text,
        Err(_) => true,
    });
    assert!(changed.count() > 300);
    for part in
        ["\"_ts\"", "\"current\"", "\\ud800", "12345678901234567890", "-0.0", "1.10", "[[[[[[[[[[", "\r\n", "{}"]
    {
        assert!(texts.iter().any(|text| text.contains(part)), "{part} never occurs");
    }
    assert_eq!(raw_json::document(&mut |_| 0, &[]), "{}");
}
