//! The value of an expression for a document. Nothing fails: what has no value is undefined.

use super::ast::{Expression, Function, Operator};
use super::parser::number_json;
use super::value::{Type, Value};

/// What an expression is evaluated on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The document's text.
    pub(super) document: &'a str,
    /// What COUNT gives.
    pub(super) count: u64,
}

/// Evaluates an expression.
pub(super) fn evaluate<'a>(expression: &'a Expression, scope: Scope<'a>) -> Value<'a> {
    match expression {
        Expression::Root => Value::from_option(Some(scope.document).filter(|text| !text.is_empty())),
        Expression::Undefined => Value::Undefined,
        Expression::Json(text) => Value::from_option(Some(text)),
        Expression::Property(of, name) => evaluate(of, scope).property(name),
        Expression::Index(of, index) => indexed(&evaluate(of, scope), &evaluate(index, scope)),
        Expression::Array(elements) => {
            let texts: Vec<String> = elements.iter().filter_map(|element| text(element, scope)).collect();
            Value::made(format!("[{}]", texts.join(",")))
        }
        Expression::Object(members) => {
            object(members.iter().map(|(name, member)| (name.as_str(), evaluate(member, scope))))
        }
        Expression::Not(of) => evaluate(of, scope).as_bool().map_or(Value::Undefined, |value| Value::bool(!value)),
        Expression::Negate(of) => {
            evaluate(of, scope).as_number().map_or(Value::Undefined, |value| Value::made(number_json(-value)))
        }
        Expression::Binary(operator, left, right) => binary(*operator, left, right, scope),
        Expression::In(value, list) => {
            let value = evaluate(value, scope);
            if value == Value::Undefined {
                return Value::Undefined;
            }
            Value::bool(list.iter().any(|element| value.equals(&evaluate(element, scope)) == Some(true)))
        }
        Expression::Call(function, arguments) => {
            let arguments: Vec<Value<'_>> = arguments.iter().map(|argument| evaluate(argument, scope)).collect();
            call(*function, &arguments)
        }
        Expression::Count(_) => Value::made(scope.count.to_string()),
    }
}

/// An object of the members that are defined.
pub(super) fn object<'a, 'n>(members: impl Iterator<Item = (&'n str, Value<'a>)>) -> Value<'static> {
    let texts: Vec<String> = members
        .filter(|(_, value)| *value != Value::Undefined)
        .map(|(name, value)| format!("{}:{}", serde_json::Value::from(name), value.text()))
        .collect();
    Value::made(format!("{{{}}}", texts.join(",")))
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

fn binary<'a>(operator: Operator, left: &'a Expression, right: &'a Expression, scope: Scope<'a>) -> Value<'a> {
    let left = evaluate(left, scope);
    // A decided left side decides: the other may be undefined or of another type.
    match (operator, left.as_bool()) {
        (Operator::And, Some(false)) => return Value::bool(false),
        (Operator::Or, Some(true)) => return Value::bool(true),
        _ => {}
    }
    let right = evaluate(right, scope);
    let ordered = |test: fn(std::cmp::Ordering) -> bool| {
        left.compare(&right).map_or(Value::Undefined, |ordering| Value::bool(test(ordering)))
    };
    match operator {
        Operator::And => match (left.as_bool(), right.as_bool()) {
            (_, Some(false)) => Value::bool(false),
            (Some(true), Some(true)) => Value::bool(true),
            _ => Value::Undefined,
        },
        Operator::Or => match (left.as_bool(), right.as_bool()) {
            (_, Some(true)) => Value::bool(true),
            (Some(false), Some(false)) => Value::bool(false),
            _ => Value::Undefined,
        },
        Operator::Equal => left.equals(&right).map_or(Value::Undefined, Value::bool),
        Operator::NotEqual => left.equals(&right).map_or(Value::Undefined, |equal| Value::bool(!equal)),
        Operator::Less => ordered(std::cmp::Ordering::is_lt),
        Operator::LessOrEqual => ordered(std::cmp::Ordering::is_le),
        Operator::Greater => ordered(std::cmp::Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(std::cmp::Ordering::is_ge),
        Operator::Concatenate => match (left.as_string(), right.as_string()) {
            (Some(left), Some(right)) => string(&format!("{left}{right}")),
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
    if result.is_finite() { Value::made(number_json(result)) } else { Value::Undefined }
}

fn string(text: &str) -> Value<'static> {
    Value::made(serde_json::Value::from(text).to_string())
}

fn call<'a>(function: Function, arguments: &[Value<'a>]) -> Value<'a> {
    let Some(first) = arguments.first() else {
        return Value::Undefined;
    };
    let is = |kind: Type| Value::bool(first.kind() == kind);
    match function {
        Function::IsDefined => Value::bool(first.kind() != Type::Undefined),
        Function::IsNull => is(Type::Null),
        Function::IsBool => is(Type::Bool),
        Function::IsNumber => is(Type::Number),
        Function::IsString => is(Type::String),
        Function::IsArray => is(Type::Array),
        Function::IsObject => is(Type::Object),
        Function::StartsWith => matched(arguments, |text, part| text.starts_with(part)),
        Function::EndsWith => matched(arguments, |text, part| text.ends_with(part)),
        Function::Contains => matched(arguments, |text, part| text.contains(part)),
        Function::ArrayContains => match (first.kind(), arguments.get(1)) {
            (Type::Array, Some(wanted)) => Value::bool(
                super::super::json::elements(first.text())
                    .any(|element| Value::from_option(Some(element)).equals(wanted) == Some(true)),
            ),
            _ => Value::Undefined,
        },
        Function::Lower => first.as_string().map_or(Value::Undefined, |text| string(&text.to_lowercase())),
        Function::Upper => first.as_string().map_or(Value::Undefined, |text| string(&text.to_uppercase())),
        Function::Length => {
            first.as_string().map_or(Value::Undefined, |text| Value::made(text.encode_utf16().count().to_string()))
        }
    }
}

