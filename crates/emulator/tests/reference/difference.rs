//! Where two answers differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::pair::Reply;
use crate::{relation, shape};

/// What stands for a header or property that is not there.
pub(crate) const ABSENT: &str = "absent";

/// Of longer values only a part is shown.
const SHOWN_CHARS: usize = 90;

/// One field of one request that the two answer differently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Difference {
    pub(crate) request: String,
    /// `status` (if it differs, nothing else is compared), `header NAME`, `body` with the way into it (`[]` is
    /// any element), or a relation: `within` the answer or `since` an earlier one.
    pub(crate) field: String,
    pub(crate) ours: String,
    pub(crate) theirs: String,
}

/// All differences of two answers to one request.
pub(crate) fn compare(request: &str, ours: &Reply, theirs: &Reply) -> BTreeSet<Difference> {
    let mut comparison = Comparison { request, found: BTreeSet::new() };
    let (our_status, their_status) = (status(ours), status(theirs));
    if our_status != their_status {
        // One did something else than the other, so that nothing more can be compared.
        comparison.field("status", &our_status, &their_status);
        return comparison.found;
    }
    let names: BTreeSet<&String> = ours.headers.keys().chain(theirs.headers.keys()).collect();
    for name in names {
        let shown = |reply: &Reply| {
            let shape = |value: &String| shape::header(name, value);
            reply.headers.get(name).map_or_else(|| Some(ABSENT.to_owned()), shape)
        };
        // One that is not compared is `None` wherever it stands.
        if let (Some(ours), Some(theirs)) = (shown(ours), shown(theirs)) {
            comparison.field(&format!("header {name}"), &ours, &theirs);
        }
    }
    match (json(ours), json(theirs)) {
        (Some(our_body), Some(their_body)) => {
            check_count(&our_body, ours);
            check_count(&their_body, theirs);
            comparison.value("body", "", Some(&our_body), Some(&their_body));
        }
        (ours, theirs) => comparison.field("body", kind(ours.as_ref()), kind(theirs.as_ref())),
    }
    comparison.relations(relation::within(ours), relation::within(theirs));
    comparison.found
}

/// All differences of how two answers relate to earlier ones.
pub(crate) fn compare_since(request: &str, ours: [&Reply; 2], theirs: [&Reply; 2]) -> BTreeSet<Difference> {
    let mut comparison = Comparison { request, found: BTreeSet::new() };
    comparison.relations(relation::since(ours[0], ours[1]), relation::since(theirs[0], theirs[1]));
    comparison.found
}

/// The status, and after a slash the substatus if there is one.
fn status(reply: &Reply) -> String {
    let substatus = reply.headers.get("x-ms-substatus").map(|substatus| format!("/{substatus}"));
    format!("{}{}", reply.status, substatus.unwrap_or_default())
}

/// Fails if an answer counts its elements wrongly; counts are not compared themselves.
fn check_count(body: &Value, reply: &Reply) {
    let Some(count) = body.get("_count").and_then(Value::as_u64) else { return };
    let lists = body.as_object().into_iter().flat_map(|members| members.values().filter_map(Value::as_array));
    let lengths: Vec<u64> = lists.map(|list| list.len() as u64).collect();
    assert_eq!(lengths, [count], "{reply:?}");
    if let Some(header) = reply.headers.get("x-ms-item-count") {
        assert_eq!(*header, count.to_string(), "{reply:?}");
    }
}

fn json(reply: &Reply) -> Option<Value> {
    (!reply.text.is_empty())
        .then(|| serde_json::from_str(&reply.text).unwrap_or_else(|error| panic!("{error}: {reply:?}")))
}

fn kind(body: Option<&Value>) -> &'static str {
    if body.is_some() { "a body" } else { ABSENT }
}

struct Comparison<'a> {
    request: &'a str,
    found: BTreeSet<Difference>,
}

impl Comparison<'_> {
    fn field(&mut self, field: &str, ours: &str, theirs: &str) {
        if ours != theirs {
            let (ours, theirs) = (shown(ours, theirs), shown(theirs, ours));
            self.found.insert(Difference { request: self.request.to_owned(), field: field.to_owned(), ours, theirs });
        }
    }

    /// Relations that exist on both sides.
    fn relations(&mut self, ours: Vec<(String, String)>, theirs: Vec<(String, String)>) {
        let theirs: BTreeMap<String, String> = theirs.into_iter().collect();
        for (name, value) in ours {
            if let Some(other) = theirs.get(&name) {
                self.field(&name, &value, other);
            }
        }
    }

    fn value(&mut self, at: &str, name: &str, ours: Option<&Value>, theirs: Option<&Value>) {
        match (ours, theirs) {
            (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
                let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
                for name in names {
                    self.value(&format!("{at}/{name}"), name, ours.get(name), theirs.get(name));
                }
            }
            (Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
                if ours.len() != theirs.len() {
                    let length = |elements: &Vec<Value>| format!("{} elements", elements.len());
                    return self.field(at, &length(ours), &length(theirs));
                }
                for (ours, theirs) in ours.iter().zip(theirs) {
                    self.value(&format!("{at}[]"), "", Some(ours), Some(theirs));
                }
            }
            _ => {
                let shape = |value: Option<&Value>| {
                    value.map_or_else(|| ABSENT.to_owned(), |value| shape::member(name, value).to_string())
                };
                self.field(at, &shape(ours), &shape(theirs));
            }
        }
    }
}

/// A text, or of a long one the part where it begins to be another than `other`.
fn shown(text: &str, other: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= SHOWN_CHARS {
        return text.to_owned();
    }
    let same = text.chars().zip(other.chars()).take_while(|(mine, its)| mine == its).count();
    let from = same.saturating_sub(SHOWN_CHARS / 3);
    let part: String = chars.iter().skip(from).take(SHOWN_CHARS).collect();
    let (before, after) = (if from > 0 { "…" } else { "" }, if from + SHOWN_CHARS < chars.len() { "…" } else { "" });
    format!("{before}{part}{after}")
}
