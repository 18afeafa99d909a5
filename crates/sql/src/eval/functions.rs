//! The functions. What they are given wrongly makes them undefined, as in the service's reference:
//! <https://learn.microsoft.com/azure/cosmos-db/nosql/query/system-functions>. Places and lengths count UTF-16 units.

use std::borrow::Cow;

use crate::ast::Function;
use crate::json;
use crate::value::{MADE_BYTES_MAX, Type, Value};

pub(super) fn call<'a>(function: Function, arguments: &[Value<'a>]) -> Value<'a> {
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
        Function::IsPrimitive => {
            Value::bool(matches!(first.kind(), Type::Null | Type::Bool | Type::Number | Type::String))
        }
        Function::Abs => rounded(first, f64::abs),
        Function::Ceiling => rounded(first, f64::ceil),
        Function::Floor => rounded(first, f64::floor),
        Function::Round => rounded(first, f64::round),
        Function::ArrayContains | Function::ArrayContainsAll | Function::ArrayContainsAny | Function::ArrayLength => {
            in_array(function, first, &arguments[1..])
        }
        _ => of_string(function, arguments).unwrap_or(Value::Undefined),
    }
}

fn rounded(value: &Value<'_>, round: fn(f64) -> f64) -> Value<'static> {
    value.as_number().map_or(Value::Undefined, |number| Value::number(round(number)))
}

fn in_array(function: Function, array: &Value<'_>, arguments: &[Value<'_>]) -> Value<'static> {
    if array.kind() != Type::Array || arguments.iter().any(|argument| argument.kind() == Type::Undefined) {
        return Value::Undefined;
    }
    let mut elements = json::elements(array.text()).map(|element| Value::from_option(Some(element)));
    let holds = |wanted: &Value<'_>| {
        json::elements(array.text()).any(|element| Value::from_option(Some(element)).equals(wanted) == Some(true))
    };
    match (function, arguments) {
        (Function::ArrayLength, _) => Value::made(elements.count().to_string()),
        (Function::ArrayContainsAll, wanted) => Value::bool(wanted.iter().all(holds)),
        (Function::ArrayContainsAny, wanted) => Value::bool(wanted.iter().any(holds)),
        (_, [wanted, partly]) if wanted.kind() == Type::Object && partly.as_bool() == Some(true) => {
            Value::bool(elements.any(|element| covers(&element, wanted)))
        }
        (_, [wanted, ..]) => Value::bool(holds(wanted)),
        _ => Value::Undefined,
    }
}

/// Whether an object has all members of another one.
fn covers(whole: &Value<'_>, part: &Value<'_>) -> bool {
    whole.kind() == Type::Object
        && json::members(part.text())
            .all(|member| whole.property(&member.name).equals(&part.property(&member.name)) == Some(true))
}

fn of_string(function: Function, arguments: &[Value<'_>]) -> Option<Value<'static>> {
    let first = arguments.first()?.as_string()?;
    let string = |index: usize| arguments.get(index).and_then(Value::as_string);
    let made = |text: &str| Some(Value::string(text));
    match function {
        Function::StartsWith => matched(arguments, |text, part| text.starts_with(part)),
        Function::EndsWith => matched(arguments, |text, part| text.ends_with(part)),
        Function::Contains => matched(arguments, |text, part| text.contains(part)),
        Function::StringEquals => matched(arguments, |text, part| text == part),
        Function::Lower => made(&first.to_lowercase()),
        Function::Upper => made(&first.to_uppercase()),
        Function::Trim => made(first.trim()),
        Function::LTrim => made(first.trim_start()),
        Function::RTrim => made(first.trim_end()),
        Function::Length => Some(Value::made(first.encode_utf16().count().to_string())),
        Function::Concat => {
            let parts: Vec<Cow<'_, str>> = arguments.iter().map(Value::as_string).collect::<Option<_>>()?;
            concatenated(&parts)
        }
        Function::Left => made(&units(&first, 0, place(arguments.get(1)?)?)),
        Function::Right => {
            let (length, count) = (first.encode_utf16().count(), place(arguments.get(1)?)?);
            made(&units(&first, length.saturating_sub(count), count))
        }
        Function::Substring => made(&units(&first, place(arguments.get(1)?)?, place(arguments.get(2)?)?)),
        Function::IndexOf => {
            let from = arguments.get(2).map_or(Some(0), place)?;
            Some(Value::number(index_of(&first, &string(1)?, from)))
        }
        Function::Replace => replaced(&first, &string(1)?, &string(2)?),
        _ => None,
    }
}

/// A test of two strings, without regard to case if the third argument says so.
fn matched(arguments: &[Value<'_>], test: fn(&str, &str) -> bool) -> Option<Value<'static>> {
    let (text, part) = (arguments.first()?.as_string()?, arguments.get(1)?.as_string()?);
    let ignore_case = arguments.get(2).and_then(Value::as_bool).unwrap_or(false);
    Some(Value::bool(if ignore_case { test(&text.to_lowercase(), &part.to_lowercase()) } else { test(&text, &part) }))
}

/// Strings one behind the other; `None` if they are too long together.
pub(super) fn concatenated(parts: &[Cow<'_, str>]) -> Option<Value<'static>> {
    let bytes = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    (bytes <= MADE_BYTES_MAX).then(|| Value::string(&parts.concat()))
}

fn replaced(text: &str, find: &str, by: &str) -> Option<Value<'static>> {
    if find.is_empty() {
        return Some(Value::string(text));
    }
    let bytes = text.matches(find).count().saturating_mul(by.len()).saturating_add(text.len());
    (bytes <= MADE_BYTES_MAX).then(|| Value::string(&text.replace(find, by)))
}

/// A number of UTF-16 units.
fn place(value: &Value<'_>) -> Option<usize> {
    // A huge one saturates, which means the end.
    value.as_number().filter(|number| *number >= 0.0 && number.fract() == 0.0).map(|number| number as usize)
}

fn units(text: &str, from: usize, count: usize) -> String {
    let found: Vec<u16> = text.encode_utf16().skip(from).take(count).collect();
    String::from_utf16_lossy(&found)
}

/// Where a text first holds another one, at or behind a place; -1 if nowhere.
fn index_of(text: &str, part: &str, from: usize) -> f64 {
    let mut passed = 0_usize;
    let start = text.char_indices().find_map(|(at, c)| {
        let here = (passed >= from).then_some(at);
        passed += if here.is_none() { c.len_utf16() } else { 0 };
        here
    });
    if start.is_none() && from > passed {
        return -1.0;
    }
    let rest = &text[start.unwrap_or(text.len())..];
    // Exact: no text has so many units that a 64-bit floating point number could not count them.
    rest.find(part).map_or(-1.0, |at| (passed + rest[..at].encode_utf16().count()) as f64)
}
