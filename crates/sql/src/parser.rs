//! Tokens into a tree. What the service's grammar knows and this one lacks is refused by name.

mod expression;

use std::collections::HashMap;

use crate::ast::{Expression, Order, Query, Select, Spanned};
use crate::error::{Fault, QueryError};
use crate::lexer::{Kind, Token, tokens};

/// Words that end an expression list or a clause, and so cannot be an alias.
const RESERVED: [&str; 12] =
    ["FROM", "WHERE", "ORDER", "GROUP", "OFFSET", "LIMIT", "JOIN", "IN", "AS", "BY", "AND", "OR"];

/// The deepest nesting of expressions in the text.
const DEPTH_MAX: usize = 64;

/// The highest tree of an expression: it is walked by recursion, and chains such as `a + b + …` grow it without nesting.
const HEIGHT_MAX: usize = 200;

/// Parses a query whose parameters have these values, as JSON texts by name with `@`.
///
/// # Errors
/// What is wrong and where, or what the language has and this crate lacks.
pub fn parse(text: &str, parameters: &HashMap<String, String>) -> Result<Query, QueryError> {
    let mut parser = Parser::new(text, parameters)?;
    // Expressions come before the name they use: find it first.
    parser.alias = parser.find_alias();
    parser.query()
}

/// Parses what may stand behind `WHERE`, which may stand before it, where `alias` is the document.
pub(crate) fn condition(text: &str, alias: &str) -> Result<Expression, QueryError> {
    let parameters = HashMap::new();
    let mut parser = Parser::new(text, &parameters)?;
    parser.alias = Some(alias.to_owned());
    if parser.is_word("SELECT") {
        return Err(parser.fault(Fault::Malformed("a whole query stands here instead of its condition".to_owned())));
    }
    parser.take_word("WHERE");
    let expression = parser.expression()?;
    if parser.token().kind != Kind::End {
        return Err(parser.unexpected("an operator or the end of the condition"));
    }
    match parser.aggregate {
        Some(at) => Err(QueryError::new(text, at, Fault::Unsupported("an aggregate in a condition".to_owned()))),
        None => Ok(expression),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    parameters: &'a HashMap<String, String>,
    alias: Option<String>,
    depth: usize,
    /// Of the expression that was parsed last.
    height: usize,
    /// Where the first aggregate stands.
    aggregate: Option<usize>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, parameters: &'a HashMap<String, String>) -> Result<Self, QueryError> {
        let tokens = tokens(text)?;
        Ok(Self { text, tokens, at: 0, parameters, alias: None, depth: 0, height: 0, aggregate: None })
    }
}

