//! Names, strings and paths as the text between the quotes of a JSON string.
//!
//! A document may carry half of a surrogate pair in a name or a string, which is no character and fits into no Rust string. So
//! everything stays escaped, in one spelling for each sequence of code units: equal texts are equal strings.

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json_text::compact;

/// A path into a document: a JSON Pointer (RFC 6901) as it stands between the quotes of a JSON string (its section 5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Goes down to the member with this name, in its one spelling.
    pub(super) fn push_name(&mut self, name: &str) {
        self.0.push('/');
        // Neither character is ever part of an escape.
        for c in name.chars() {
            match c {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                other => self.0.push(other),
            }
        }
    }

    /// Goes down to the element with this index.
    pub(super) fn push_index(&mut self, index: usize) {
        self.0.push('/');
        self.0.push_str(&index.to_string());
    }

    /// Goes back up to where it was this long.
    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Pointer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(format!("\"{}\"", self.0)).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// A part of a document as it is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(pub(super) &'a str);

impl fmt::Display for Json<'_> {
    /// On one line, without white space.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&compact(self.0))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(compact(self.0)).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// The one spelling of what stands between the quotes of a valid JSON string: escapes only where there is no other way.
pub(super) fn canonical(content: &str) -> Cow<'_, str> {
    if !content.contains('\\') {
        return Cow::Borrowed(content);
    }
    let mut out = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let escape = rest.as_bytes().get(1).copied();
        let length = if escape == Some(b'u') { unicode(&mut out, rest) } else { short(&mut out, rest, escape) };
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Takes an escape of one letter; gives its length.
fn short(out: &mut String, rest: &str, escape: Option<u8>) -> usize {
    match escape {
        Some(b'/') => out.push('/'),
        _ => out.push_str(&rest[..2]),
    }
    2
}

/// Takes an escape of one code unit, or of two that are one character; gives its length.
fn unicode(out: &mut String, rest: &str) -> usize {
    let unit = |at: usize| {
        let digits = rest.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let Some(first) = unit(0) else { return short(out, rest, None) };
    let pair = unit(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    match (char::from_u32(u32::from(first)), pair) {
        (Some(c), _) => {
            push(out, c);
            6
        }
        (None, Some(c)) => {
            out.push(c);
            12
        }
        (None, None) => {
            out.push_str(&format!("\\u{first:04x}"));
            6
        }
    }
}

fn push(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_string_becomes_the_same() {
        for (spellings, expected) in [
            (&[r"\u0041\u002f", "A/", r"A\/"][..], "A/"),
            (&[r"\u0022\u005C", r#"\"\\"#], r#"\"\\"#),
            (&[r"\u000A\u0009\u0008\u000c\u000d", r"\n\t\b\f\r"], r"\n\t\b\f\r"),
            (&[r"\u001B", r"\u001b"], r"\u001b"),
            (&[r"\ud83d\uDE00", "😀"], "😀"),
            (&[r"\uD83Dx\ude00", r"\ud83dx\uDE00"], r"\ud83dx\ude00"),
            (&[r"\ud83d\ud83d\ude00", r"\uD83D😀"], r"\ud83d😀"),
        ] {
            for spelling in spellings {
                assert_eq!(canonical(spelling), expected, "{spelling}");
            }
        }
    }

    #[test]
    fn a_pointer_escapes_what_would_be_read_as_its_own() {
        let mut pointer = Pointer::default();
        assert!(pointer.is_root());
        pointer.push_name("a/b~1");
        pointer.push_index(7);
        pointer.push_name("");
        assert_eq!(pointer.to_string(), "/a~1b~01/7/");
        pointer.push_name(&canonical(r"\ud800\u001b\u0022"));
        assert_eq!(serde_json::to_string(&pointer).unwrap(), r#""/a~1b~01/7//\ud800\u001b\"""#);
    }

    proptest! {
        #[test]
        fn the_one_spelling_says_the_same_string(units in prop::collection::vec(0u16..0xd800, 0..20), plain in "[\\PC]{0,9}") {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04X}")).collect();
            let text = format!("{escaped}{}", plain.replace('\\', "/").replace('"', "'"));
            let read = |text: &str| serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap();
            prop_assert_eq!(read(&canonical(&text)), read(&text));
            let again = canonical(&text).into_owned();
            prop_assert_eq!(canonical(&again).into_owned(), again.clone());
        }
    }
}
