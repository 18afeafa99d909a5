//! Looking into JSON text without parsing it into values, so that documents keep the bytes they were sent with.
//!
//! [`validate`] accepts a text once; every other function presumes text that passed it and never panics on other
//! text, but answers nonsense.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The deepest nesting the service accepts.
const DEPTH_MAX: usize = 128;

/// A member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// The name, decoded.
    pub name: Cow<'a, str>,
    /// The value's text.
    pub value: &'a str,
    /// Where the member lies in the object's text, with the white space around it and without commas.
    pub span: Range<usize>,
}

/// The text of a body that is exactly one JSON value, without the white space around it.
pub fn validate(body: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
    let text = text.trim_ascii();
    if depth(text) > DEPTH_MAX {
        return Err(format!("it nests deeper than {DEPTH_MAX} levels"));
    }
    Ok(text)
}

/// Whether the value is an object.
pub fn is_object(text: &str) -> bool {
    text.starts_with('{')
}

/// The members of an object, in order, duplicates included; none of anything else.
pub fn members(text: &str) -> Members<'_> {
    let next = if is_object(text) { 1 } else { text.len() };
    Members { text, next }
}

/// The value of an object's member; the last one if the name occurs again.
pub fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    members(text).filter(|member| member.name == name).last().map(|member| member.value)
}

/// The elements of an array; none of anything else.
pub fn elements(text: &str) -> Elements<'_> {
    let next = if text.starts_with('[') { 1 } else { text.len() };
    Elements { text, next }
}

/// Iterator of [`members`].
pub struct Members<'a> {
    text: &'a str,
    next: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let bytes = self.text.as_bytes();
        let start = self.next;
        let name_start = skip_space(bytes, start);
        if bytes.get(name_start) != Some(&b'"') {
            self.next = bytes.len();
            return None;
        }
        let name_end = skip_string(bytes, name_start);
        let colon = skip_space(bytes, name_end);
        let value_start = skip_space(bytes, colon + 1);
        let value_end = skip_value(bytes, value_start);
        let end = skip_space(bytes, value_end);
        self.next = if bytes.get(end) == Some(&b',') { end + 1 } else { bytes.len() };
        Some(Member {
            name: lossy_string(self.text.get(name_start..name_end)?)?,
            value: self.text.get(value_start..value_end)?,
            span: start..end,
        })
    }
}

/// Iterator of [`elements`].
pub struct Elements<'a> {
    text: &'a str,
    next: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = skip_space(bytes, self.next);
        if matches!(bytes.get(start), None | Some(b']')) {
            self.next = bytes.len();
            return None;
        }
        let end = skip_value(bytes, start);
        let after = skip_space(bytes, end);
        self.next = if bytes.get(after) == Some(&b',') { after + 1 } else { bytes.len() };
        self.text.get(start..end)
    }
}

/// The text of a JSON string; `None` for other values and for strings that hold half a surrogate pair.
pub fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// The text of a JSON string, with U+FFFD for every half of a surrogate pair; `None` for other values.
pub fn lossy_string(text: &str) -> Option<Cow<'_, str>> {
    string(text).or_else(|| {
        let inner = text.strip_prefix('"')?.strip_suffix('"')?;
        let mut units = Vec::new();
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
                continue;
            }
            units.push(match chars.next()? {
                'n' => 0xa,
                't' => 0x9,
                'r' => 0xd,
                'b' => 0x8,
                'f' => 0xc,
                'u' => {
                    let (digits, rest) = chars.as_str().split_at_checked(4)?;
                    chars = rest.chars();
                    u16::from_str_radix(digits, 16).ok()?
                }
                other => u16::try_from(u32::from(other)).ok()?,
            });
        }
        Some(Cow::Owned(String::from_utf16_lossy(&units)))
    })
}

/// Reads a member's value that may be absent: unlike serde's own `Option`, `null` is a value.
pub fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The place after the string that starts at `from`.
fn skip_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    // Most of a document is text within strings; this looks at many bytes at once.
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        match bytes[at] {
            b'"' => return at + 1,
            _ => at += 2,
        }
    }
    bytes.len()
}

/// The place after the value that starts at `from`.
fn skip_value(bytes: &[u8], from: usize) -> usize {
    match bytes.get(from) {
        Some(b'"') => skip_string(bytes, from),
        Some(b'{' | b'[') => skip_nested(bytes, from),
        _ => {
            let mut at = from;
            while !matches!(bytes.get(at), None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')) {
                at += 1;
            }
            at
        }
    }
}

fn skip_nested(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = skip_string(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn depth(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut deepest) = (0, 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = skip_string(bytes, at);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_text() {
        let text = r#"{ "a" : 1.10 ,"b\u0063":{"x":"}\"]"}, "d" : [ 1 ,"," ] }"#;
        let found: Vec<_> = members(text).map(|m| (m.name.into_owned(), m.value)).collect();
        let expected = [("a", "1.10"), ("bc", r#"{"x":"}\"]"}"#), ("d", r#"[ 1 ,"," ]"#)];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(elements(r#"[ 1 ,"," ]"#).collect::<Vec<_>>(), ["1", r#"",""#]);
        assert_eq!(elements("[ ]").count() + members("{ }").count() + members("[]").count(), 0);
    }

    #[test]
    fn the_last_of_two_members_counts() {
        assert_eq!(member(r#"{"a":1,"a":2}"#, "a"), Some("2"));
        assert_eq!(member(r#"{"a":1}"#, "b"), None);
    }

    /// The iterator ended at such a name, and every member behind it was as if it were not there.
    #[test]
    fn a_name_with_half_a_surrogate_pair_hides_no_member() {
        let text = r#"{"\ud83d":1,"b":"\\\n\ud83d\ud83d\ude00\"é"}"#;
        assert_eq!(member(text, "\u{fffd}"), Some("1"));
        assert_eq!(lossy_string(member(text, "b").unwrap()).as_deref(), Some("\\\n\u{fffd}😀\"é"));
        assert_eq!(lossy_string("1"), None);
    }

    #[test]
    fn a_body_must_be_one_shallow_json_value() {
        assert_eq!(validate(b" {\"a\":1}\n"), Ok("{\"a\":1}"));
        assert!(validate(b"{\"a\":1} x").is_err());
        assert!(validate(b"{\"a\":\xff}").is_err());
        assert!(validate("[".repeat(129).as_bytes()).is_err());
        assert!(validate(format!("{}{}", "[".repeat(128), "]".repeat(128)).as_bytes()).is_ok());
        assert!(validate(format!("{}{}", "[".repeat(129), "]".repeat(129)).as_bytes()).is_err());
    }
}