impl Parser<'_> {
    fn query(&mut self) -> Result<Query, QueryError> {
        self.expect_word("SELECT")?;
        if self.take_word("DISTINCT") {
            return Err(self.unsupported("DISTINCT"));
        }
        // Before the expressions, which use names that only the joins explain.
        if self.joins() {
            return Err(self.unsupported("JOIN"));
        }
        let top = if self.take_word("TOP") { Some(self.amount()?) } else { None };
        let select = self.select()?;
        let from_start = self.token().span.start;
        self.expect_word("FROM")?;
        let alias = self.from()?;
        let from = from_start..self.end_of_previous();
        let filter = if self.take_word("WHERE") { Some(self.spanned()?) } else { None };
        if self.is_word("GROUP") {
            return Err(self.unsupported("GROUP BY"));
        }
        let order_by = if self.take_word("ORDER") { self.order_by()? } else { Vec::new() };
        let window = self.is_word("OFFSET").then(|| self.token().span.start);
        let offset_limit = if self.take_word("OFFSET") {
            let offset = self.amount()?;
            self.expect_word("LIMIT")?;
            Some((offset, self.amount()?))
        } else {
            None
        };
        if self.token().kind != Kind::End {
            return Err(self.unexpected("the end of the query"));
        }
        Ok(Query { top, select, alias, from, filter, order_by, offset_limit, window })
    }

    fn select(&mut self) -> Result<Select, QueryError> {
        if self.take_symbol("*") {
            return Ok(Select::All);
        }
        if self.take_word("VALUE") {
            return Ok(Select::Value(self.spanned()?));
        }
        let mut items = Vec::new();
        loop {
            let item = self.spanned()?;
            let name = match self.alias_after()? {
                Some(name) => name,
                None => implied_name(&item.expression).unwrap_or_else(|| format!("${}", items.len() + 1)),
            };
            items.push((name, item));
            if !self.take_symbol(",") {
                return Ok(Select::List(items));
            }
        }
    }

    fn from(&mut self) -> Result<String, QueryError> {
        let source = self.word()?;
        if self.is_symbol(".") || self.is_symbol("[") {
            return Err(self.unsupported("FROM over a part of the document"));
        }
        let alias = self.alias_after()?.unwrap_or(source);
        if self.is_word("IN") {
            return Err(self.unsupported("IN"));
        }
        Ok(alias)
    }

    /// A name after what it names, with or without AS.
    fn alias_after(&mut self) -> Result<Option<String>, QueryError> {
        let named = self.take_word("AS") || matches!(&self.token().kind, Kind::Word(word) if !is_reserved(word));
        if named { self.word().map(Some) } else { Ok(None) }
    }

    fn order_by(&mut self) -> Result<Vec<Order>, QueryError> {
        self.expect_word("BY")?;
        if self.is_word("RANK") {
            return Err(self.unsupported("ORDER BY RANK"));
        }
        let mut orders = Vec::new();
        loop {
            let by = self.spanned()?;
            let descending = self.take_word("DESC");
            if !descending {
                self.take_word("ASC");
            }
            orders.push(Order { by, descending });
            if !self.take_symbol(",") {
                return Ok(orders);
            }
        }
    }

    /// The name that the outermost FROM gives to the document.
    fn find_alias(&self) -> Option<String> {
        let from = self.tokens.iter().position(|token| is(&token.kind, "FROM"))?;
        let word = |at: usize| match &self.tokens.get(at)?.kind {
            Kind::Word(word) if !is_reserved(word) => Some(word.clone()),
            _ => None,
        };
        let explicit =
            if self.tokens.get(from + 2).is_some_and(|token| is(&token.kind, "AS")) { from + 3 } else { from + 2 };
        word(explicit).or_else(|| word(from + 1))
    }

    /// Whether a JOIN follows the outermost FROM; as a property's name it has a dot before it.
    fn joins(&self) -> bool {
        let is_join = |pair: &[Token]| is(&pair[1].kind, "JOIN") && !matches!(pair[0].kind, Kind::Symbol("."));
        self.tokens.windows(2).any(is_join)
    }

    /// A number of rows: a literal or a parameter.
    fn amount(&mut self) -> Result<u64, QueryError> {
        let token = self.token().clone();
        let number = match &token.kind {
            Kind::Number(number) => Some(*number),
            Kind::Parameter(name) => self.parameter(name)?.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= 0.0 && number.fract() == 0.0 && number <= f64::from(i32::MAX) => {
                self.at += 1;
                Ok(number as u64)
            }
            _ => Err(self.unexpected("a number of rows")),
        }
    }

    fn parameter(&self, name: &str) -> Result<&str, QueryError> {
        self.parameters.get(name).map(String::as_str).ok_or_else(|| self.fault(Fault::Parameter(name.to_owned())))
    }

    fn spanned(&mut self) -> Result<Spanned, QueryError> {
        let start = self.token().span.start;
        let expression = self.expression()?;
        Ok(Spanned { expression, span: start..self.end_of_previous() })
    }

    fn token(&self) -> &Token {
        // The last token is `End` and is never passed.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn end_of_previous(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.span.end)
    }

    fn is_word(&self, word: &str) -> bool {
        is(&self.token().kind, word)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.token().kind, Kind::Symbol(found) if found == symbol)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.at += usize::from(found);
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<(), QueryError> {
        if self.take_word(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), QueryError> {
        if self.take_symbol(symbol) { Ok(()) } else { Err(self.unexpected(symbol)) }
    }

    fn word(&mut self) -> Result<String, QueryError> {
        match self.token().kind.clone() {
            Kind::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    fn unexpected(&self, expected: &str) -> QueryError {
        self.fault(Fault::Expected(expected.to_owned()))
    }

    fn unsupported(&self, what: impl Into<String>) -> QueryError {
        self.fault(Fault::Unsupported(what.into()))
    }

    /// A fault of the token that is next.
    fn fault(&self, fault: Fault) -> QueryError {
        QueryError::new(self.text, self.token().span.start, fault)
    }
}

fn is(kind: &Kind, word: &str) -> bool {
    matches!(kind, Kind::Word(found) if found.eq_ignore_ascii_case(word))
}

fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// The name of a selected expression that has none: its last property.
fn implied_name(expression: &Expression) -> Option<String> {
    match expression {
        Expression::Property(_, name) => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
