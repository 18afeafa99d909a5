//! Expressions, from the loosest binding operator in: `? :`, `??`, `OR`, `AND`, `NOT`, comparisons, `+`, `*`, signs.

use super::{DEPTH_MAX, HEIGHT_MAX, Parser};
use crate::ast::{Expression, Function, Operator};
use crate::error::{Fault, QueryError};
use crate::lexer::Kind;
use crate::value::number_json;

/// Aggregates that the language has and this crate lacks.
const AGGREGATES: [&str; 5] = ["SUM", "MIN", "MAX", "AVG", "COUNTIF"];

/// Binary operators by how tightly they bind, the loosest first; all group to the left.
const LEVELS: [&[(&str, Operator)]; 3] = [
    &[
        ("=", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<>", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract), ("||", Operator::Concatenate)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

/// The level of comparisons, where NOT, IN, BETWEEN and LIKE belong.
const COMPARISON: usize = 0;

type Parsed = Result<Expression, QueryError>;

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed {
        self.nested(|parser| {
            let condition = parser.coalesced()?;
            if !parser.take_symbol("?") {
                return Ok(condition);
            }
            let mut height = parser.height;
            let yes = parser.expression()?;
            height = height.max(parser.height);
            parser.expect_symbol(":")?;
            let no = parser.expression()?;
            parser.grow(height)?;
            Ok(Expression::Choice(Box::new([condition, yes, no])))
        })
    }

    fn coalesced(&mut self) -> Parsed {
        self.chain(|parser| parser.take_symbol("??"), Self::any, Expression::FirstDefined)
    }

    fn any(&mut self) -> Parsed {
        self.chain(|parser| parser.take_word("OR"), Self::all, Expression::Any)
    }

    fn all(&mut self) -> Parsed {
        self.chain(|parser| parser.take_word("AND"), |parser| parser.binary(COMPARISON), Expression::All)
    }

    /// What an operator links, as one level: such chains are long where a condition names many documents.
    fn chain(
        &mut self,
        linked: impl Fn(&mut Self) -> bool,
        link: impl Fn(&mut Self) -> Parsed,
        make: fn(Vec<Expression>) -> Expression,
    ) -> Parsed {
        let first = link(self)?;
        if !linked(self) {
            return Ok(first);
        }
        let mut height = self.height;
        let mut links = vec![first];
        loop {
            links.push(link(self)?);
            height = height.max(self.height);
            if !linked(self) {
                self.grow(height)?;
                return Ok(make(links));
            }
        }
    }

    fn binary(&mut self, level: usize) -> Parsed {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        if level == COMPARISON && self.take_word("NOT") {
            return self.wrapped(|parser| parser.binary(COMPARISON), Expression::Not);
        }
        let mut left = self.binary(level + 1)?;
        if level == COMPARISON {
            left = self.membership(left)?;
        }
        while let Some(operator) = self.operator(operators) {
            let height = self.height;
            let right = self.binary(level + 1)?;
            self.grow(height)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn operator(&mut self, operators: &[(&'static str, Operator)]) -> Option<Operator> {
        let (_, operator) = operators.iter().find(|(text, _)| self.take_symbol(text))?;
        Some(*operator)
    }

    /// `[NOT] IN (…)`, `[NOT] BETWEEN … AND …`, `[NOT] LIKE … [ESCAPE …]` after a value.
    fn membership(&mut self, value: Expression) -> Parsed {
        let (before, mut height) = (self.at, self.height);
        let negated = self.take_word("NOT");
        let found = if self.take_word("IN") {
            self.expect_symbol("(")?;
            Expression::In(Box::new(value), self.list(")")?)
        } else if self.take_word("BETWEEN") {
            let low = self.binary(COMPARISON + 1)?;
            height = height.max(self.height);
            self.expect_word("AND")?;
            Expression::Between(Box::new([value, low, self.binary(COMPARISON + 1)?]))
        } else if self.take_word("LIKE") {
            let pattern = self.binary(COMPARISON + 1)?;
            Expression::Like(Box::new(value), Box::new(pattern), self.escape()?)
        } else if self.is_word("IS") {
            return Err(self.unsupported("the operator IS (there is the function IS_NULL)"));
        } else {
            self.at = before;
            return Ok(value);
        };
        self.grow(height)?;
        if !negated {
            return Ok(found);
        }
        self.grow(0)?;
        Ok(Expression::Not(Box::new(found)))
    }

    /// `ESCAPE 'c'` after a pattern.
    fn escape(&mut self) -> Result<Option<char>, QueryError> {
        if !self.take_word("ESCAPE") {
            return Ok(None);
        }
        if let Kind::String(text) = &self.token().kind {
            let mut chars = text.chars();
            if let (Some(escape), None) = (chars.next(), chars.next()) {
                self.at += 1;
                return Ok(Some(escape));
            }
        }
        Err(self.unexpected("a string of one character"))
    }

    fn unary(&mut self) -> Parsed {
        if self.take_symbol("-") {
            return self.wrapped(Self::unary, Expression::Negate);
        }
        if self.take_symbol("+") {
            return self.nested(Self::unary);
        }
        if self.is_symbol("~") {
            return Err(self.unsupported("the operator ~"));
        }
        self.postfix()
    }

    fn wrapped(&mut self, inner: fn(&mut Self) -> Parsed, wrap: fn(Box<Expression>) -> Expression) -> Parsed {
        let inner = self.nested(inner)?;
        self.grow(0)?;
        Ok(wrap(Box::new(inner)))
    }

    /// Runs a rule that calls itself, within the limit of nesting.
    fn nested(&mut self, rule: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fault(Fault::TooDeep(DEPTH_MAX)));
        }
        let expression = rule(self)?;
        self.depth -= 1;
        Ok(expression)
    }

    /// Counts the level above the expression that was parsed last and others of some height.
    fn grow(&mut self, others: usize) -> Result<(), QueryError> {
        self.height = self.height.max(others) + 1;
        if self.height > HEIGHT_MAX { Err(self.fault(Fault::TooDeep(HEIGHT_MAX))) } else { Ok(()) }
    }

    fn postfix(&mut self) -> Parsed {
        let mut expression = self.primary()?;
        loop {
            if self.take_symbol(".") {
                expression = Expression::Property(Box::new(expression), self.word()?);
                self.grow(0)?;
            } else if self.take_symbol("[") {
                let height = self.height;
                let index = self.expression()?;
                self.grow(height)?;
                self.expect_symbol("]")?;
                expression = match index {
                    Expression::Json(text) if text.starts_with('"') => {
                        let name = serde_json::from_str(&text).unwrap_or_default();
                        Expression::Property(Box::new(expression), name)
                    }
                    index => Expression::Index(Box::new(expression), Box::new(index)),
                };
            } else {
                return Ok(expression);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let token = self.token().clone();
        self.at += 1;
        self.height = 1;
        match token.kind {
            Kind::Number(number) => Ok(Expression::Json(number_json(number))),
            Kind::String(text) => Ok(Expression::Json(serde_json::Value::from(text).to_string())),
            Kind::Parameter(name) => {
                self.at -= 1;
                let value = self.parameter(&name)?.to_owned();
                self.at += 1;
                Ok(Expression::Json(value))
            }
            Kind::Symbol("(") => {
                if self.is_word("SELECT") {
                    return Err(self.unsupported("a subquery"));
                }
                let inner = self.expression()?;
                self.expect_symbol(")")?;
                Ok(inner)
            }
            Kind::Symbol("[") => {
                let elements = self.list("]")?;
                self.grow(0)?;
                Ok(Expression::Array(elements))
            }
            Kind::Symbol("{") => self.object(),
            Kind::Word(word) => {
                self.at -= 1;
                self.named(word)
            }
            Kind::Symbol(_) | Kind::End => {
                self.at -= 1;
                Err(self.unexpected("a value"))
            }
        }
    }

    /// A word, which is next, and what belongs to it.
    fn named(&mut self, word: String) -> Parsed {
        let next = self.tokens.get(self.at + 1).map(|token| &token.kind);
        if next == Some(&Kind::Symbol("(")) {
            return self.call(&word);
        }
        let expression = if self.alias.as_ref() == Some(&word) {
            Expression::Root
        } else {
            let subquery = matches!(next, Some(kind) if super::is(kind, "SELECT"));
            match word.to_ascii_lowercase().as_str() {
                "true" | "false" | "null" => Expression::Json(word.to_ascii_lowercase()),
                "undefined" => Expression::Undefined,
                "array" | "exists" | "all" if subquery => return Err(self.unsupported("a subquery")),
                "udf" => return Err(self.unsupported("a user-defined function")),
                _ => return Err(self.fault(Fault::UnknownName(word))),
            }
        };
        self.at += 1;
        Ok(expression)
    }

    /// A call of a function, whose name is next.
    fn call(&mut self, name: &str) -> Parsed {
        let (start, upper) = (self.token().span.start, name.to_ascii_uppercase());
        if matches!(upper.as_str(), "EXISTS" | "ARRAY" | "ALL") {
            return Err(self.unsupported(upper));
        }
        if AGGREGATES.contains(&upper.as_str()) {
            return Err(self.unsupported(format!("aggregate {upper}")));
        }
        let function = Function::find(name);
        if function.is_none() && upper != "COUNT" {
            return Err(self.fault(Fault::UnknownFunction(name.to_owned())));
        }
        self.at += 1;
        self.expect_symbol("(")?;
        let mut arguments = self.list(")")?;
        self.grow(0)?;
        let count = arguments.len();
        match function {
            Some((function, arity)) if arity.contains(&count) => Ok(Expression::Call(function, arguments)),
            None if count == 1 => {
                self.aggregate.get_or_insert(start);
                Ok(Expression::Count(Box::new(arguments.remove(0))))
            }
            _ => Err(QueryError::new(self.text, start, Fault::Arguments { name: upper, count })),
        }
    }

    /// Expressions up to a closing symbol, which is taken too. The height is that of the highest.
    fn list(&mut self, close: &str) -> Result<Vec<Expression>, QueryError> {
        let mut elements = Vec::new();
        let mut height = 0;
        while !self.take_symbol(close) {
            if !elements.is_empty() {
                self.expect_symbol(",")?;
            }
            elements.push(self.expression()?);
            height = height.max(self.height);
        }
        self.height = height;
        Ok(elements)
    }

    fn object(&mut self) -> Parsed {
        let mut members = Vec::new();
        let mut height = 0;
        while !self.take_symbol("}") {
            if !members.is_empty() {
                self.expect_symbol(",")?;
            }
            let name = match self.token().kind.clone() {
                Kind::String(name) | Kind::Word(name) => name,
                _ => return Err(self.unexpected("a property's name")),
            };
            self.at += 1;
            self.expect_symbol(":")?;
            members.push((name, self.expression()?));
            height = height.max(self.height);
        }
        self.height = height;
        self.grow(0)?;
        Ok(Expression::Object(members))
    }
}
