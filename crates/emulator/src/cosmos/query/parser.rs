//! Tokens into a tree. What the grammar knows and the emulator lacks is refused by name.

mod expression;

pub(super) use expression::number_json;

use std::collections::HashMap;

use super::QueryError;
use super::ast::{Expression, Order, Query, Select, Spanned};
use super::lexer::{Kind, Token, tokens};

/// Words that end an expression list or a clause, and so cannot be an alias.
const RESERVED: [&str; 12] =
    ["FROM", "WHERE", "ORDER", "GROUP", "OFFSET", "LIMIT", "JOIN", "IN", "AS", "BY", "AND", "OR"];

/// The deepest nesting of expressions.
const DEPTH_MAX: usize = 64;

/// Parses a query whose parameters have these values, as JSON texts by name with `@`.
pub(super) fn parse(text: &str, parameters: &HashMap<String, String>) -> Result<Query, QueryError> {
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, parameters, alias: None, depth: 0 };
    // Expressions come before the name they use: find it first.
    parser.alias = parser.find_alias();
    parser.query()
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    parameters: &'a HashMap<String, String>,
    alias: Option<String>,
    depth: usize,
}

impl Parser<'_> {
    fn query(&mut self) -> Result<Query, QueryError> {
        self.expect_word("SELECT")?;
        if self.take_word("DISTINCT") {
            return Err(QueryError::unsupported("DISTINCT"));
        }
        // Before the expressions, which use names that only the joins explain.
        if self.joins() {
            return Err(QueryError::unsupported("JOIN"));
        }
        let top = if self.take_word("TOP") { Some(self.amount()?) } else { None };
        let select = self.select()?;
        let from_start = self.token().span.start;
        self.expect_word("FROM")?;
        let alias = self.from()?;
        let from = from_start..self.end_of_previous();
        let filter = if self.take_word("WHERE") { Some(self.spanned()?) } else { None };
        if self.is_word("GROUP") {
            return Err(QueryError::unsupported("GROUP BY"));
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
            return Err(QueryError::unsupported("FROM over a part of the document"));
        }
        let alias = self.alias_after()?.unwrap_or(source);
        if self.is_word("IN") {
            return Err(QueryError::unsupported("IN"));
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
            return Err(QueryError::unsupported("ORDER BY RANK"));
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
        self.at += 1;
        match number {
            Some(number) if number >= 0.0 && number.fract() == 0.0 && number <= f64::from(i32::MAX) => {
                Ok(number as u64)
            }
            _ => Err(QueryError::syntax(self.text, token.span.start, "a number of rows is expected here")),
        }
    }

    fn parameter(&self, name: &str) -> Result<&str, QueryError> {
        self.parameters
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| QueryError::Invalid(format!("The query parameter {name} has no value.")))
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
        QueryError::syntax(self.text, self.token().span.start, &format!("{expected} is expected here"))
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
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Query, QueryError> {
        let parameters = [("@n".to_owned(), "3".to_owned()), ("@s".to_owned(), "\"x\"".to_owned())].into();
        parse(text, &parameters)
    }

    #[test]
    fn clauses_are_told_apart() {
        let query =
            parsed("select top @n r.a, r.b.c x from root as r where r.a = @s order by r.a desc, r.b offset 2 limit 3")
                .unwrap();
        assert_eq!((query.top, query.offset_limit, query.alias.as_str()), (Some(3), Some((2, 3)), "r"));
        let Select::List(items) = &query.select else { panic!("a list is selected") };
        assert_eq!(items.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "x"]);
        assert_eq!(query.order_by.iter().map(|order| order.descending).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn what_the_emulator_lacks_is_named() {
        for (text, name) in [
            ("SELECT DISTINCT c.a FROM c", "DISTINCT"),
            ("SELECT c.a FROM c GROUP BY c.a", "GROUP BY"),
            ("SELECT * FROM c JOIN t IN c.tags", "JOIN"),
            ("SELECT VALUE t FROM c JOIN t IN c.tags", "JOIN"),
            ("SELECT * FROM t IN c.tags", "IN"),
            ("SELECT * FROM c.tags", "FROM over a part of the document"),
            ("SELECT * FROM c WHERE ST_WITHIN(c.a, c.b)", "function ST_WITHIN"),
            ("SELECT * FROM c WHERE c.a LIKE 'x%'", "LIKE"),
            ("SELECT VALUE SUM(c.a) FROM c", "aggregate SUM"),
            ("SELECT * FROM c WHERE EXISTS(SELECT VALUE 1 FROM c)", "EXISTS"),
            ("SELECT VALUE (SELECT VALUE 1 FROM c) FROM c", "a subquery"),
            ("SELECT * FROM c WHERE udf.f(c)", "a user-defined function"),
            ("SELECT c.a ? 1 : 2 FROM c", "the operator ?"),
        ] {
            assert_eq!(parsed(text), Err(QueryError::unsupported(name)), "{text}");
        }
    }

    #[test]
    fn malformed_queries_are_refused() {
        for text in [
            "",
            "SELECT",
            "SELECT * FROM",
            "SELECT * FROM c WHERE",
            "SELECT * FROM c WHERE c.",
            "SELECT * FROM c x y",
            "SELECT * FROM c WHERE d.a = 1",
            "SELECT * FROM c WHERE c.a = @unknown",
            "SELECT TOP -1 * FROM c",
            "SELECT * FROM c WHERE (c.a = 1",
            "SELECT * FROM c ORDER c.a",
            "SELECT * FROM c OFFSET 1",
        ] {
            assert!(matches!(parsed(text), Err(QueryError::Invalid(_))), "{text:?} gave {:?}", parsed(text));
        }
        let deep = format!("SELECT * FROM c WHERE {}1", "(".repeat(10_000));
        assert!(parsed(&deep).is_err());
    }
}
