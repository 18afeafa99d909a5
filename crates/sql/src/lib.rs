//! The part of Cosmos DB's query language that the emulator answers and that `restore --where` selects by: text to tree
//! ([`parse`], [`Condition`]), and the value of an expression for a document ([`evaluate`]). No I/O.
//!
//! Invariants:
//! - Nothing panics and no stack overflows, whatever the text: nesting, height and length of an expression are limited, and
//!   what an expression makes is, too.
//! - A document stays text. What an expression finds in it is a part of that text, so its numbers keep their digits; they
//!   are compared and calculated as 64-bit floating point, as the service does.
//! - The logic has three values: what is not there, and what cannot be compared, is undefined, and undefined is not true.
//!
//! Semantics: <https://learn.microsoft.com/azure/cosmos-db/nosql/query/>. It knows no subqueries, joins, aggregates but
//! `COUNT`, and user-defined functions; they are refused by name.

pub mod ast;
mod condition;
mod error;
mod eval;
pub mod json;
mod lexer;
mod parser;
mod value;

pub use condition::{CONDITION_BYTES_MAX, Condition, NotADocument, ParseError};
pub use error::{Fault, QueryError};
pub use eval::{Scope, evaluate, object};
pub use parser::parse;
pub use value::{Type, Value};
