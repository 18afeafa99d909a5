//! The expressions on tags: `x-ms-if-tags` and the `where` of Find Blobs by Tags.
//!
//! Keys stand in double quotes (or bare, if they are identifiers), values in single ones. Comparisons (`=`, `<>`,
//! `<`, `<=`, `>`, `>=`) are of strings, byte by byte; one with a tag that is not there is false. `AND` binds
//! stronger than `OR`. A search knows neither `OR` nor `<>` nor parentheses, but `@container`. (Azure Storage REST
//! reference: "Specifying conditional headers", "Find Blobs by Tags".)

use std::cmp::Ordering;

use super::Tags;

/// Levels of parentheses.
const DEPTH_MAX: usize = 32;

/// An expression on tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::blob) enum Expression {
    Compare { key: Key, operator: Operator, value: String },
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::blob) enum Key {
    Tag(String),
    Container,
}

/// How it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::blob) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::blob) enum Grammar {
    Condition,
    Search,
}

impl Expression {
    /// Reads an expression; `None` if it is malformed.
    pub(in crate::blob) fn parse(text: &str, grammar: Grammar) -> Option<Self> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, grammar };
        let expression = parser.any(0)?;
        parser.tokens.is_empty().then_some(expression)
    }

    /// The tags it names.
    pub(in crate::blob) fn keys<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Self::And(left, right) | Self::Or(left, right) => {
                left.keys(into);
                right.keys(into);
            }
            Self::Compare { key: Key::Tag(key), .. } => into.push(key),
            Self::Compare { key: Key::Container, .. } => {}
        }
    }

    /// Whether it holds for a blob with these tags in this container.
    pub(in crate::blob) fn holds(&self, tags: &Tags, container: &str) -> bool {
        match self {
            Self::And(left, right) => left.holds(tags, container) && right.holds(tags, container),
            Self::Or(left, right) => left.holds(tags, container) || right.holds(tags, container),
            Self::Compare { key, operator, value } => {
                let actual = match key {
                    Key::Tag(key) => tags.get(key),
                    Key::Container => Some(container),
                };
                actual.is_some_and(|actual| operator.holds(actual.cmp(value)))
            }
        }
    }
}

impl Operator {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Key(String),
    Word(String),
    Value(String),
    Operator(Operator),
    Open,
    Close,
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    const OPERATORS: [(&str, Operator); 6] = [
        ("<>", Operator::NotEqual),
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("=", Operator::Equal),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let (token, remaining) = match first {
            '(' => (Token::Open, after),
            ')' => (Token::Close, after),
            '"' => after.split_once('"').map(|(key, rest)| (Token::Key(key.to_owned()), rest))?,
            '\'' => after.split_once('\'').map(|(value, rest)| (Token::Value(value.to_owned()), rest))?,
            c if c == '@' || c == '_' || c.is_ascii_alphabetic() => {
                let end = after.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(after.len());
                (Token::Word(rest[..=end].to_owned()), &after[end..])
            }
            _ => {
                let (text, operator) = OPERATORS.iter().find(|(text, _)| rest.starts_with(text))?;
                (Token::Operator(*operator), &rest[text.len()..])
            }
        };
        tokens.push(token);
        rest = remaining.trim_start();
    }
    Some(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
    grammar: Grammar,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Takes a keyword if it comes next.
    fn takes(&mut self, keyword: &str) -> bool {
        let next = matches!(self.tokens.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        if next {
            self.tokens = &self.tokens[1..];
        }
        next
    }

    fn any(&mut self, depth: usize) -> Option<Expression> {
        let mut left = self.all(depth)?;
        while self.takes("or") {
            if self.grammar == Grammar::Search {
                return None;
            }
            left = Expression::Or(Box::new(left), Box::new(self.all(depth)?));
        }
        Some(left)
    }

    fn all(&mut self, depth: usize) -> Option<Expression> {
        let mut left = self.one(depth)?;
        while self.takes("and") {
            left = Expression::And(Box::new(left), Box::new(self.one(depth)?));
        }
        Some(left)
    }

    fn one(&mut self, depth: usize) -> Option<Expression> {
        let key = match self.next()? {
            Token::Open if self.grammar == Grammar::Condition && depth < DEPTH_MAX => {
                let inner = self.any(depth + 1)?;
                return (self.next()? == &Token::Close).then_some(inner);
            }
            Token::Key(key) => Key::Tag(key.clone()),
            Token::Word(word) if word.eq_ignore_ascii_case("@container") && self.grammar == Grammar::Search => {
                Key::Container
            }
            Token::Word(word) if !word.starts_with('@') => Key::Tag(word.clone()),
            _ => return None,
        };
        let (Token::Operator(operator), Token::Value(value)) = (self.next()?, self.next()?) else {
            return None;
        };
        let searchable = match key {
            Key::Container => *operator == Operator::Equal,
            Key::Tag(_) => *operator != Operator::NotEqual,
        };
        let allowed = self.grammar == Grammar::Condition || searchable;
        allowed.then(|| Expression::Compare { key, operator: *operator, value: value.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        Tags(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn holds(text: &str) -> bool {
        let tags = tags(&[("a", "1"), ("b c", "x"), ("n", "10")]);
        Expression::parse(text, Grammar::Condition).unwrap().holds(&tags, "con")
    }

    #[test]
    fn comparisons_are_of_strings() {
        for good in ["\"a\" = '1'", "a='1'", "\"b c\" <> 'y'", "\"n\" < '9'", "a >= '1' and a <= '1'", "\"n\" > ''"] {
            assert!(holds(good), "{good}");
        }
        for bad in ["\"a\" = '2'", "\"A\" = '1'", "a > '1'", "a <> '1'"] {
            assert!(!holds(bad), "{bad}");
        }
    }

    #[test]
    fn a_tag_that_is_not_there_fails_every_comparison() {
        for operator in ["=", "<>", "<", "<=", ">", ">="] {
            assert!(!holds(&format!("\"absent\" {operator} 'x'")), "{operator}");
        }
    }

    #[test]
    fn and_binds_stronger_than_or_and_parentheses_stronger_than_both() {
        assert!(holds("a='1' OR a='2' AND a='3'"));
        assert!(!holds("(a='1' OR a='2') AND a='3'"));
        assert!(holds("((a='1'))"));
    }

    #[test]
    fn malformed_expressions_are_not_read() {
        let deep = format!("{}a='1'{}", "(".repeat(10_000), ")".repeat(10_000));
        for bad in ["", "a", "a=", "a='1", "a=\"1\"", "'a'='1'", "a='1' a='2'", "(a='1'", "a=='1'", "a='1' and", &deep]
        {
            assert_eq!(Expression::parse(bad, Grammar::Condition), None, "{bad}");
        }
        assert_eq!(Expression::parse("@container='con'", Grammar::Condition), None);
    }

    #[test]
    fn a_search_names_containers_and_knows_no_alternatives() {
        let search = |text| Expression::parse(text, Grammar::Search);
        let found = search("@container = 'con' AND \"a\" >= '1'").unwrap();
        assert!(found.holds(&tags(&[("a", "1")]), "con"));
        assert!(!found.holds(&tags(&[("a", "1")]), "other"));
        for bad in ["a='1' OR a='2'", "(a='1')", "a<>'1'", "@container>'a'"] {
            assert_eq!(search(bad), None, "{bad}");
        }
    }
}
