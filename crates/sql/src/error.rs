//! Why a text is no query or condition.

use std::fmt;

/// How much of the text an error shows.
const NEAR_CHARS_MAX: usize = 24;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// Where in the text, in bytes from its start.
    pub at: usize,
    /// How the text goes on there; empty at its end.
    pub near: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something else should stand there.
    #[error("{0} is expected here")]
    Expected(String),
    /// No token begins there.
    #[error("{0}")]
    Malformed(String),
    /// A name that means nothing.
    #[error("Identifier '{0}' could not be resolved")]
    UnknownName(String),
    /// A parameter without a value; its name with `@`.
    #[error("The query parameter {0} has no value")]
    Parameter(String),
    /// A function that does not exist here.
    #[error("function {0}")]
    UnknownFunction(String),
    /// A function with another number of arguments than it takes.
    #[error("{name} does not take {count} arguments")]
    Arguments {
        /// The function.
        name: String,
        /// How many it was given.
        count: usize,
    },
    /// More levels than an expression may have.
    #[error("The expression has more than {0} levels")]
    TooDeep(usize),
    /// Valid in the service's language, and not known here.
    #[error("{0}")]
    Unsupported(String),
}

impl QueryError {
    pub(crate) fn new(text: &str, at: usize, fault: Fault) -> Self {
        let near = text.get(at..).unwrap_or_default().chars().take(NEAR_CHARS_MAX).collect();
        Self { at, near, fault }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, near, fault } = self;
        match fault {
            Fault::Expected(_) | Fault::Malformed(_) => {
                write!(f, "Syntax error at character {at}, near {near:?}: {fault}.")
            }
            _ => write!(f, "{fault}."),
        }
    }
}

impl std::error::Error for QueryError {}
