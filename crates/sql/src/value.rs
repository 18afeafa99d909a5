//! Values of expressions. A value is JSON text, so that what a query gives back of a document is the document's text.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::json;

/// The longest text that an expression may make, in bytes; four times what a document may have. What would be longer is
/// undefined.
pub(crate) const MADE_BYTES_MAX: usize = 8 << 20;

/// A value, or the absence of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// None.
    Undefined,
    /// JSON text without white space around it.
    Json(Cow<'a, str>),
}

/// The types, in the order in which ORDER BY sorts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// No value.
    Undefined,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl<'a> Value<'a> {
    /// A value of some text, or none.
    pub fn from_option(text: Option<&'a str>) -> Self {
        text.map_or(Self::Undefined, |text| Self::Json(Cow::Borrowed(text)))
    }

    /// A boolean.
    pub fn bool(value: bool) -> Self {
        Self::Json(Cow::Borrowed(if value { "true" } else { "false" }))
    }

    /// Text that was made, not found.
    pub(crate) fn made(text: String) -> Self {
        if text.len() > MADE_BYTES_MAX { Self::Undefined } else { Self::Json(Cow::Owned(text)) }
    }

    /// A string that was made.
    pub(crate) fn string(text: &str) -> Self {
        Self::made(serde_json::Value::from(text).to_string())
    }

    /// A number that was calculated.
    pub(crate) fn number(value: f64) -> Self {
        if value.is_finite() { Self::made(number_json(value)) } else { Self::Undefined }
    }

    /// The JSON text; empty if undefined.
    pub fn text(&self) -> &str {
        match self {
            Self::Undefined => "",
            Self::Json(text) => text,
        }
    }

    /// The value's type.
    pub fn kind(&self) -> Type {
        match self.text().as_bytes().first() {
            None => Type::Undefined,
            Some(b'n') => Type::Null,
            Some(b't' | b'f') => Type::Bool,
            Some(b'"') => Type::String,
            Some(b'[') => Type::Array,
            Some(b'{') => Type::Object,
            Some(_) => Type::Number,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The number, if it is one; numbers are 64-bit floating point, as in the service.
    pub fn as_number(&self) -> Option<f64> {
        if self.kind() == Type::Number { self.text().parse().ok() } else { None }
    }

    /// The string, if it is one; halves of surrogate pairs count as U+FFFD.
    pub fn as_string(&self) -> Option<Cow<'_, str>> {
        json::lossy_string(self.text())
    }

    /// A property of an object.
    pub fn property(&self, name: &str) -> Value<'a> {
        match self {
            Self::Undefined => Self::Undefined,
            Self::Json(Cow::Borrowed(text)) => Self::from_option(json::member(text, name)),
            Self::Json(Cow::Owned(text)) => {
                json::member(text, name).map_or(Self::Undefined, |found| Self::made(found.to_owned()))
            }
        }
    }

    /// An element of an array.
    pub fn element(&self, index: usize) -> Value<'a> {
        match self {
            Self::Undefined => Self::Undefined,
            Self::Json(Cow::Borrowed(text)) => Self::from_option(json::elements(text).nth(index)),
            Self::Json(Cow::Owned(text)) => {
                json::elements(text).nth(index).map_or(Self::Undefined, |found| Self::made(found.to_owned()))
            }
        }
    }

    /// Whether two values are equal; `None` if they cannot be compared.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        if self.kind() == Type::Undefined || self.kind() != other.kind() {
            return None;
        }
        Some(equal(self.text(), other.text()))
    }

    /// How two values compare; `None` if they cannot be compared. Arrays and objects have no order.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        if self.kind() != other.kind() {
            return None;
        }
        match self.kind() {
            Type::Null => Some(Ordering::Equal),
            Type::Bool => Some(self.as_bool()?.cmp(&other.as_bool()?)),
            Type::Number => self.as_number()?.partial_cmp(&other.as_number()?),
            Type::String => Some(compare_strings(&self.as_string()?, &other.as_string()?)),
            Type::Undefined | Type::Array | Type::Object => None,
        }
    }

    /// The total order of ORDER BY: by type, then by value.
    pub fn sort_order(&self, other: &Self) -> Ordering {
        self.kind().cmp(&other.kind()).then_with(|| self.compare(other).unwrap_or(Ordering::Equal))
    }
}

/// Strings compare by their UTF-16 code units, as in the service.
fn compare_strings(left: &str, right: &str) -> Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

fn equal(left: &str, right: &str) -> bool {
    let (a, b) = (Value::from_option(Some(left)), Value::from_option(Some(right)));
    match (a.kind(), b.kind()) {
        (Type::Array, Type::Array) => {
            let (mut left, mut right) = (json::elements(left), json::elements(right));
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return true,
                    (Some(left), Some(right)) if equal(left, right) => {}
                    _ => return false,
                }
            }
        }
        (Type::Object, Type::Object) => {
            // Of a name that occurs again the last value counts. Each pair of values is compared once: twice would double
            // with every level.
            let values =
                |text| json::members(text).map(|member| (member.name, member.value)).collect::<BTreeMap<_, _>>();
            let (left, right) = (values(left), values(right));
            left.len() == right.len()
                && left.iter().zip(&right).all(|(left, right)| left.0 == right.0 && equal(left.1, right.1))
        }
        _ => a.compare(&b) == Some(Ordering::Equal),
    }
}

/// A number as JSON; whole ones without a fraction.
pub(crate) fn number_json(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return format!("{}", number as i64);
    }
    serde_json::Number::from_f64(number).map_or_else(|| "null".to_owned(), |number| number.to_string())
}
