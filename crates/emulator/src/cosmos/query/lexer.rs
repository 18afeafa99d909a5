//! Query text into tokens.

use std::ops::Range;

use super::QueryError;

/// A token's kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
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
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// Longer symbols first, so that `<=` is not `<` and `=`.
const SYMBOLS: [&str; 25] = [
    "<=", ">=", "!=", "<>", "||", "??", "=", "<", ">", "(", ")", "[", "]", "{", "}", ",", ".", ":", "*", "+", "-", "/",
    "%", "?", "~",
];

/// The tokens of a query, ending with [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += blank(&text[at..]);
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            tokens.push(Token { kind: Kind::End, span: at..at });
            return Ok(tokens);
        };
        let (kind, length) = match first {
            '\'' | '"' => quoted(rest, first).ok_or_else(|| QueryError::syntax(text, at, "a string is not closed"))?,
            '0'..='9' => number(rest).ok_or_else(|| QueryError::syntax(text, at, "a number is malformed"))?,
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
                let symbol = symbol.ok_or_else(|| QueryError::syntax(text, at, "a character is not expected here"))?;
                (Kind::Symbol(symbol), symbol.len())
            }
        };
        tokens.push(Token { kind, span: at..at + length });
        at += length;
    }
}

/// The length of white space and comments.
fn blank(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start();
        at += rest.len() - trimmed.len();
        let comment = if trimmed.starts_with("--") {
            trimmed.find('\n').unwrap_or(trimmed.len())
        } else if trimmed.starts_with("/*") {
            trimmed.find("*/").map_or(trimmed.len(), |end| end + 2)
        } else {
            return at;
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
    text[..length].parse().ok().map(|value| (Kind::Number(value), length))
}

/// A string in either kind of quotes, with JSON's escapes.
fn quoted(text: &str, quote: char) -> Option<(Kind, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((Kind::String(value), at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                'b' => value.push('\u{8}'),
                'f' => value.push('\u{c}'),
                'u' => {
                    let hex: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    let unit = u32::from_str_radix(&hex, 16).ok()?;
                    value.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                other => value.push(other),
            },
            c => value.push(c),
        }
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
        assert_eq!(kinds("/* open"), [Kind::End]);
    }

    #[test]
    fn numbers_and_symbols_end_where_they_should() {
        assert_eq!(kinds("1.5e-3<=2"), [Kind::Number(0.0015), Kind::Symbol("<="), Kind::Number(2.0), Kind::End]);
        assert_eq!(kinds("1e"), [Kind::Number(1.0), Kind::Word("e".into()), Kind::End]);
        assert!(tokens("1.2.3").is_err());
    }

    #[test]
    fn strings_take_both_quotes_and_escapes() {
        let string = |text: &str| Kind::String(text.to_owned());
        assert_eq!(kinds(r#"'a"\'' "\u0041\n""#), [string("a\"'"), string("A\n"), Kind::End]);
        assert!(tokens("'open").is_err());
    }
}
