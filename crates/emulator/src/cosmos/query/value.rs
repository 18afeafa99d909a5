//! Values of expressions. A value is JSON text, so that what a query gives back of a document is the document's text.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::super::json;

/// A value, or the absence of one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Undefined,
    Json(Cow<'a, str>),
}

/// The types, in the order in which ORDER BY sorts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Type {
    Undefined,
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl<'a> Value<'a> {
    /// A value of some text, or none.
    pub(super) fn from_option(text: Option<&'a str>) -> Self {
        text.map_or(Self::Undefined, |text| Self::Json(Cow::Borrowed(text)))
    }

    /// A boolean.
    pub(super) fn bool(value: bool) -> Self {
        Self::Json(Cow::Borrowed(if value { "true" } else { "false" }))
    }

    /// Text that was made, not found.
    pub(super) fn made(text: String) -> Self {
        Self::Json(Cow::Owned(text))
    }

    /// The JSON text; empty if undefined.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Undefined => "",
            Self::Json(text) => text,
        }
    }

    /// The value's type.
    pub(super) fn kind(&self) -> Type {
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
    pub(super) fn as_bool(&self) -> Option<bool> {
        match self.text() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The number, if it is one; numbers are 64-bit floating point, as in the service.
    pub(super) fn as_number(&self) -> Option<f64> {
        if self.kind() == Type::Number { self.text().parse().ok() } else { None }
    }

    /// The string, if it is one.
    pub(super) fn as_string(&self) -> Option<Cow<'_, str>> {
        json::string(self.text())
    }

    /// A property of an object.
    pub(super) fn property(&self, name: &str) -> Value<'a> {
        match self {
            Self::Undefined => Self::Undefined,
            Self::Json(Cow::Borrowed(text)) => Self::from_option(json::member(text, name)),
            Self::Json(Cow::Owned(text)) => {
                json::member(text, name).map_or(Self::Undefined, |found| Self::made(found.to_owned()))
            }
        }
    }

    /// An element of an array.
    pub(super) fn element(&self, index: usize) -> Value<'a> {
        match self {
            Self::Undefined => Self::Undefined,
            Self::Json(Cow::Borrowed(text)) => Self::from_option(json::elements(text).nth(index)),
            Self::Json(Cow::Owned(text)) => {
                json::elements(text).nth(index).map_or(Self::Undefined, |found| Self::made(found.to_owned()))
            }
        }
    }

    /// Whether two values are equal; `None` if they cannot be compared.
    pub(super) fn equals(&self, other: &Self) -> Option<bool> {
        if self.kind() == Type::Undefined || self.kind() != other.kind() {
            return None;
        }
        Some(equal(self.text(), other.text()))
    }

    /// How two values compare; `None` if they cannot be compared. Arrays and objects have no order.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
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
    pub(super) fn sort_order(&self, other: &Self) -> Ordering {
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
            let covered = |one: &str, other: &str| {
                json::members(one)
                    .all(|member| json::member(other, &member.name).is_some_and(|value| equal(member.value, value)))
            };
            covered(left, right) && covered(right, left)
        }
        _ => a.compare(&b) == Some(Ordering::Equal),
    }
}
