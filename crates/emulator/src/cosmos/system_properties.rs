//! The five properties the service adds to every document, handled in the text.
//!
//! Invariant: apart from top-level properties of these names, which are removed, the bytes between a document's braces
//! are kept exactly as sent; the service's own are appended before the closing brace.

use super::json;

const NAMES: [&str; 5] = ["_rid", "_self", "_etag", "_attachments", "_ts"];

/// The values for one version of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemProperties<'a> {
    pub(crate) rid: &'a str,
    /// The path by resource ids, with a slash at its end.
    pub(crate) self_link: &'a str,
    /// The entity tag with its quotes.
    pub(crate) etag: &'a str,
    /// Seconds since 1970.
    pub(crate) ts: i64,
}

/// The object's text without the service's properties. Needs a valid object.
pub(crate) fn strip(object: &str) -> String {
    let mut kept = String::with_capacity(object.len());
    kept.push('{');
    let mut first = true;
    let mut any = false;
    for member in json::members(object) {
        any = true;
        if NAMES.contains(&member.name.as_ref()) {
            continue;
        }
        if !first {
            kept.push(',');
        }
        first = false;
        kept.push_str(&object[member.span]);
    }
    if !any {
        // An empty object may hold white space.
        return object.to_owned();
    }
    kept.push('}');
    kept
}

/// The stored text of a document: `stripped` with the service's properties at its end.
pub(crate) fn append(stripped: &str, properties: SystemProperties<'_>) -> String {
    let SystemProperties { rid, self_link, etag, ts } = properties;
    let open = stripped.strip_suffix('}').unwrap_or(stripped);
    let comma = if open.trim_ascii_end().ends_with('{') { "" } else { "," };
    // None of the values needs escapes but the quotes around the entity tag.
    let etag = etag.trim_matches('"');
    let ts = ts.to_string();
    let parts = [
        open,
        comma,
        "\"_rid\":\"",
        rid,
        "\",\"_self\":\"",
        self_link,
        "\",\"_etag\":\"\\\"",
        etag,
        "\\\"\",\"_attachments\":\"attachments/\",\"_ts\":",
        &ts,
        "}",
    ];
    // Concatenation allocates the very length, and the text is kept for as long as the emulator runs.
    parts.concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROPERTIES: SystemProperties<'_> =
        SystemProperties { rid: "r==", self_link: "dbs/d/colls/c/docs/r==/", etag: "\"e\"", ts: 7 };

    #[test]
    fn a_document_keeps_its_text() {
        let sent = r#"{ "b" : 1.10,"a":{"z":1,"z":2,"_ts":3} , "big":12345678901234567890123 }"#;
        assert_eq!(strip(sent), sent);
        let stored = append(sent, PROPERTIES);
        let tail =
            r#","_rid":"r==","_self":"dbs/d/colls/c/docs/r==/","_etag":"\"e\"","_attachments":"attachments/","_ts":7}"#;
        assert_eq!(stored, format!("{}{tail}", &sent[..sent.len() - 1]));
    }

    #[test]
    fn what_a_client_read_and_sends_back_is_what_it_first_sent() {
        for sent in [r#"{"id":"1"}"#, r#"{"id":"1","_lsn":3}"#, "{}", "{ }", "{\n \"id\": \"1\"\n}"] {
            assert_eq!(strip(&append(sent, PROPERTIES)), sent.replace("{ }", "{}"), "{sent:?}");
        }
    }

    #[test]
    fn escaped_names_are_recognised() {
        assert_eq!(strip(r#"{"\u005frid":1,"a":2,"_t\u0073":3}"#), r#"{"a":2}"#);
        assert_eq!(strip(r#"{"_rid":1,"_ts":{"a":"}"}}"#), "{}");
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(name(), inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), prop::sample::select(&NAMES[..]).prop_map(str::to_owned)]
    }

    proptest! {
        #[test]
        fn appended_and_stripped_documents_mean_the_same(
            object in prop::collection::btree_map(name(), value(), 0..6),
            pretty: bool,
        ) {
            let object: serde_json::Map<_, _> = object.into_iter().collect();
            let sent = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
            let stripped = strip(&sent);
            let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&stripped).unwrap();
            let mut expected = object.clone();
            expected.retain(|name, _| !NAMES.contains(&name.as_str()));
            prop_assert_eq!(&parsed, &expected);

            let stored = append(&stripped, PROPERTIES);
            let mut stored_parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(stored_parsed["_etag"].as_str(), Some("\"e\""));
            prop_assert_eq!(stored_parsed["_ts"].as_i64(), Some(7));
            stored_parsed.retain(|name, _| !NAMES.contains(&name.as_str()));
            prop_assert_eq!(&stored_parsed, &expected);
            if object.keys().all(|name| !NAMES.contains(&name.as_str())) && !object.is_empty() {
                prop_assert_eq!(&strip(&stored), &sent);
            }
        }
    }
}
