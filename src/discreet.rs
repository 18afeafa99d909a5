//! Documents' names out of texts that others than their owners read.
//!
//! A document's blob is named after its partition key and id, which are often personal data. Logs are shipped to other systems and health
//! is told to whoever reaches the port, so there the name gives way to the beginning of its hash: enough to tell two documents
//! apart, and to find the same one again in a log that was written with `-v`, which shows names.

use cosmirror_formats::version::sha256_hex;

/// What stands between a container's name and a document's in the names of blobs.
const DOCUMENTS: &str = "/documents/";
/// Of a hash.
const SHOWN: usize = 8;

/// The same text with `~` and a hash in the place of every document's name.
pub(crate) fn discreet(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(DOCUMENTS) {
        let (before, name) = rest.split_at(at + DOCUMENTS.len());
        let end = name.find(|c: char| !is_of_name(c)).unwrap_or(name.len());
        let (name, after) = name.split_at(end);
        shown += before;
        if !name.is_empty() {
            shown.push('~');
            shown += &sha256_hex(name.as_bytes())[..SHOWN];
        }
        rest = after;
    }
    shown + rest
}

/// What names are made of; everything else is escaped in them.
fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~/".contains(c)
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::partition_key::KeyValue;
    use cosmirror_formats::{MirrorPaths, PartitionKey};

    use super::*;

    #[test]
    fn no_part_of_a_documents_name_is_left_whatever_it_is_made_of() {
        let paths = MirrorPaths::new("backup", "shop", "orders");
        for (key, id) in
            [("anna@example.com", "4711"), ("a b\"c\\", "💥'\n"), ("/", ".."), ("", " "), ("~", "\u{202e}x")]
        {
            let name = paths.document(&PartitionKey(vec![KeyValue::String(key.to_owned())]), id);
            let text = format!("storing blob {name:?}: ServerBusy (503), then {name}");
            let hash = &sha256_hex(name.strip_prefix("backup/shop/orders/documents/").unwrap().as_bytes())[..SHOWN];
            let hidden = format!("backup/shop/orders/documents/~{hash}");
            assert_eq!(discreet(&text), format!("storing blob \"{hidden}\": ServerBusy (503), then {hidden}"));
        }
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in ["", "the target is gone", "shop/orders/_mirror/gaps/1.json", "listing under \"shop/documents/\""] {
            assert_eq!(discreet(text), text);
        }
    }
}
