//! Expressions, from the loosest binding operator in.

use super::super::QueryError;
use super::super::ast::{Expression, Function, Operator};
use super::super::lexer::Kind;
use super::{DEPTH_MAX, Parser};

/// Aggregates that the language has and the emulator lacks.
const AGGREGATES: [&str; 5] = ["SUM", "MIN", "MAX", "AVG", "COUNTIF"];

/// Binary operators by how tightly they bind, the loosest first; all group to the left.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("OR", Operator::Or)],
    &[("AND", Operator::And)],
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

/// The level of comparisons, where NOT, IN and BETWEEN belong.
const COMPARISON: usize = 2;

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Expression, QueryError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(QueryError::Invalid(format!("The query nests deeper than {DEPTH_MAX} levels.")));
        }
        let expression = self.binary(0)?;
        self.depth -= 1;
        for operator in ["?", "??"] {
            if self.is_symbol(operator) {
                return Err(QueryError::unsupported(format!("the operator {operator}")));
            }
        }
        Ok(expression)
    }

    fn binary(&mut self, level: usize) -> Result<Expression, QueryError> {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        if level == COMPARISON && self.take_word("NOT") {
            return self.nested(|parser| Ok(Expression::Not(Box::new(parser.binary(COMPARISON)?))));
        }
        let mut left = self.binary(level + 1)?;
        if level == COMPARISON {
            left = self.membership(left)?;
        }
        while let Some(operator) = self.operator(operators) {
            let right = self.binary(level + 1)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn operator(&mut self, operators: &[(&'static str, Operator)]) -> Option<Operator> {
        let (_, operator) = operators.iter().find(|(text, _)| self.take_symbol(text) || self.take_word(text))?;
        Some(*operator)
    }

    /// `[NOT] IN (…)`, `[NOT] BETWEEN … AND …` after a value.
    fn membership(&mut self, value: Expression) -> Result<Expression, QueryError> {
        let before = self.at;
        let negated = self.take_word("NOT");
        let found = if self.take_word("IN") {
            self.expect_symbol("(")?;
            Expression::In(Box::new(value), self.list(")")?)
        } else if self.take_word("BETWEEN") {
            let low = self.binary(COMPARISON + 1)?;
            self.expect_word("AND")?;
            let high = self.binary(COMPARISON + 1)?;
            let at_least = Expression::Binary(Operator::GreaterOrEqual, Box::new(value.clone()), Box::new(low));
            let at_most = Expression::Binary(Operator::LessOrEqual, Box::new(value), Box::new(high));
            Expression::Binary(Operator::And, Box::new(at_least), Box::new(at_most))
        } else if self.is_word("LIKE") {
            return Err(QueryError::unsupported("LIKE"));
        } else {
            self.at = before;
            return Ok(value);
        };
        Ok(if negated { Expression::Not(Box::new(found)) } else { found })
    }

    fn unary(&mut self) -> Result<Expression, QueryError> {
        if self.take_symbol("-") {
            return self.nested(|parser| Ok(Expression::Negate(Box::new(parser.unary()?))));
        }
        if self.take_symbol("+") {
            return self.nested(Self::unary);
        }
        if self.is_symbol("~") {
            return Err(QueryError::unsupported("the operator ~"));
        }
        self.postfix()
    }

    /// Runs a rule that calls itself, within the limit of nesting.
    fn nested(
        &mut self,
        rule: impl FnOnce(&mut Self) -> Result<Expression, QueryError>,
    ) -> Result<Expression, QueryError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(QueryError::Invalid(format!("The query nests deeper than {DEPTH_MAX} levels.")));
        }
        let expression = rule(self)?;
        self.depth -= 1;
        Ok(expression)
    }

    fn postfix(&mut self) -> Result<Expression, QueryError> {
        let mut expression = self.primary()?;
        loop {
            if self.take_symbol(".") {
                expression = Expression::Property(Box::new(expression), self.word()?);
            } else if self.take_symbol("[") {
                let index = self.expression()?;
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

    fn primary(&mut self) -> Result<Expression, QueryError> {
        let token = self.token().clone();
        self.at += 1;
        match token.kind {
            Kind::Number(number) => Ok(Expression::Json(number_json(number))),
            Kind::String(text) => Ok(Expression::Json(serde_json::Value::from(text).to_string())),
            Kind::Parameter(name) => self.parameter(&name).map(|value| Expression::Json(value.to_owned())),
            Kind::Symbol("(") => {
                if self.is_word("SELECT") {
                    return Err(QueryError::unsupported("a subquery"));
                }
                let inner = self.expression()?;
                self.expect_symbol(")")?;
                Ok(inner)
            }
            Kind::Symbol("[") => self.list("]").map(Expression::Array),
            Kind::Symbol("{") => self.object(),
            Kind::Word(word) => self.named(word),
            Kind::Symbol(_) | Kind::End => {
                self.at -= 1;
                Err(self.unexpected("a value"))
            }
        }
    }

    fn named(&mut self, word: String) -> Result<Expression, QueryError> {
        if self.is_symbol("(") {
            return self.call(&word);
        }
        if self.alias.as_ref() == Some(&word) {
            return Ok(Expression::Root);
        }
        match word.to_ascii_lowercase().as_str() {
            "true" | "false" | "null" => Ok(Expression::Json(word.to_ascii_lowercase())),
            "undefined" => Ok(Expression::Undefined),
            "array" | "exists" | "all" if self.is_word("SELECT") => Err(QueryError::unsupported("a subquery")),
            "udf" => Err(QueryError::unsupported("a user-defined function")),
            _ => Err(QueryError::Invalid(format!("Identifier '{word}' could not be resolved."))),
        }
    }

    fn call(&mut self, name: &str) -> Result<Expression, QueryError> {
        let upper = name.to_ascii_uppercase();
        match upper.as_str() {
            "EXISTS" | "ARRAY" | "ALL" => return Err(QueryError::unsupported(upper)),
            name if AGGREGATES.contains(&name) => return Err(QueryError::unsupported(format!("aggregate {name}"))),
            _ => {}
        }
        self.expect_symbol("(")?;
        let mut arguments = self.list(")")?;
        if upper == "COUNT" {
            return match (arguments.pop(), arguments.is_empty()) {
                (Some(argument), true) => Ok(Expression::Count(Box::new(argument))),
                _ => Err(QueryError::Invalid("COUNT takes one argument.".to_owned())),
            };
        }
        let (function, arity) =
            Function::find(name).ok_or_else(|| QueryError::unsupported(format!("function {name}")))?;
        if !arity.contains(&arguments.len()) {
            return Err(QueryError::Invalid(format!("{upper} does not take {} arguments.", arguments.len())));
        }
        Ok(Expression::Call(function, arguments))
    }

    /// Expressions up to a closing symbol, which is taken too.
    fn list(&mut self, close: &str) -> Result<Vec<Expression>, QueryError> {
        let mut elements = Vec::new();
        if self.take_symbol(close) {
            return Ok(elements);
        }
        loop {
            elements.push(self.expression()?);
            if self.take_symbol(close) {
                return Ok(elements);
            }
            self.expect_symbol(",")?;
        }
    }

    fn object(&mut self) -> Result<Expression, QueryError> {
        let mut members = Vec::new();
        if self.take_symbol("}") {
            return Ok(Expression::Object(members));
        }
        loop {
            let name = match self.token().kind.clone() {
                Kind::String(name) | Kind::Word(name) => name,
                _ => return Err(self.unexpected("a property's name")),
            };
            self.at += 1;
            self.expect_symbol(":")?;
            members.push((name, self.expression()?));
            if self.take_symbol("}") {
                return Ok(Expression::Object(members));
            }
            self.expect_symbol(",")?;
        }
    }
}

/// A number as JSON; whole ones without a fraction.
pub(in super::super) fn number_json(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return format!("{}", number as i64);
    }
    serde_json::Number::from_f64(number).map_or_else(|| "null".to_owned(), |number| number.to_string())
}
