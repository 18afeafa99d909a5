//! Lines of JSON objects of which none can be changed, left out, added or cut off unnoticed.
//!
//! The last member of each line is `seal`: the first eight bytes, in lower-case hexadecimal, of the SHA-256 over every byte of the lines
//! before it, line ends included, and of this one up to the comma before the seal. So the first line that does not fit is the one that was
//! altered. That a file is whole its last line has to say. Seals tell accidents and edits; they keep no secret, so whoever wants to
//! forge a file can.

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// What a line ends with: the comma, the member's name, sixteen hexadecimal digits, the quote and the brace.
const BEFORE_SEAL: &str = r#","seal":""#;
const SEAL_CHARS: usize = 16;
const AFTER_SEAL: &str = "\"}";

/// Why a line is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealError {
    /// It has no seal.
    #[error("it is cut off or was not written by cosmirror")]
    Missing,
    /// Its seal is another one.
    #[error("it, or what is before it, was changed since it was written")]
    Broken,
    /// What should be written is no JSON object with members.
    #[error("only JSON objects that are not empty can be sealed")]
    NotAnObject,
}

/// The state behind some lines; for writing more, and for checking what was written.
#[derive(Debug, Clone, Default)]
pub struct Seals {
    hash: Sha256,
}

impl Seals {
    /// The next line, its line end included.
    pub fn seal(&mut self, item: &impl Serialize) -> Result<String, SealError> {
        let mut line = serde_json::to_string(item).map_err(|_| SealError::NotAnObject)?;
        if !line.starts_with('{') || !line.ends_with('}') || line.len() < 3 {
            return Err(SealError::NotAnObject);
        }
        line.pop();
        self.hash.update(&line);
        line.push_str(BEFORE_SEAL);
        line.push_str(&self.text(SEAL_CHARS));
        line.push_str(AFTER_SEAL);
        line.push('\n');
        self.hash.update(&line[line.len() - tail_length() - 1..]);
        Ok(line)
    }

    /// Accepts the next line, which is given without its line end. What it says is its whole text, of which a reader ignores the seal.
    pub fn open(&mut self, line: &str) -> Result<(), SealError> {
        let cut = line.len().checked_sub(tail_length()).filter(|cut| line.is_char_boundary(*cut));
        let (content, tail) = line.split_at(cut.ok_or(SealError::Missing)?);
        let seal = tail.strip_prefix(BEFORE_SEAL).and_then(|rest| rest.strip_suffix(AFTER_SEAL));
        let seal = seal.ok_or(SealError::Missing)?;
        let mut next = Self { hash: self.hash.clone() };
        next.hash.update(content);
        if next.text(SEAL_CHARS) != seal {
            return Err(SealError::Broken);
        }
        next.hash.update(tail);
        next.hash.update("\n");
        *self = next;
        Ok(())
    }

    /// SHA-256 of every byte so far, in lower-case hexadecimal: the digest of a file's lines.
    pub fn digest(&self) -> String {
        self.text(usize::MAX)
    }

    fn text(&self, chars: usize) -> String {
        let digest = self.hash.clone().finalize();
        let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(chars);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }
}

const fn tail_length() -> usize {
    BEFORE_SEAL.len() + SEAL_CHARS + AFTER_SEAL.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sealed(values: &[&str]) -> String {
        let mut seals = Seals::default();
        values.iter().map(|value| seals.seal(&json!({ "value": value })).unwrap()).collect()
    }

    fn opened(text: &str) -> (usize, Result<String, SealError>) {
        let mut seals = Seals::default();
        for (at, line) in text.lines().enumerate() {
            if let Err(error) = seals.open(line) {
                return (at, Err(error));
            }
        }
        (text.lines().count(), Ok(seals.digest()))
    }

    #[test]
    fn golden_lines() {
        let text = sealed(&["a", "b"]);
        let expected =
            "{\"value\":\"a\",\"seal\":\"8faa5744dd87166c\"}\n{\"value\":\"b\",\"seal\":\"2dd787d6e3cd2c98\"}\n";
        assert_eq!(text, expected);
        assert_eq!(opened(&text).1.unwrap(), crate::version::sha256_hex(text.as_bytes()));
    }

    #[test]
    fn what_is_no_object_cannot_be_sealed() {
        for value in [json!([1]), json!({}), json!("x")] {
            assert_eq!(Seals::default().seal(&value), Err(SealError::NotAnObject));
        }
    }

    proptest! {
        #[test]
        fn the_first_line_that_was_altered_is_found(
            values in prop::collection::vec(".{0,20}", 1..6), at: prop::sample::Index, to in prop::char::any(),
        ) {
            let text = sealed(&values.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert!(opened(&text).1.is_ok());
            let places: Vec<(usize, char)> = text.char_indices().filter(|(_, c)| *c != '\n').collect();
            let (at, from) = *at.get(&places);
            prop_assume!(to != from && to != '\n' && to != '\r');
            let altered = format!("{}{to}{}", &text[..at], &text[at + from.len_utf8()..]);
            let (line, error) = opened(&altered);
            prop_assert!(error.is_err());
            prop_assert_eq!(line, text[..at].matches('\n').count());
        }

        #[test]
        fn a_line_that_is_missing_or_moved_is_found(values in prop::collection::hash_set("[a-z]{1,8}", 3..6), from in 0usize..3, to in 0usize..3) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let text = sealed(&values);
            let mut lines: Vec<&str> = text.lines().collect();
            let line = lines.remove(from);
            prop_assert!(opened(&lines.join("\n")).1.is_err() || from == lines.len());
            lines.insert(to, line);
            prop_assert_eq!(opened(&lines.join("\n")).1.is_ok(), from == to);
        }
    }
}
