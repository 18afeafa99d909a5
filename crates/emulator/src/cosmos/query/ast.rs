//! A query as a tree.

use std::ops::Range;

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) top: Option<u64>,
    pub(super) select: Select,
    /// The name by which expressions mean the document.
    pub(super) alias: String,
    /// Where `FROM …` stands in the text.
    pub(super) from: Range<usize>,
    pub(super) filter: Option<Spanned>,
    pub(super) order_by: Vec<Order>,
    pub(super) offset_limit: Option<(u64, u64)>,
    /// Where `OFFSET …` stands in the text, to its end.
    pub(super) window: Option<usize>,
}

/// What a query gives for each document.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Select {
    All,
    Value(Spanned),
    List(Vec<(String, Spanned)>),
}

/// An expression and where it stands in the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spanned {
    pub(super) expression: Expression,
    pub(super) span: Range<usize>,
}

/// One criterion of the order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    pub(super) by: Spanned,
    pub(super) descending: bool,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// The document.
    Root,
    Undefined,
    /// A literal or a parameter's value, as JSON text.
    Json(String),
    Property(Box<Expression>, String),
    Index(Box<Expression>, Box<Expression>),
    Array(Vec<Expression>),
    Object(Vec<(String, Expression)>),
    Not(Box<Expression>),
    Negate(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    In(Box<Expression>, Vec<Expression>),
    Call(Function, Vec<Expression>),
    /// `COUNT(…)`.
    Count(Box<Expression>),
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Concatenate,
}

/// A function that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    StartsWith,
    EndsWith,
    Contains,
    IsDefined,
    IsNull,
    IsBool,
    IsNumber,
    IsString,
    IsArray,
    IsObject,
    ArrayContains,
    Lower,
    Upper,
    Length,
}

impl Function {
    /// The function with a name, and how many arguments it takes.
    pub(super) fn find(name: &str) -> Option<(Self, Range<usize>)> {
        Some(match name.to_ascii_uppercase().as_str() {
            "STARTSWITH" => (Self::StartsWith, 2..4),
            "ENDSWITH" => (Self::EndsWith, 2..4),
            "CONTAINS" => (Self::Contains, 2..4),
            "IS_DEFINED" => (Self::IsDefined, 1..2),
            "IS_NULL" => (Self::IsNull, 1..2),
            "IS_BOOL" => (Self::IsBool, 1..2),
            "IS_NUMBER" => (Self::IsNumber, 1..2),
            "IS_STRING" => (Self::IsString, 1..2),
            "IS_ARRAY" => (Self::IsArray, 1..2),
            "IS_OBJECT" => (Self::IsObject, 1..2),
            "ARRAY_CONTAINS" => (Self::ArrayContains, 2..3),
            "LOWER" => (Self::Lower, 1..2),
            "UPPER" => (Self::Upper, 1..2),
            "LENGTH" => (Self::Length, 1..2),
            _ => return None,
        })
    }
}

impl Expression {
    /// Whether it holds an aggregate.
    pub(super) fn aggregates(&self) -> bool {
        match self {
            Self::Count(_) => true,
            Self::Root | Self::Undefined | Self::Json(_) => false,
            Self::Property(of, _) | Self::Not(of) | Self::Negate(of) => of.aggregates(),
            Self::Index(of, by) | Self::Binary(_, of, by) => of.aggregates() || by.aggregates(),
            Self::Array(elements) | Self::Call(_, elements) => elements.iter().any(Self::aggregates),
            Self::Object(members) => members.iter().any(|(_, value)| value.aggregates()),
            Self::In(value, list) => value.aggregates() || list.iter().any(Self::aggregates),
        }
    }
}

impl Query {
    /// Whether the query gives one result for all documents.
    pub(super) fn aggregates(&self) -> bool {
        match &self.select {
            Select::All => false,
            Select::Value(value) => value.expression.aggregates(),
            Select::List(items) => items.iter().any(|(_, item)| item.expression.aggregates()),
        }
    }
}
