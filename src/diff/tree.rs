//! A JSON document as a tree over its text: numbers keep their text, members their order.
//!
//! The syntax is checked first, without recursion, so that the tree's own reader meets only valid JSON, and never one that is deeper
//! than its stack allows. Every node carries a hash of its content; equal hashes are looked at again, so a collision costs time only.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::de::IgnoredAny;

use super::text::{Pointer, canonical};

/// Levels of a document. Cosmos DB takes 128 ("Azure Cosmos DB service quotas", maximum levels of nesting); twice that, so that
/// whatever it took can be compared, however the levels are counted.
const LEVELS_MAX: usize = 256;
/// Paths of repeated names that are told.
const REPEATED_MAX: usize = 20;

/// Why a text cannot be compared. No message holds content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON.
    #[error("it is not JSON: line {line}, column {column}")]
    Syntax {
        /// Where it ends to be JSON, from 1.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// It is deeper than any document of the service.
    #[error("it is nested deeper than {LEVELS_MAX} levels")]
    TooDeep,
}

/// Names that occur more than once in one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeated {
    /// Where the first of them are.
    pub paths: Vec<Pointer>,
    /// How many there are.
    pub count: usize,
}

/// A document that can be compared.
#[derive(Debug)]
pub struct Document<'a> {
    pub(super) root: Node<'a>,
    repeated: Repeated,
}

impl<'a> Document<'a> {
    /// Reads a JSON text.
    pub fn parse(text: &'a str) -> Result<Self, Unreadable> {
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| Unreadable::Syntax { line: error.line(), column: error.column() })?;
        let mut reader = Reader { text, at: 0, steps: Vec::new(), repeated: Repeated::default() };
        let root = reader.value()?;
        Ok(Self { root, repeated: reader.repeated })
    }

    /// The names that occur more than once in one object: only their last value counts.
    pub fn repeated(&self) -> &Repeated {
        &self.repeated
    }
}

/// A value of the document.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// As it is written.
    pub(super) text: &'a str,
    pub(super) kind: Kind<'a>,
    pub(super) hash: u64,
}

#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// A string with its quotes in its one spelling; a number, true, false or null as it is written.
    Scalar(Cow<'a, str>),
    Array(Vec<Node<'a>>),
    Object(Object<'a>),
}

/// Members in the order of the document, each name once.
#[derive(Debug, Default)]
pub(super) struct Object<'a> {
    pub(super) members: Vec<(Cow<'a, str>, Node<'a>)>,
    by_name: Vec<usize>,
}

impl<'a> Object<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&Node<'a>> {
        let at = self.by_name.binary_search_by(|at| (*self.members[*at].0).cmp(name)).ok()?;
        Some(&self.members[self.by_name[at]].1)
    }
}

impl Node<'_> {
    /// Whether both say the same (see the [module](super)).
    pub(super) fn same(&self, other: &Node<'_>) -> bool {
        if self.hash != other.hash {
            return false;
        }
        match (&self.kind, &other.kind) {
            (Kind::Scalar(one), Kind::Scalar(two)) => one == two,
            (Kind::Array(one), Kind::Array(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.same(two))
            }
            (Kind::Object(one), Kind::Object(two)) => {
                one.members.len() == two.members.len()
                    && one.members.iter().all(|(name, one)| two.get(name).is_some_and(|two| one.same(two)))
            }
            _ => false,
        }
    }
}

