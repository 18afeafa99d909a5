//! White space for JSON text. Names, values, their order and the text of numbers stay as they are.

/// One member or element per line, two spaces for each level. The text must be JSON.
pub(super) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth: usize = 0;
    let mut opened = false;
    tokens(json, |token| {
        let closes = matches!(token, "}" | "]");
        if closes {
            depth = depth.saturating_sub(1);
        }
        // An empty object or array stays on its line.
        if opened != closes && (opened || closes) {
            line(&mut out, depth);
        }
        opened = false;
        out.push_str(token);
        match token {
            "{" | "[" => {
                depth += 1;
                opened = true;
            }
            "," => line(&mut out, depth),
            ":" => out.push(' '),
            _ => {}
        }
    });
    out
}

/// The same on one line without white space.
pub(super) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    tokens(json, |token| out.push_str(token));
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Calls `each` with the tokens: strings, other scalars, and the six structural characters.
fn tokens(json: &str, mut each: impl FnMut(&str)) {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'"' => string_end(bytes, at),
            b'{' | b'}' | b'[' | b']' | b',' | b':' => at + 1,
            _ => {
                let ends =
                    |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'{' | b'}' | b'[' | b']' | b',' | b':' | b'"');
                bytes[at..].iter().position(ends).map_or(bytes.len(), |length| at + length)
            }
        };
        each(&json[at..end]);
        at = end;
    }
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_numbers_and_escapes_stay_as_they_are() {
        let text = r#"{"b":1.10,"a": [ ],"s":"x, {\"y\"}","n":{"z":[1E2,null]},"e":{}}"#;
        let expected = "{\n  \"b\": 1.10,\n  \"a\": [],\n  \"s\": \"x, {\\\"y\\\"}\",\n  \"n\": {\n    \"z\": [\n      1E2,\n      null\n    ]\n  },\n  \"e\": {}\n}";
        assert_eq!(pretty(text), expected);
        assert_eq!(compact(&pretty(text)), text.replace(": [ ]", ":[]"));
    }

    proptest! {
        #[test]
        fn any_text_survives_without_a_panic(text in "[\\PC\"{}\\[\\],:\\\\ ]{0,40}") {
            pretty(&text);
            compact(&text);
        }

        #[test]
        fn what_is_printed_is_the_same_json(names in prop::collection::vec("\\PC{0,6}", 0..6), number: f64) {
            let value = serde_json::json!({"names": names, "deep": [{"n": number}, [], {}]});
            let printed: serde_json::Value = serde_json::from_str(&pretty(&value.to_string())).unwrap();
            prop_assert_eq!(printed, value);
        }
    }
}
