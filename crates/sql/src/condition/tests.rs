use proptest::prelude::*;

use super::*;

const DOCUMENT: &str = r#" {"id":"1","status":"open","total":12.50,"tags":["a","b"],"address":{"city":"Köln"},"paid":null}
"#;

fn matches(condition: &str) -> bool {
    Condition::parse(condition).unwrap().matches(DOCUMENT).unwrap()
}

#[test]
fn documents_are_chosen_by_what_they_hold() {
    for condition in [
        "c.status = 'open'",
        "WHERE c.status = \"open\" AND c.total >= 12.5",
        "where(c.total BETWEEN 12 AND 13)",
        "c.address.city LIKE 'K%' AND c['address'][\"city\"] IN ('Köln', 'Bonn')",
        "NOT IS_DEFINED(c.missing) AND IS_NULL(c.paid)",
        "ARRAY_CONTAINS(c.tags, 'a') OR c.tags[1] = 'x'",
        "(c.missing ?? c.total) > 10",
        "c.paid = null ? true : false",
    ] {
        assert!(matches(condition), "{condition}");
    }
}

/// A restore must never take a document for which the answer is not known.
#[test]
fn what_is_undefined_or_no_boolean_is_not_true() {
    for condition in
        ["c.missing = 1", "NOT (c.missing = 1)", "c.missing != 1", "c.total != 'x'", "c.total", "'true'", "undefined"]
    {
        assert!(!matches(condition), "{condition}");
    }
}

#[test]
fn an_error_names_the_column_and_the_way_out() {
    for (condition, expected) in [
        ("", "at column 1, the end: a value is expected here"),
        ("c.a = ", "at column 7, the end: a value is expected here"),
        ("c.a == 1", "at column 6, near \"= 1\": a value is expected here"),
        ("c.ä = 1 c.b = 2", "at column 9, near \"c.b = 2\": an operator or the end of the condition is expected here"),
        ("c.a = 1 ORDER BY c.b", "an operator or the end of the condition is expected here"),
        ("c.a && c.b", "at column 5, near \"&& c.b\": the character '&' is not expected here"),
        ("x.a = 1", "at column 1, near \"x.a = 1\": the document is named c, not x"),
        (
            "c.a = 1 AND total > 1",
            "at column 13, near \"total > 1\": the name total is not known; a property is written c.total",
        ),
        ("c.a = open", "a string 'open'"),
        ("c.a = @p", "at column 7, near \"@p\": a condition has no parameters; write the value instead of @p"),
        ("c.a = 'open", "at column 7, near \"'open\": a string is not closed"),
        ("c.a /* = 1", "at column 5, near \"/* = 1\": a comment is not closed"),
        ("SOUNDEX(c.a) = 1", "there is no function SOUNDEX here; there are ABS, ARRAY_CONTAINS, "),
        ("LENGTH(c.a, 1) = 1", "LENGTH does not take 2 arguments"),
        (
            "c.a = 1 AND COUNT(1) > 0",
            "at column 13, near \"COUNT(1) > 0\": an aggregate in a condition is not supported",
        ),
        ("EXISTS(SELECT VALUE 1 FROM c)", "EXISTS is not supported"),
        ("SELECT * FROM c", "a whole query stands here instead of its condition"),
        ("c.a LIKE 'x' ESCAPE '!!'", "a string of one character is expected here"),
        ("c.a IN ()  c", "at column 12"),
    ] {
        let message = Condition::parse(condition).unwrap_err().to_string();
        assert!(message.contains(expected), "{condition:?}: {message}");
    }
}

/// Recursion as deep as the text would end the process.
#[test]
fn neither_depth_nor_length_overflows_the_stack() {
    let long = 30_000;
    for (condition, expected) in [
        ("(".repeat(100_000), "at most 65536 bytes"),
        ("(".repeat(60_000), "levels"),
        ("NOT ".repeat(10_000), "levels"),
        (format!("{}1", "-".repeat(10)), ""),
        (format!("1{}", " + 1".repeat(10_000)), "levels"),
        (format!("1{}", " = 1".repeat(10_000)), "levels"),
        (format!("c{}", ".a".repeat(long)), "levels"),
        (format!("c{}", "[0]".repeat(10_000)), "levels"),
        ("[".repeat(long), "levels"),
        ("{a:".repeat(10_000), "levels"),
        ("LOWER(".repeat(10_000), "levels"),
        ("true ? ".repeat(9_000), "levels"),
    ] {
        match Condition::parse(&condition) {
            Ok(parsed) => assert!(expected.is_empty() && !parsed.matches("{}").unwrap()),
            Err(error) => assert!(error.to_string().contains(expected), "{error}"),
        }
    }
}

#[test]
fn many_alternatives_are_one_level() {
    let many: Vec<String> = (0..3_000).map(|at| format!("c.id = '{at}'")).collect();
    assert!(Condition::parse(&many.join(" OR ")).unwrap().matches(r#"{"id":"2999"}"#).unwrap());
    assert!(!Condition::parse(&many.join(" AND ")).unwrap().matches(r#"{"id":"2999"}"#).unwrap());
    let highest = format!("c{} = 1", ".a".repeat(198));
    assert!(!Condition::parse(&highest).unwrap().matches("{}").unwrap());
}

/// BETWEEN once held its value twice, and equality compared every member twice, each doubling with every level.
#[test]
fn nothing_doubles_with_every_level() {
    let between = format!("{}c.a{}", "(".repeat(50), " BETWEEN 1 AND 2)".repeat(50));
    assert!(!Condition::parse(&between).unwrap().matches(r#"{"a":1}"#).unwrap());
    let nested = format!("{}1{}", r#"{"a":"#.repeat(120), "}".repeat(120));
    assert!(Condition::parse("c = c AND c.a != c").unwrap().matches(&nested).unwrap());
    let doubled = format!("IS_DEFINED(c.a{})", " || c.a".repeat(150));
    let document = format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000));
    assert!(!Condition::parse(&doubled).unwrap().matches(&document).unwrap());
}

#[test]
fn only_objects_are_documents() {
    let condition = Condition::parse("true").unwrap();
    for text in ["", "[]", "1", "{", r#"{"a":}"#, "{} {}"] {
        assert!(condition.matches(text).is_err(), "{text:?}");
    }
    assert!(condition.matches("{}").unwrap());
}

proptest! {
    #[test]
    fn no_text_panics(
        parts in prop::collection::vec(prop::sample::select(vec![
            "c", ".a", "[0]", "(", ")", "NOT ", " AND ", " OR ", " IN ", "1", "'x'", "\"", "\\", " LIKE ", "'[a%_'", ",", " BETWEEN ",
            "LENGTH(", "REPLACE(c.a,'','x')", "SUBSTRING(c.a, 0, 1)", " ?? ", " ? ", " : ", "{", "}", "/*", "-", "--", "é", "\u{0}", "@",
        ]), 0..24),
        document in r#"\{"a":(1|"x*é?"|\[\{\},null\])\}"#,
    ) {
        if let Ok(condition) = Condition::parse(&parts.concat()) {
            prop_assert!(condition.matches(&document).is_ok());
        }
    }
}
