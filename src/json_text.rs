//! The text of JSON: its white space, and what of it a terminal must not see. Names, values, their order and the text of numbers
//! stay as they are.

use std::borrow::Cow;

/// One member or element per line, two spaces for each level. The text must be JSON.
pub(crate) fn pretty(json: &str) -> String {
    pretty_within(json, usize::MAX).unwrap_or_default()
}

/// The same where it has at most this many bytes; indents of a deep document can take thousands of times its length.
pub(crate) fn pretty_within(json: &str, bytes_max: usize) -> Option<String> {
    let mut out = String::with_capacity(json.len().saturating_mul(2).min(bytes_max));
    let mut depth: usize = 0;
    let mut opened = false;
    tokens(json, |token| {
        if out.len() > bytes_max {
            return;
        }
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
    (out.len() <= bytes_max).then_some(out)
}

/// The same on one line without white space.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    tokens(json, |token| out.push_str(token));
    out
}

/// The same JSON without characters that would move a terminal's cursor or turn its writing around: JSON can write each as an escape.
pub(crate) fn visible(json: &str) -> Cow<'_, str> {
    if !json.contains(moves_or_turns) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if moves_or_turns(c) {
            // All of them are in the first plane, where one escape says a character.
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A text that others chose, such as an id, without what would move a terminal's cursor or turn its writing around.
pub(crate) fn printable(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        other => other.escape_debug().to_string(),
    };
    text.chars().map(escaped).collect()
}

/// Controls, other line ends, and the marks that set the direction of writing. Line feeds are [`pretty`]'s: no JSON string has them.
pub(crate) fn moves_or_turns(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || matches!(c, '\u{2028}' | '\u{2029}') || (c.is_control() && c != '\n')
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
    fn a_deep_document_takes_no_more_than_it_may() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(pretty_within(&deep, 100_000), None);
        assert_eq!(pretty_within("[1]", 7).as_deref(), Some("[\n  1\n]"));
        assert_eq!(pretty_within("[1]", 6), None);
    }

    #[test]
    fn order_numbers_and_escapes_stay_as_they_are() {
        let text = r#"{"b":1.10,"a": [ ],"s":"x, {\"y\"}","n":{"z":[1E2,null]},"e":{}}"#;
        let expected = "{\n  \"b\": 1.10,\n  \"a\": [],\n  \"s\": \"x, {\\\"y\\\"}\",\n  \"n\": {\n    \"z\": [\n      1E2,\n      null\n    ]\n  },\n  \"e\": {}\n}";
        assert_eq!(pretty(text), expected);
        assert_eq!(compact(&pretty(text)), text.replace(": [ ]", ":[]"));
    }

    #[test]
    fn what_would_move_the_cursor_becomes_an_escape_of_the_same_json() {
        let text = "{\"a\u{9b}2J\": \"\u{202e}\u{2028}\u{7f}é☃😀\"}";
        let shown = visible(text);
        assert_eq!(shown, r#"{"a\u009b2J": "\u202e\u2028\u007fé☃😀"}"#);
        let [one, other] = [text, &*shown].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(one, other);
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
