//! Query text into tokens.

use std::ops::Range;

use crate::error::{Fault, QueryError};

/// A token's kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A keyword or an identifier, as written.
    Word(String),
    /// A parameter with its `@`.
    Parameter(String),
    Number(f64),
    String(String),
    Symbol(&'static str),
    End,
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
}

/// Longer symbols first, so that `<=` is not `<` and `=`.
const SYMBOLS: [&str; 25] = [
    "<=", ">=", "!=", "<>", "||", "??", "=", "<", ">", "(", ")", "[", "]", "{", "}", ",", ".", ":", "*", "+", "-", "/",
    "%", "?", "~",
];

/// The tokens of a query, ending with [`Kind::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += blank(&text[at..]).map_err(|comment| malformed(text, at + comment, "a comment is not closed"))?;
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            tokens.push(Token { kind: Kind::End, span: at..at });
            return Ok(tokens);
        };
        let (kind, length) = match first {
            '\'' | '"' => quoted(rest, first)
                .ok_or_else(|| malformed(text, at, "a string is not closed or has a malformed escape"))?,
            '0'..='9' => number(rest).ok_or_else(|| malformed(text, at, "a number is malformed"))?,
            '@' => {
                let length = 1 + word_length(&rest[1..]);
                (Kind::Parameter(rest[..length].to_owned()), length)
            }
            c if c.is_alphabetic() || c == '_' => {
                let length = word_length(rest);
                (Kind::Word(rest[..length].to_owned()), length)
            }
            _ => {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol = symbol
                    .ok_or_else(|| malformed(text, at, &format!("the character {first:?} is not expected here")))?;
                (Kind::Symbol(symbol), symbol.len())
            }
        };
        tokens.push(Token { kind, span: at..at + length });
        at += length;
    }
}

fn malformed(text: &str, at: usize, reason: &str) -> QueryError {
    QueryError::new(text, at, Fault::Malformed(reason.to_owned()))
}

/// The length of white space and comments, or where a comment begins that does not end.
fn blank(text: &str) -> Result<usize, usize> {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        let comment = if trimmed.starts_with("--") {
            trimmed.find('\n').unwrap_or(trimmed.len())
        } else if let Some(inner) = trimmed.strip_prefix("/*") {
            // What follows an open one must not be lost in silence: it may narrow what is selected.
            inner.find("*/").ok_or(at)? + 4
        } else {
            return Ok(at);
        };
        at += comment;
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len())
}

fn number(text: &str) -> Option<(Kind, usize)> {
    let mut length = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    if let Some(exponent) = text[length..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let digits = exponent[sign..].find(|c: char| !c.is_ascii_digit()).unwrap_or(exponent.len() - sign);
        if digits > 0 {
            length += 1 + sign + digits;
        }
    }
    let value: f64 = text[..length].parse().ok()?;
    value.is_finite().then_some((Kind::Number(value), length))
}

/// A string in either kind of quotes, with JSON's escapes.
fn quoted(text: &str, quote: char) -> Option<(Kind, usize)> {
    // UTF-16, because an escape names one unit of it and two may make a character.
    let mut units: Vec<u16> = Vec::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        let unit = match c {
            c if c == quote => return Some((Kind::String(String::from_utf16_lossy(&units)), at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let mut unit = 0;
                    for _ in 0..4 {
                        unit = unit << 4 | chars.next()?.1.to_digit(16)?;
                    }
                    units.push(u16::try_from(unit).ok()?);
                    continue;
                }
                other => other,
            },
            c => c,
        };
        units.extend_from_slice(unit.encode_utf16(&mut [0; 2]));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn comments_and_white_space_separate() {
        let word = |text: &str| Kind::Word(text.to_owned());
        assert_eq!(kinds("a -- x\n/* y */ b"), [word("a"), word("b"), Kind::End]);
        assert_eq!(kinds("/**/"), [Kind::End]);
        assert_eq!(tokens("a /*/ b").unwrap_err().at, 2);
    }

    #[test]
    fn numbers_and_symbols_end_where_they_should() {
        assert_eq!(kinds("1.5e-3<=2"), [Kind::Number(0.0015), Kind::Symbol("<="), Kind::Number(2.0), Kind::End]);
        assert_eq!(kinds("1e"), [Kind::Number(1.0), Kind::Word("e".into()), Kind::End]);
        assert!(tokens("1.2.3").is_err() && tokens("1e999").is_err());
    }

    #[test]
    fn strings_take_both_quotes_and_escapes() {
        let string = |text: &str| Kind::String(text.to_owned());
        assert_eq!(kinds(r#"'a"\'' "\u0041\n""#), [string("a\"'"), string("A\n"), Kind::End]);
        assert_eq!(kinds(r"'\ud83d\ude00 \ud83d'"), [string("😀 \u{fffd}"), Kind::End]);
        assert!(tokens("'open").is_err() && tokens(r"'\u+041'").is_err());
    }
}
