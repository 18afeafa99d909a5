//! The value of an expression for a document. Nothing fails: what has no value is undefined.

mod functions;
mod like;

use std::cmp::Ordering;

use crate::ast::{Expression, Operator};
use crate::value::{MADE_BYTES_MAX, Value};

/// What an expression is evaluated on.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The document's text.
    pub document: &'a str,
    /// What COUNT gives.
    pub count: u64,
}

/// Evaluates an expression.
pub fn evaluate<'a>(expression: &'a Expression, scope: Scope<'a>) -> Value<'a> {
    match expression {
        Expression::Root => Value::from_option(Some(scope.document).filter(|text| !text.is_empty())),
        Expression::Undefined => Value::Undefined,
        Expression::Json(text) => Value::from_option(Some(text)),
        Expression::Property(of, name) => evaluate(of, scope).property(name),
        Expression::Index(of, index) => indexed(&evaluate(of, scope), &evaluate(index, scope)),
        Expression::Array(elements) => {
            let texts = elements.iter().filter_map(|element| text(element, scope));
            joined(texts).map_or(Value::Undefined, |inner| Value::made(format!("[{inner}]")))
        }
        Expression::Object(members) => {
            object(members.iter().map(|(name, member)| (name.as_str(), evaluate(member, scope))))
        }
        Expression::Not(of) => evaluate(of, scope).as_bool().map_or(Value::Undefined, |value| Value::bool(!value)),
        Expression::Negate(of) => {
            evaluate(of, scope).as_number().map_or(Value::Undefined, |value| Value::number(-value))
        }
        Expression::All(parts) => decided(parts, scope, false),
        Expression::Any(parts) => decided(parts, scope, true),
        Expression::FirstDefined(parts) => {
            let mut values = parts.iter().map(|part| evaluate(part, scope));
            values.find(|value| *value != Value::Undefined).unwrap_or(Value::Undefined)
        }
        Expression::Choice(parts) => {
            let [condition, yes, no] = &**parts;
            evaluate(if evaluate(condition, scope).as_bool() == Some(true) { yes } else { no }, scope)
        }
        Expression::Binary(operator, left, right) => binary(*operator, left, right, scope),
        Expression::Between(parts) => between(parts, scope),
        Expression::In(value, list) => {
            let value = evaluate(value, scope);
            if value == Value::Undefined {
                return Value::Undefined;
            }
            Value::bool(list.iter().any(|element| value.equals(&evaluate(element, scope)) == Some(true)))
        }
        Expression::Like(value, pattern, escape) => {
            let (value, pattern) = (evaluate(value, scope), evaluate(pattern, scope));
            match (value.as_string(), pattern.as_string()) {
                (Some(text), Some(pattern)) => Value::bool(like::like(&text, &pattern, *escape)),
                _ => Value::Undefined,
            }
        }
        Expression::Call(function, arguments) => {
            let arguments: Vec<Value<'_>> = arguments.iter().map(|argument| evaluate(argument, scope)).collect();
            functions::call(*function, &arguments)
        }
        Expression::Count(_) => Value::made(scope.count.to_string()),
    }
}

/// An object of the members that are defined.
pub fn object<'a, 'n>(members: impl Iterator<Item = (&'n str, Value<'a>)>) -> Value<'static> {
    let texts = members
        .filter(|(_, value)| *value != Value::Undefined)
        .map(|(name, value)| format!("{}:{}", serde_json::Value::from(name), value.text()));
    joined(texts).map_or(Value::Undefined, |inner| Value::made(format!("{{{inner}}}")))
}

/// Texts with commas between them; `None` if they are too long together.
fn joined(mut texts: impl Iterator<Item = String>) -> Option<String> {
    let mut joined = texts.next().unwrap_or_default();
    for text in texts {
        if joined.len() + text.len() > MADE_BYTES_MAX {
            return None;
        }
        joined.push(',');
        joined.push_str(&text);
    }
    Some(joined)
}

fn text(expression: &Expression, scope: Scope<'_>) -> Option<String> {
    match evaluate(expression, scope) {
        Value::Undefined => None,
        Value::Json(text) => Some(text.into_owned()),
    }
}

fn indexed<'a>(of: &Value<'a>, index: &Value<'_>) -> Value<'a> {
    if let Some(name) = index.as_string() {
        return of.property(&name);
    }
    match index.as_number() {
        // Exact, because it is whole and not negative; a huge one saturates and finds nothing.
        Some(index) if index >= 0.0 && index.fract() == 0.0 => of.element(index as usize),
        _ => Value::Undefined,
    }
}

/// `AND` and `OR`: one part that decides is enough, whatever the others are; all others must be known.
fn decided<'a>(parts: &'a [Expression], scope: Scope<'a>, deciding: bool) -> Value<'a> {
    let mut known = true;
    for part in parts {
        match evaluate(part, scope).as_bool() {
            Some(value) if value == deciding => return Value::bool(deciding),
            value => known &= value.is_some(),
        }
    }
    if known { Value::bool(!deciding) } else { Value::Undefined }
}

fn between<'a>(parts: &'a [Expression; 3], scope: Scope<'a>) -> Value<'a> {
    let [value, low, high] = parts.each_ref().map(|part| evaluate(part, scope));
    let at_least = value.compare(&low).map(Ordering::is_ge);
    let at_most = value.compare(&high).map(Ordering::is_le);
    match (at_least, at_most) {
        (Some(false), _) | (_, Some(false)) => Value::bool(false),
        (Some(true), Some(true)) => Value::bool(true),
        _ => Value::Undefined,
    }
}

fn binary<'a>(operator: Operator, left: &'a Expression, right: &'a Expression, scope: Scope<'a>) -> Value<'a> {
    let (left, right) = (evaluate(left, scope), evaluate(right, scope));
    let ordered = |test: fn(Ordering) -> bool| {
        left.compare(&right).map_or(Value::Undefined, |ordering| Value::bool(test(ordering)))
    };
    match operator {
        Operator::Equal => left.equals(&right).map_or(Value::Undefined, Value::bool),
        Operator::NotEqual => left.equals(&right).map_or(Value::Undefined, |equal| Value::bool(!equal)),
        Operator::Less => ordered(Ordering::is_lt),
        Operator::LessOrEqual => ordered(Ordering::is_le),
        Operator::Greater => ordered(Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(Ordering::is_ge),
        Operator::Concatenate => match (left.as_string(), right.as_string()) {
            (Some(left), Some(right)) => functions::concatenated(&[left, right]).unwrap_or(Value::Undefined),
            _ => Value::Undefined,
        },
        arithmetic => match (left.as_number(), right.as_number()) {
            (Some(left), Some(right)) => calculated(arithmetic, left, right),
            _ => Value::Undefined,
        },
    }
}

fn calculated(operator: Operator, left: f64, right: f64) -> Value<'static> {
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => left % right,
    };
    Value::number(result)
}

#[cfg(test)]
mod tests;
