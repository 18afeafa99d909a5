use std::io::Write as _;

use serde_json::json;

use super::*;

fn paths(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|&path| path.to_owned()).collect()
}

fn read_bytes(bytes: &[u8], key_paths: &[&str]) -> Result<Vec<(String, Value)>, CommandError> {
    let mut named = documents(bytes, &"ids.ndjson", &paths(key_paths))?;
    let all: Vec<Named> = named.read()?.collect::<Result<_, _>>()?;
    Ok(all.into_iter().map(|document| (document.id.clone(), document.key().to_json())).collect())
}

fn fault(text: &str, key_paths: &[&str]) -> String {
    let error = read_bytes(text.as_bytes(), key_paths).unwrap_err();
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.remedy.contains("nothing was done"));
    error.message
}

#[test]
fn every_form_of_a_line_names_a_document() {
    let text = "\u{feff}# from a report\r\n\
        {\"id\":\"a\",\"pk\":\"p\"}\r\n\
        \n  \t\n\
        {\"pk\":[7.0],\"more\":{\"x\":[1]},\"id\":\"b\"}\n\
        {\"id\":\"c\",\"partition_key\":[null],\"versions\":[]}\n\
        \t{\"id\":\"#d\",\"pk\":null} \n\
        {\"id\":\"e\",\"pk\":{}}\n\
        {\"id\":\"f\\n\\ud83d\\ude00\",\"pk\":false}";
    let expected = [
        ("a", json!(["p"])),
        ("b", json!([7])),
        ("c", json!([null])),
        ("#d", json!([null])),
        ("e", json!([{}])),
        ("f\n😀", json!([false])),
    ];
    assert_eq!(read_bytes(text.as_bytes(), &["/pk"]).unwrap(), expected.map(|(id, key)| (id.to_owned(), key)));
    assert_eq!(read_bytes(b"", &["/pk"]).unwrap(), []);
}

#[test]
fn where_the_key_is_the_id_the_id_is_enough() {
    let expected = [("a".to_owned(), json!(["a"])), ("b".to_owned(), json!(["b"])), ("c".to_owned(), json!(["c"]))];
    for path in ["/id", "/\"id\""] {
        let found = read_bytes(b"\"a\"\n{\"id\":\"b\"}\n{\"id\":\"c\",\"pk\":\"c\"}\n", &[path]).unwrap();
        assert_eq!(found, expected);
    }
    assert_eq!(
        fault("\"a\"\n", &["/tenant", "/id"]),
        "line 1 of ids.ndjson, \"a\": its partition key is missing: the container's is /tenant, /id, not the id"
    );
}

#[test]
fn hierarchical_keys_are_arrays_of_all_components() {
    let levels = ["/tenant", "/user"];
    assert_eq!(read_bytes(br#"{"id":"a","pk":["t",1]}"#, &levels).unwrap(), [("a".to_owned(), json!(["t", 1]))]);
    for key in [r#""t""#, r#"["t"]"#, r#"["t",1,2]"#, "[]"] {
        let message = fault(&format!("{{\"id\":\"a\",\"pk\":{key}}}"), &levels);
        assert!(message.contains("components, the container's has 2 (/tenant, /user)"), "{message}");
    }
}

#[test]
fn a_document_named_again_counts_once() {
    let text = b"{\"id\":\"a\",\"pk\":1}\n{\"pk\":[1.0],\"id\":\"a\"}\n{\"id\":\"a\",\"pk\":\"1\"}\n{\"id\":\"b\",\"partition_key\":1}\n";
    let found = read_bytes(text, &["/pk"]).unwrap();
    let expected = [("a", json!([1])), ("a", json!(["1"])), ("b", json!([1]))];
    assert_eq!(found, expected.map(|(id, key)| (id.to_owned(), key)));
}

#[test]
fn a_bad_line_is_named_with_what_is_wrong() {
    for (line, expected) in [
        ("{\"id\":\"a\"", "it is not JSON: EOF while parsing an object at column 9"),
        ("{\"id\":\"a\",\"pk\":1} x", "it is not JSON: trailing characters at column 19"),
        ("id-of-a", "it is not JSON: expected value at column 1"),
        ("\"a", "it is not JSON: EOF while parsing a string"),
        ("[\"a\",\"p\"]", "it is neither an object nor a string"),
        ("17", "it is neither an object nor a string"),
        ("{\"pk\":1}", "it has no \"id\""),
        ("{\"id\":1,\"pk\":1}", "its \"id\" is not a string, or is empty"),
        ("{\"id\":\"\",\"pk\":1}", "its \"id\" is not a string, or is empty"),
        ("{\"id\":\"a\",\"id\":\"b\",\"pk\":1}", "duplicate field `id`"),
        ("{\"id\":\"a\",\"pk\":1,\"partition_key\":1}", "it has both \"pk\" and \"partition_key\""),
        ("{\"id\":\"a\"}", "its partition key is missing: the container's is /pk, not the id"),
        ("\"a\"", "its partition key is missing"),
        ("{\"id\":\"a\",\"pk\":{\"x\":1}}", "its partition key is not made of"),
        ("{\"id\":\"a\",\"pk\":[[1]]}", "its partition key is not made of"),
        ("{\"id\":\"a\",\"pk\":1e999}", "it is not JSON: number out of range"),
        ("\u{feff}{\"id\":\"a\",\"pk\":1}", "it is not JSON: expected value"),
    ] {
        let message = fault(&format!("{{\"id\":\"ok\",\"pk\":1}}\n\n{line}\n"), &["/pk"]);
        assert!(message.starts_with("line 3 of ids.ndjson, "), "{message}");
        assert!(message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn what_is_no_text_is_refused_with_its_line() {
    let error = read_bytes(b"# one\n{\"id\":\"\xff\",\"pk\":1}\n", &["/pk"]).unwrap_err();
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.message.starts_with("line 2 of ids.ndjson, ") && error.message.ends_with("it is not UTF-8"));
}

/// A line may be a document that was pasted, or a terminal's control sequence.
#[test]
fn an_error_shows_little_of_a_line_and_nothing_raw() {
    let message = fault(&format!("{{\"secret\u{1b}[2J\":\"{}\"}}", "x".repeat(10_000)), &["/pk"]);
    assert!(message.contains(r#"{"secret\u{1b}[2J":"xxx"#), "{message}");
    assert!(message.contains("xxx…: it is") && message.chars().count() < 200, "{message}");
}

#[test]
fn a_line_may_be_long_and_no_longer() {
    let line = |bytes: usize| {
        let (head, tail) = ("{\"id\":\"a\",\"pk\":1,\"x\":\"", "\"}\n");
        format!("{head}{}{tail}", "x".repeat(bytes - head.len() - tail.len()))
    };
    let longest = usize::try_from(LINE_BYTES_MAX).unwrap();
    assert_eq!(read_bytes(line(longest).repeat(2).as_bytes(), &["/pk"]).unwrap().len(), 1);
    let message = fault(&line(longest + 1), &["/pk"]);
    assert!(message.ends_with("it is longer than 65536 bytes"), "{message}");
}

#[test]
fn a_file_is_read_and_one_that_is_not_there_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"{\"id\":\"a\",\"pk\":\"p\"}\n").unwrap();
    assert!(!read(file.path(), &paths(&["/pk"])).unwrap().is_empty());
    let missing = file.path().with_extension("missing");
    let error = read(&missing, &paths(&["/pk"])).unwrap_err();
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.message.contains(&missing.display().to_string()), "{}", error.message);
}
