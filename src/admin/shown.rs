//! Texts as anybody may read them: without ids and partition keys of documents.
//!
//! Messages name what they are about, for the logs. `/readyz`, `/status` and the page are open to whoever reaches the port, so every text
//! of a failure goes through [`shown`] before it is kept for them. It does not look for what an id may look like but leaves out every place
//! where one can stand: what is quoted, what stands in brackets, and the paths of addresses and blobs. That cuts more than it must.

/// Characters kept of a text.
pub(super) const CHARS_MAX: usize = 600;
/// What is quoted behind these words is the name of what is configured.
const NAMED: [&str; 2] = ["container ", "database "];
/// What stands behind these within a word names a document.
const PATHS: [&str; 2] = ["/documents/", "/docs/"];

/// A text without ids and keys of documents, and of bounded length.
pub(super) fn shown(text: &str) -> String {
    let text = without_bracketed(&without_quoted(text));
    let mut text: String = text.split_inclusive(char::is_whitespace).map(without_path).collect();
    if let Some((end, _)) = text.char_indices().nth(CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Quoted texts are written with escapes, so the first quote without one ends them.
fn without_quoted(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('"') {
        out.push_str(before);
        let mut escaped = false;
        let ends = |c: char| {
            let is_end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            is_end
        };
        let (quoted, behind) = after.find(ends).map_or((after, ""), |at| (&after[..at], &after[at + 1..]));
        let is_name = NAMED.iter().any(|word| out.ends_with(word));
        let kept = if is_name { quoted } else { "…" };
        out.push('"');
        out.push_str(kept);
        out.push('"');
        rest = behind;
    }
    out + rest
}

/// Partition keys are JSON arrays. A range of effective keys ends with a round bracket and stays.
fn without_bracketed(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        match after.find([']', ')']).map(|at| after.split_at(at)) {
            Some((range, behind)) if behind.starts_with(')') => {
                out.push('[');
                out.push_str(range);
                rest = behind;
            }
            Some((_, behind)) => {
                out.push_str("[…");
                rest = behind;
            }
            None => {
                out.push_str("[…");
                rest = "";
            }
        }
    }
    out + rest
}

/// A word in which nothing follows an address's host, nor what documents' names begin with.
fn without_path(word: &str) -> String {
    let address = word.find("://").and_then(|at| Some(at + 3 + word[at + 3..].find(['/', '?'])? + 1));
    let path = PATHS.iter().filter_map(|path| Some(word.find(path)? + path.len())).min();
    let Some(start) = address.into_iter().chain(path).min() else { return word.to_owned() };
    let named = word[start..].trim_end_matches(|c: char| c.is_whitespace() || "):,;.".contains(c));
    let gap = if named.is_empty() { "" } else { "…" };
    format!("{}{gap}{}", &word[..start], &word[start + named.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_and_no_key_is_left() {
        for (text, left) in [
            (
                r#"could not read document "sec\"ret" of partition ["secret@example.org"] in shop/orders: 403"#,
                r#"could not read document "…" of partition […] in shop/orders: 403"#,
            ),
            ("could not judge d of [77001,null,{}]: 503", "could not judge d of […]: 503"),
            (
                "sending request for url (http://127.0.0.1:8081/dbs/shop/colls/c/docs/secret)x'é) failed",
                "sending request for url (http://127.0.0.1:8081/…) failed",
            ),
            ("GET https://a.example/mirror?prefix=shop%2Fsecret: 503", "GET https://a.example/…: 503"),
            ("dbs/shop/colls/c/docs/secret: gone", "dbs/shop/colls/c/docs/…: gone"),
            ("PUT mirror/shop/orders/documents/p/secret~40.json: 503", "PUT mirror/shop/orders/documents/…: 503"),
            (r#"storing blob "shop/orders/documents/p/secret.json": 403"#, r#"storing blob "…": 403"#),
            (r#"a quote without end: "secret"#, r#"a quote without end: "…""#),
            ("a bracket without end: [secret", "a bracket without end: […"),
        ] {
            assert_eq!(shown(text), left);
        }
    }

    #[test]
    fn what_names_no_document_stays() {
        for text in [
            "shop/orders [,FF): the target answered 503",
            "range [05C1,1F) of [,FF) was given up",
            r#"the container "orders" of the database "shop" does not exist"#,
            "cannot reach http://127.0.0.1:8081/: connection refused",
        ] {
            assert_eq!(shown(text), text);
        }
    }
}