/// A step of the way down to where the reader is.
enum Step<'a> {
    Name(Cow<'a, str>),
    Index(usize),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    steps: Vec<Step<'a>>,
    repeated: Repeated,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Node<'a>, Unreadable> {
        self.skip_space();
        let begin = self.at;
        let kind = match self.peek() {
            b'{' => Kind::Object(self.object()?),
            b'[' => Kind::Array(self.array()?),
            b'"' => match self.string() {
                Cow::Borrowed(_) => Kind::Scalar(Cow::Borrowed(&self.text[begin..self.at])),
                Cow::Owned(content) => Kind::Scalar(Cow::Owned(format!("\"{content}\""))),
            },
            _ => {
                self.at += self.word();
                Kind::Scalar(Cow::Borrowed(&self.text[begin..self.at]))
            }
        };
        Ok(Node { text: &self.text[begin..self.at], hash: hash(&kind), kind })
    }

    fn object(&mut self) -> Result<Object<'a>, Unreadable> {
        self.enter()?;
        let mut members = Vec::new();
        while self.more(b'}') {
            let name = self.string();
            self.skip_space();
            // The colon.
            self.at += 1;
            self.steps.push(Step::Name(name.clone()));
            let value = self.value()?;
            self.steps.pop();
            members.push((name, value));
        }
        let mut by_name = sorted(&members);
        if by_name.windows(2).any(|pair| members[pair[0]].0 == members[pair[1]].0) {
            members = self.last_of_each(members, &by_name);
            by_name = sorted(&members);
        }
        Ok(Object { members, by_name })
    }

    fn array(&mut self) -> Result<Vec<Node<'a>>, Unreadable> {
        self.enter()?;
        let mut elements = Vec::new();
        while self.more(b']') {
            self.steps.push(Step::Index(elements.len()));
            elements.push(self.value()?);
            self.steps.pop();
        }
        Ok(elements)
    }

    /// Takes what opens an object or array.
    fn enter(&mut self) -> Result<(), Unreadable> {
        self.at += 1;
        if self.steps.len() < LEVELS_MAX { Ok(()) } else { Err(Unreadable::TooDeep) }
    }

    /// Whether another member or element begins here, behind its comma; otherwise takes the end of the object or array.
    fn more(&mut self, end: u8) -> bool {
        self.skip_space();
        if self.peek() == b',' {
            self.at += 1;
            self.skip_space();
        }
        let ends = self.peek() == end;
        self.at += usize::from(ends);
        !ends
    }

    /// Keeps the last member of each name, and notes the names that occurred before.
    fn last_of_each(
        &mut self,
        members: Vec<(Cow<'a, str>, Node<'a>)>,
        by_name: &[usize],
    ) -> Vec<(Cow<'a, str>, Node<'a>)> {
        let mut counts = vec![true; members.len()];
        for pair in by_name.windows(2).filter(|pair| members[pair[0]].0 == members[pair[1]].0) {
            counts[pair[0]] = false;
            self.repeated.count += 1;
            if self.repeated.paths.len() < REPEATED_MAX {
                let mut path = self.path();
                path.push_name(&members[pair[0]].0);
                self.repeated.paths.push(path);
            }
        }
        members.into_iter().zip(counts).filter_map(|(member, counts)| counts.then_some(member)).collect()
    }

    fn path(&self) -> Pointer {
        let mut path = Pointer::default();
        for step in &self.steps {
            match step {
                Step::Name(name) => path.push_name(name),
                Step::Index(index) => path.push_index(*index),
            }
        }
        path
    }

    /// Takes a string and gives what stands between its quotes, in its one spelling.
    fn string(&mut self) -> Cow<'a, str> {
        let begin = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = begin;
        while bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        self.at = end + 1;
        canonical(&self.text[begin..end])
    }

    /// The length of a number, true, false or null.
    fn word(&self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}');
        rest.iter().position(ends).unwrap_or(rest.len())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// The next byte; at the end one that ends nothing.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }
}

/// Places of the members by name; of one name in the order of the document.
fn sorted(members: &[(Cow<'_, str>, Node<'_>)]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..members.len()).collect();
    places.sort_by(|one, two| members[*one].0.cmp(&members[*two].0));
    places
}

fn hash(kind: &Kind<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match kind {
        Kind::Scalar(text) => (0u8, text).hash(&mut hasher),
        Kind::Array(elements) => {
            1u8.hash(&mut hasher);
            elements.iter().for_each(|element| element.hash.hash(&mut hasher));
        }
        Kind::Object(object) => {
            2u8.hash(&mut hasher);
            for at in &object.by_name {
                let (name, node) = &object.members[*at];
                (name, node.hash).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(one: &str, two: &str) -> bool {
        Document::parse(one).unwrap().root.same(&Document::parse(two).unwrap().root)
    }

    #[test]
    fn order_of_members_spelling_of_strings_and_white_space_do_not_count() {
        assert!(same(r#"{"a":1,"b":["x",null]}"#, "{ \"b\" : [\"\\u0078\", null ],\n\"\\u0061\":1 }"));
        assert!(!same("[1,2]", "[2,1]"));
        assert!(!same("[]", "{}"));
        assert!(!same(r#""1""#, "1"));
    }

    #[test]
    fn numbers_are_equal_where_they_are_written_the_same() {
        assert!(!same("9007199254740993", "9007199254740992"));
        for other in ["1.0", "1e0", "10e-1"] {
            assert!(!same("1", other), "{other}");
        }
        assert!(same("[1e400]", "[ 1e400 ]"));
    }

    #[test]
    fn the_last_of_a_repeated_name_counts_and_is_told() {
        let document = Document::parse(r#"{"o":[{"a/":1,"b":2,"a/":3,"a\/":4}]}"#).unwrap();
        assert!(document.root.same(&Document::parse(r#"{"o":[{"b":2,"a/":4}]}"#).unwrap().root));
        let paths: Vec<String> = document.repeated().paths.iter().map(ToString::to_string).collect();
        assert_eq!((paths, document.repeated().count), (vec!["/o/0/a~1".to_owned(), "/o/0/a~1".to_owned()], 2));
        let many = format!("{{{}\"a\":0}}", r#""a":0,"#.repeat(99));
        let document = Document::parse(&many).unwrap();
        assert_eq!((document.repeated().paths.len(), document.repeated().count), (REPEATED_MAX, 99));
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_refused() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Document::parse(&deep(LEVELS_MAX)).is_ok());
        assert_eq!(Document::parse(&deep(LEVELS_MAX + 1)).unwrap_err(), Unreadable::TooDeep);
        assert_eq!(Document::parse(&deep(1_000_000)).unwrap_err(), Unreadable::TooDeep);
        assert_eq!(Document::parse("{\n\"a\":}").unwrap_err(), Unreadable::Syntax { line: 2, column: 5 });
        for text in ["", "{", "[1,]", "nul", "01", "\"", "{} {}"] {
            assert!(matches!(Document::parse(text), Err(Unreadable::Syntax { .. })), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"[\PC\n "{}\[\],:\\0-9eu.-]{0,30}"#) {
            let valid = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert_eq!(Document::parse(&text).is_ok(), valid);
        }
    }
}
