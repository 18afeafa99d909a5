//! A condition on a document, as a person writes it: what stands behind `WHERE`, where `c` is the document.

use std::fmt;

use crate::ast::{Expression, Function};
use crate::error::{Fault, QueryError};
use crate::eval::{Scope, evaluate};
use crate::{json, parser};

/// The longest condition, in bytes.
pub const CONDITION_BYTES_MAX: usize = 64 << 10;

/// The document's name.
const ALIAS: &str = "c";

/// A condition on a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    text: String,
    expression: Expression,
}

/// Why a text is no condition, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The first character that does not belong there, counted from 1.
    pub column: usize,
    /// How the text goes on there; empty at its end.
    pub near: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// What a condition was asked of is not the text of a JSON object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document is not a JSON object: {0}")]
pub struct NotADocument(String);

impl Condition {
    /// Parses a condition such as `c.status = 'open' AND ARRAY_CONTAINS(c.tags, 'x')`, with or without `WHERE` before it.
    ///
    /// # Errors
    /// Where the text is wrong, and how. It may have [`CONDITION_BYTES_MAX`] bytes.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > CONDITION_BYTES_MAX {
            let reason = format!("a condition has at most {CONDITION_BYTES_MAX} bytes, this one has {}", text.len());
            return Err(ParseError { column: 1, near: text.chars().take(24).collect(), reason });
        }
        let expression = parser::condition(text, ALIAS).map_err(|error| explained(text, error))?;
        Ok(Self { text: text.trim().to_owned(), expression })
    }

    /// Whether it is true of a document, given as its JSON text. Neither false nor undefined is true.
    ///
    /// # Errors
    /// The text is not that of a JSON object.
    pub fn matches(&self, document: &str) -> Result<bool, NotADocument> {
        let document = json::validate(document.as_bytes()).map_err(NotADocument)?;
        if !json::is_object(document) {
            return Err(NotADocument("it is another value".to_owned()));
        }
        Ok(evaluate(&self.expression, Scope { document, count: 0 }).as_bool() == Some(true))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn explained(text: &str, error: QueryError) -> ParseError {
    let QueryError { at, near, fault } = error;
    let reason = match fault {
        Fault::UnknownName(name) => {
            let behind = text.get(at + name.len()..).unwrap_or_default().trim_start();
            if behind.starts_with(['.', '[']) {
                format!("the document is named {ALIAS}, not {name}")
            } else {
                format!("the name {name} is not known; a property is written {ALIAS}.{name}, a string '{name}'")
            }
        }
        Fault::Parameter(name) => format!("a condition has no parameters; write the value instead of {name}"),
        Fault::UnknownFunction(name) => {
            let known: Vec<&str> = Function::names().collect();
            format!("there is no function {name} here; there are {}", known.join(", "))
        }
        Fault::Unsupported(what) => format!("{what} is not supported"),
        Fault::TooDeep(levels) => format!("the condition has more than {levels} levels"),
        other => other.to_string(),
    };
    let column = text.get(..at).unwrap_or(text).chars().count() + 1;
    ParseError { column, near, reason }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, near, reason } = self;
        if near.is_empty() {
            write!(f, "at column {column}, the end: {reason}")
        } else {
            write!(f, "at column {column}, near {near:?}: {reason}")
        }
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests;
