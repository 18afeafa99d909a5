//! Changes and patches of whole documents.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Every change as `op path < path_from: from -> to`.
fn told(from: &str, to: &str) -> Vec<String> {
    let (from, to) = (Document::parse(from).unwrap(), Document::parse(to).unwrap());
    let side = |json: Option<Json<'_>>| json.map_or_else(|| "-".to_owned(), |json| json.to_string());
    let line =
        |c: &Change<'_>| format!("{} {} < {}: {} -> {}", c.op.as_str(), c.path, c.path_from, side(c.from), side(c.to));
    changes(Some(&from), Some(&to)).iter().map(line).collect()
}

fn patched(from: &str, to: &str) -> String {
    let (from, to) = (Document::parse(from).unwrap(), Document::parse(to).unwrap());
    patch(&changes(Some(&from), Some(&to))).unwrap().get().to_owned()
}

/// What another program makes of `from` with the patch.
fn apply(from: &Value, patch: &str) -> Value {
    let patch: json_patch::Patch = serde_json::from_str(patch).unwrap();
    let mut document = from.clone();
    json_patch::patch(&mut document, &patch).unwrap();
    document
}

#[test]
fn members_are_added_removed_and_replaced_in_the_order_of_the_document() {
    let lines = told(r#"{"z":1,"gone":[1, 2],"deep":{"n":{"x":1.0}}}"#, r#"{"new":null,"deep":{"n":{"x":1}},"z":"1"}"#);
    assert_eq!(
        lines,
        [
            r#"replace /z < /z: 1 -> "1""#,
            "remove /gone < /gone: [1,2] -> -",
            "replace /deep/n/x < /deep/n/x: 1.0 -> 1",
            "add /new < /new: - -> null",
        ]
    );
    assert_eq!(told(r#"{"a":1,"b":2}"#, r#"{ "b": 2, "a": 1 }"#), Vec::<String>::new());
}

#[test]
fn an_insertion_at_the_front_of_an_array_is_one_insertion() {
    let lines = told(r#"{"l":[{"n":1},{"n":2},{"n":3}]}"#, r#"{"l":[{"n":0},{"n":1},{"n":9},{"n":3}]}"#);
    assert_eq!(lines, [r#"add /l/0 < /l/0: - -> {"n":0}"#, "replace /l/2/n < /l/1/n: 2 -> 9"]);
}

#[test]
fn a_removed_element_is_named_by_where_it_was_and_removed_where_it_is() {
    let lines = told("[1,2,3,4,5]", "[3,5]");
    assert_eq!(lines, ["remove /0 < /0: 1 -> -", "remove /0 < /1: 2 -> -", "remove /1 < /3: 4 -> -"]);
    assert_eq!(apply(&json!([1, 2, 3, 4, 5]), &patched("[1,2,3,4,5]", "[3,5]")), json!([3, 5]));
}

#[test]
fn numbers_that_no_float_tells_apart_differ_and_keep_their_text() {
    assert_eq!(
        patched(r#"{"n":9007199254740993,"m":1e400}"#, r#"{"n":9007199254740992,"m":1e400}"#),
        r#"[{"op":"replace","path":"/n","value":9007199254740992}]"#
    );
    assert_eq!(patched("[1]", "[1.00]"), r#"[{"op":"replace","path":"/0","value":1.00}]"#);
}

#[test]
fn names_are_escaped_as_pointers_and_as_json() {
    let patch = patched("{}", r#"{"a/b~c\"\u0007":[ 1 ,"\ud800"]}"#);
    assert_eq!(patch, r#"[{"op":"add","path":"/a~1b~0c\"\u0007","value":[1,"\ud800"]}]"#);
    assert_eq!(patched(r#"{"":1}"#, r#"{"":2}"#), r#"[{"op":"replace","path":"/","value":2}]"#);
}

#[test]
fn a_document_that_appears_or_disappears_is_one_change() {
    let document = Document::parse(r#"{ "a": 1 }"#).unwrap();
    let patch_of = |from, to| patch(&changes(from, to)).unwrap().get().to_owned();
    assert_eq!(patch_of(None, Some(&document)), r#"[{"op":"add","path":"","value":{"a":1}}]"#);
    assert_eq!(patch_of(Some(&document), None), r#"[{"op":"replace","path":"","value":null}]"#);
    assert_eq!(patch_of(None, None), "[]");
    assert_eq!(apply(&Value::Null, &patch_of(None, Some(&document))), json!({"a": 1}));
    assert_eq!(apply(&json!({"a": 1}), &patch_of(Some(&document), None)), Value::Null);
}

/// A name of a megabyte above many elements would be told once for each of them.
#[test]
fn paths_that_would_grow_without_bound_are_told_as_one_change() {
    let name = "n".repeat(1_000_000);
    let list = |number: usize| format!("{{\"{name}\":{}}}", serde_json::to_string(&vec![number; 200]).unwrap());
    let (from, to) = (list(1), list(2));
    let (from, to) = (Document::parse(&from).unwrap(), Document::parse(&to).unwrap());
    assert_eq!(changes(Some(&from), Some(&to)).len(), 1);
}

#[test]
fn arrays_too_long_to_align_are_compared_place_by_place() {
    let list = |first: usize| serde_json::to_string(&(first..first + 4_000).collect::<Vec<_>>()).unwrap();
    let (from, to) = (list(0), list(1));
    assert_eq!(told(&from, &to).len(), 4_000);
    let (from, to) = (list(0), format!("[-1,{}", &list(0)[1..]));
    assert_eq!(told(&from, &to).len(), 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0u8..3).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,1}".prop_map(Value::from),
        "\\PC{0,4}".prop_map(Value::from),
    ];
    let name = prop_oneof!["[a-d]", "[/~\"\\\\0-2]{0,3}", "\\PC{0,3}", "[\\x00-\\x1f]"];
    scalar.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// A document and another one made of its parts: members and elements removed, doubled, exchanged.
fn any_pair() -> impl Strategy<Value = (Value, Value)> {
    let mixed = (any_json(), any_json(), prop::collection::vec(any::<prop::sample::Index>(), 0..12));
    let mixed = mixed.prop_map(|(from, other, picks)| {
        let mut to = from.clone();
        for pick in picks {
            disturb(&mut to, &other, pick);
        }
        (from, to)
    });
    prop_oneof![(any_json(), any_json()), mixed]
}

fn disturb(value: &mut Value, other: &Value, pick: prop::sample::Index) {
    match value {
        Value::Array(list) if !list.is_empty() => {
            let at = pick.index(list.len());
            match pick.index(7) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, other.clone()),
                2 => list.insert(0, list[at].clone()),
                3 => list.rotate_left(at),
                _ => disturb(&mut list[at], other, pick),
            }
        }
        Value::Object(members) if !members.is_empty() => {
            let name = members.keys().nth(pick.index(members.len())).unwrap().clone();
            match pick.index(5) {
                0 => drop(members.remove(&name)),
                1 => drop(members.insert(format!("{name}~/"), other.clone())),
                _ => disturb(&mut members[&name], other, pick),
            }
        }
        scalar => *scalar = other.clone(),
    }
}

proptest! {
    #[test]
    fn another_programs_patching_makes_the_second_document_of_the_first((from, to) in any_pair()) {
        let patch = patched(&from.to_string(), &to.to_string());
        prop_assert_eq!(apply(&from, &patch), to, "{}", patch);
    }

    #[test]
    fn a_difference_is_empty_exactly_where_the_documents_are_equal((from, to) in any_pair()) {
        prop_assert_eq!(told(&from.to_string(), &to.to_string()).is_empty(), from == to);
        prop_assert!(told(&from.to_string(), &from.to_string()).is_empty());
    }

    #[test]
    fn an_element_inserted_or_removed_anywhere_is_one_change(
        list in prop::collection::vec(any_json(), 1..9), at: prop::sample::Index, element in any_json(),
    ) {
        let mut longer = list.clone();
        longer.insert(at.index(list.len()), element);
        let (short, long) = (Value::from(list).to_string(), Value::from(longer).to_string());
        prop_assert_eq!((told(&short, &long).len(), told(&long, &short).len()), (1, 1));
    }
}