/// A test of two strings, without regard to case if the third argument says so.
fn matched<'a>(arguments: &[Value<'a>], test: fn(&str, &str) -> bool) -> Value<'a> {
    let string = |index: usize| arguments.get(index).and_then(Value::as_string);
    let (Some(text), Some(part)) = (string(0), string(1)) else {
        return Value::Undefined;
    };
    let ignore_case = arguments.get(2).and_then(Value::as_bool).unwrap_or(false);
    Value::bool(if ignore_case { test(&text.to_lowercase(), &part.to_lowercase()) } else { test(&text, &part) })
}

#[cfg(test)]
mod tests {
    use super::super::ast::Select;
    use super::super::parser::parse;
    use super::*;

    const DOCUMENT: &str = r#"{"id":"1","n":3.0,"big":12345678901234567890123,"s":"Straße","b":true,"z":null,
        "o":{"x":[1,{"y":"deep"}]},"a":[1,"two",null]}"#;

    fn value(expression: &str) -> Option<String> {
        let query = parse(&format!("SELECT VALUE {expression} FROM c"), &[].into()).unwrap();
        let Select::Value(selected) = &query.select else { panic!("a value is selected") };
        text(&selected.expression, Scope { document: DOCUMENT, count: 7 })
    }

    #[test]
    fn values_of_the_document_keep_their_text() {
        for (expression, expected) in [
            ("c.n", Some("3.0")),
            ("c.big", Some("12345678901234567890123")),
            ("c.o.x[1].y", Some("\"deep\"")),
            ("c['o']['x'][0]", Some("1")),
            ("c.missing.deeper", None),
            ("{'k': c.n, 'm': c.missing, \"a\": [c.z, c.missing]}", Some(r#"{"k":3.0,"a":[null]}"#)),
            ("COUNT(1)", Some("7")),
        ] {
            assert_eq!(value(expression).as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn operators_follow_the_three_valued_logic() {
        for (expression, expected) in [
            ("c.n = 3", Some("true")),
            ("c.n = '3'", None),
            ("c.n != 3 OR true", Some("true")),
            ("c.missing = 1 AND false", Some("false")),
            ("c.missing = 1 OR false", None),
            ("NOT c.b", Some("false")),
            ("NOT c.n = 4", Some("true")),
            ("NOT c.missing", None),
            ("c.n IN (1, 3)", Some("true")),
            ("c.n NOT IN (1, 3)", Some("false")),
            ("c.n BETWEEN 1 AND 3 AND c.b", Some("true")),
            ("c.s < 'T'", Some("true")),
            ("c.z = null", Some("true")),
            ("c.a = [1, 'two', null]", Some("true")),
            ("c.o = {'x': [1.0, {'y': 'deep'}]}", Some("true")),
            ("1 + 2 * -3", Some("-5")),
            ("7 % 4 - 1 / 2", Some("2.5")),
            ("1 / 0", None),
            ("'a' || 'b'", Some("\"ab\"")),
        ] {
            assert_eq!(value(expression).as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn functions_answer() {
        for (expression, expected) in [
            ("STARTSWITH(c.s, 'Str')", Some("true")),
            ("STARTSWITH(c.s, 'str')", Some("false")),
            ("startswith(c.s, 'STR', true)", Some("true")),
            ("CONTAINS(c.s, 'ß')", Some("true")),
            ("ENDSWITH(c.n, 'x')", None),
            ("IS_DEFINED(c.z)", Some("true")),
            ("IS_DEFINED(c.missing)", Some("false")),
            ("IS_NULL(c.z)", Some("true")),
            ("ARRAY_CONTAINS(c.a, 'two')", Some("true")),
            ("LENGTH(c.s)", Some("6")),
            ("UPPER('a')", Some("\"A\"")),
        ] {
            assert_eq!(value(expression).as_deref(), expected, "{expression}");
        }
    }
}
