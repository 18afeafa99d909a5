//! A query as a tree.

mod function;

pub use function::Function;

use std::ops::Range;

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// `TOP n`.
    pub top: Option<u64>,
    /// What it gives.
    pub select: Select,
    /// The name by which expressions mean the document.
    pub alias: String,
    /// Where `FROM …` stands in the text.
    pub from: Range<usize>,
    /// What stands behind `WHERE`.
    pub filter: Option<Spanned>,
    /// `ORDER BY`, the first criterion first.
    pub order_by: Vec<Order>,
    /// `OFFSET n LIMIT m`.
    pub offset_limit: Option<(u64, u64)>,
    /// Where `OFFSET …` stands in the text, to its end.
    pub window: Option<usize>,
}

/// What a query gives for each document.
#[derive(Debug, Clone, PartialEq)]
pub enum Select {
    /// The document.
    All,
    /// One value.
    Value(Spanned),
    /// An object of named values.
    List(Vec<(String, Spanned)>),
}

/// An expression and where it stands in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned {
    /// The expression.
    pub expression: Expression,
    /// Where it stands.
    pub span: Range<usize>,
}

/// One criterion of the order.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// What orders.
    pub by: Spanned,
    /// Whether the highest comes first.
    pub descending: bool,
}

/// An expression. Chains of `AND`, `OR` and `??` are one level, whatever their length.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// The document.
    Root,
    /// The literal `undefined`.
    Undefined,
    /// A literal or a parameter's value, as JSON text.
    Json(String),
    /// `a.b` and `a["b"]`.
    Property(Box<Expression>, String),
    /// `a[b]`.
    Index(Box<Expression>, Box<Expression>),
    /// `[a, b]`.
    Array(Vec<Expression>),
    /// `{"a": b}`.
    Object(Vec<(String, Expression)>),
    /// `NOT a`.
    Not(Box<Expression>),
    /// `-a`.
    Negate(Box<Expression>),
    /// `a AND b AND …`.
    All(Vec<Expression>),
    /// `a OR b OR …`.
    Any(Vec<Expression>),
    /// `a ?? b ?? …`.
    FirstDefined(Vec<Expression>),
    /// `a ? b : c`.
    Choice(Box<[Expression; 3]>),
    /// `a + b` and the like.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `a BETWEEN b AND c`.
    Between(Box<[Expression; 3]>),
    /// `a IN (b, …)`.
    In(Box<Expression>, Vec<Expression>),
    /// `a LIKE b ESCAPE 'c'`.
    Like(Box<Expression>, Box<Expression>, Option<char>),
    /// A function and its arguments.
    Call(Function, Vec<Expression>),
    /// `COUNT(…)`.
    Count(Box<Expression>),
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`, `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `||`
    Concatenate,
}

impl Expression {
    /// What it is made of, one level down.
    pub fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Root | Self::Undefined | Self::Json(_) => Vec::new(),
            Self::Property(of, _) | Self::Not(of) | Self::Negate(of) | Self::Count(of) => vec![of],
            Self::Index(one, other) | Self::Binary(_, one, other) | Self::Like(one, other, _) => vec![one, other],
            Self::Array(parts)
            | Self::All(parts)
            | Self::Any(parts)
            | Self::FirstDefined(parts)
            | Self::Call(_, parts) => parts.iter().collect(),
            Self::Choice(parts) | Self::Between(parts) => parts.iter().collect(),
            Self::Object(members) => members.iter().map(|(_, value)| value).collect(),
            Self::In(value, list) => std::iter::once(&**value).chain(list).collect(),
        }
    }

    /// Whether it holds an aggregate.
    pub fn aggregates(&self) -> bool {
        self.counted().is_some()
    }

    /// The argument of the first COUNT in it.
    pub fn counted(&self) -> Option<&Self> {
        match self {
            Self::Count(argument) => Some(argument),
            _ => self.parts().into_iter().find_map(Self::counted),
        }
    }
}

impl Query {
    /// Whether the query gives one result for all documents.
    pub fn aggregates(&self) -> bool {
        match &self.select {
            Select::All => false,
            Select::Value(value) => value.expression.aggregates(),
            Select::List(items) => items.iter().any(|(_, item)| item.expression.aggregates()),
        }
    }
}
