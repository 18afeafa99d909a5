//! The functions that exist.

use std::ops::RangeInclusive;

/// Most arguments of a function that takes any number.
const ARGUMENTS_MAX: usize = 64;

/// A function that exists; what it does is documented under its name in the service's reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the function that the table names")]
pub enum Function {
    Abs,
    ArrayContains,
    ArrayContainsAll,
    ArrayContainsAny,
    ArrayLength,
    Ceiling,
    Concat,
    Contains,
    EndsWith,
    Floor,
    IndexOf,
    IsArray,
    IsBool,
    IsDefined,
    IsNull,
    IsNumber,
    IsObject,
    IsPrimitive,
    IsString,
    Left,
    Length,
    Lower,
    LTrim,
    Replace,
    Right,
    Round,
    RTrim,
    StartsWith,
    StringEquals,
    Substring,
    Trim,
    Upper,
}

/// Functions by name, in alphabetical order, and how many arguments they take.
const FUNCTIONS: [(&str, Function, RangeInclusive<usize>); 32] = [
    ("ABS", Function::Abs, 1..=1),
    ("ARRAY_CONTAINS", Function::ArrayContains, 2..=3),
    ("ARRAY_CONTAINS_ALL", Function::ArrayContainsAll, 2..=ARGUMENTS_MAX),
    ("ARRAY_CONTAINS_ANY", Function::ArrayContainsAny, 2..=ARGUMENTS_MAX),
    ("ARRAY_LENGTH", Function::ArrayLength, 1..=1),
    ("CEILING", Function::Ceiling, 1..=1),
    ("CONCAT", Function::Concat, 2..=ARGUMENTS_MAX),
    ("CONTAINS", Function::Contains, 2..=3),
    ("ENDSWITH", Function::EndsWith, 2..=3),
    ("FLOOR", Function::Floor, 1..=1),
    ("INDEX_OF", Function::IndexOf, 2..=3),
    ("IS_ARRAY", Function::IsArray, 1..=1),
    ("IS_BOOL", Function::IsBool, 1..=1),
    ("IS_DEFINED", Function::IsDefined, 1..=1),
    ("IS_NULL", Function::IsNull, 1..=1),
    ("IS_NUMBER", Function::IsNumber, 1..=1),
    ("IS_OBJECT", Function::IsObject, 1..=1),
    ("IS_PRIMITIVE", Function::IsPrimitive, 1..=1),
    ("IS_STRING", Function::IsString, 1..=1),
    ("LEFT", Function::Left, 2..=2),
    ("LENGTH", Function::Length, 1..=1),
    ("LOWER", Function::Lower, 1..=1),
    ("LTRIM", Function::LTrim, 1..=1),
    ("REPLACE", Function::Replace, 3..=3),
    ("RIGHT", Function::Right, 2..=2),
    ("ROUND", Function::Round, 1..=1),
    ("RTRIM", Function::RTrim, 1..=1),
    ("STARTSWITH", Function::StartsWith, 2..=3),
    ("STRINGEQUALS", Function::StringEquals, 2..=3),
    ("SUBSTRING", Function::Substring, 3..=3),
    ("TRIM", Function::Trim, 1..=1),
    ("UPPER", Function::Upper, 1..=1),
];

impl Function {
    /// The function with a name, in either case, and how many arguments it takes.
    pub fn find(name: &str) -> Option<(Self, RangeInclusive<usize>)> {
        FUNCTIONS
            .into_iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(name))
            .map(|(_, function, arity)| (function, arity))
    }

    /// The names of all functions, in alphabetical order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FUNCTIONS.into_iter().map(|(name, ..)| name)
    }
}
