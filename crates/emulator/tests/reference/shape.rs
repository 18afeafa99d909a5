//! What must differ between two servers is reduced to its shape: ids they make up, times, sequence numbers, charges and
//! the wording of messages. Everything else stays as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Headers of the transport, or about nothing but the time a request took.
const IGNORED: [&str; 6] = [
    "connection",
    "content-length",
    "date",
    "transfer-encoding",
    "x-ms-request-duration-ms",
    "x-ms-server-duration-ms",
];

/// A header's value, or `None` if it is not compared.
pub(crate) fn header(name: &str, value: &str) -> Option<String> {
    if IGNORED.contains(&name) {
        return None;
    }
    Some(match name {
        "etag" => etag(value),
        "x-ms-activity-id" => guid(value),
        // Whether it is right is checked where the bodies are compared.
        "x-ms-item-count" => "<count>".to_owned(),
        "x-ms-continuation" => "<continuation>".to_owned(),
        "x-ms-content-path" | "x-ms-cosmos-internal-partition-id" => rid(value),
        "x-ms-alt-content-path" if value.starts_with("dbs/") => "<path>".to_owned(),
        "x-ms-request-charge" => value.parse::<f64>().map_or_else(|_| value.to_owned(), |_| "<charge>".to_owned()),
        "x-ms-session-token" | "x-ms-resource-usage" | "x-ms-transport-request-id" => digits(value),
        _ if name == "lsn" || name.ends_with("lsn") => digits(value),
        _ => value.to_owned(),
    })
}

/// A JSON value that stands under a name.
pub(crate) fn member(name: &str, value: &Value) -> Value {
    let shape = match (name, value) {
        ("_rid", Value::String(text)) => rid(text),
        ("_self", Value::String(text)) => self_link(text),
        ("_etag" | "eTag", Value::String(text)) => etag(text),
        ("_ts" | "crts", Value::Number(number)) if number.is_u64() => "<seconds>".to_owned(),
        ("_lsn" | "lsn" | "previousImageLSN", Value::Number(number)) if number.is_u64() => "<lsn>".to_owned(),
        ("_count", Value::Number(_)) => "<count>".to_owned(),
        ("requestCharge", Value::Number(_)) => "<charge>".to_owned(),
        ("message", Value::String(text)) if !text.is_empty() => "<text>".to_owned(),
        _ => return value.clone(),
    };
    Value::String(shape)
}

/// A GUID or a sequence number in quotes, as the service's entity tags are, or the text itself.
fn etag(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return if value.starts_with('{') { "<json>".to_owned() } else { guid(value) };
    };
    match inner.parse::<u64>() {
        Ok(_) => "\"<lsn>\"".to_owned(),
        Err(_) if guid(inner) == "<guid>" => "\"<guid>\"".to_owned(),
        Err(_) => "\"<other>\"".to_owned(),
    }
}

fn guid(value: &str) -> String {
    let groups: Vec<usize> = value.split('-').map(str::len).collect();
    let hex = value.chars().all(|char| char == '-' || char.is_ascii_hexdigit());
    if hex && groups == [8, 4, 4, 4, 12] { "<guid>".to_owned() } else { value.to_owned() }
}

/// Resource ids are base64 with `-` for `/`; their length tells the level of the resource.
fn rid(value: &str) -> String {
    match STANDARD.decode(value.replace('-', "/")) {
        Ok(bytes) => format!("<rid of {} bytes>", bytes.len()),
        Err(_) => value.to_owned(),
    }
}

fn self_link(value: &str) -> String {
    let segments: Vec<String> = value
        .split('/')
        .enumerate()
        .map(|(index, segment)| if index % 2 == 1 { rid(segment) } else { segment.to_owned() })
        .collect();
    segments.join("/")
}

/// Every number becomes an `n`.
fn digits(value: &str) -> String {
    let mut shape = String::new();
    for char in value.chars() {
        if !char.is_ascii_digit() {
            shape.push(char);
        } else if !shape.ends_with('n') {
            shape.push('n');
        }
    }
    shape
}

#[test]
fn shapes_keep_what_a_client_reads() {
    assert_eq!(header("etag", "\"17\"").unwrap(), "\"<lsn>\"");
    assert_eq!(header("etag", "\"0000d826-0000-0700-0000-64b0d8f60000\"").unwrap(), "\"<guid>\"");
    assert_eq!(header("x-ms-session-token", "0:1#15#0=15,1:-1#2").unwrap(), "n:n#n#n=n,n:-n#n");
    assert_eq!(header("date", "today"), None);
    assert_eq!(member("_self", &Value::from("dbs/AAAAAA==/")), Value::from("dbs/<rid of 4 bytes>/"));
    assert_eq!(member("_ts", &Value::from(1.5)), Value::from(1.5));
}
