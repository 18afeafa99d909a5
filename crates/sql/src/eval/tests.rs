use super::*;
use crate::ast::Select;
use crate::parser::parse;

const DOCUMENT: &str = r#"{"id":"1","n":3.0,"big":12345678901234567890123,"s":"Straße","b":true,"z":null,
    "o":{"x":[1,{"y":"deep"}]},"a":[1,"two",null]}"#;

fn value(expression: &str) -> Option<String> {
    let query = parse(&format!("SELECT VALUE {expression} FROM c"), &[].into()).unwrap();
    let Select::Value(selected) = &query.select else { panic!("a value is selected") };
    text(&selected.expression, Scope { document: DOCUMENT, count: 7 })
}

#[test]
fn values_of_the_document_keep_their_text() {
    for (expression, expected) in [
        ("c.n", Some("3.0")),
        ("c.big", Some("12345678901234567890123")),
        ("c.o.x[1].y", Some("\"deep\"")),
        ("c['o']['x'][0]", Some("1")),
        ("c.missing.deeper", None),
        ("{'k': c.n, 'm': c.missing, \"a\": [c.z, c.missing]}", Some(r#"{"k":3.0,"a":[null]}"#)),
        ("COUNT(1)", Some("7")),
    ] {
        assert_eq!(value(expression).as_deref(), expected, "{expression}");
    }
}

#[test]
fn operators_follow_the_three_valued_logic() {
    for (expression, expected) in [
        ("c.n = 3", Some("true")),
        ("c.n = '3'", None),
        ("c.n != 3 OR true", Some("true")),
        ("c.missing = 1 AND false", Some("false")),
        ("c.missing = 1 OR false", None),
        ("NOT c.b", Some("false")),
        ("NOT c.n = 4", Some("true")),
        ("NOT c.missing", None),
        ("c.n IN (1, 3)", Some("true")),
        ("c.n NOT IN (1, 3)", Some("false")),
        ("c.n BETWEEN 1 AND 3 AND c.b", Some("true")),
        ("c.s < 'T'", Some("true")),
        ("c.z = null", Some("true")),
        ("c.a = [1, 'two', null]", Some("true")),
        ("c.o = {'x': [1.0, {'y': 'deep'}]}", Some("true")),
        ("1 + 2 * -3", Some("-5")),
        ("7 % 4 - 1 / 2", Some("2.5")),
        ("1 / 0", None),
        ("'a' || 'b'", Some("\"ab\"")),
        ("c.n = 3 AND c.missing AND c.b", None),
        ("c.missing OR c.z OR c.b", Some("true")),
        ("c.n BETWEEN 4 AND c.missing", Some("false")),
        ("c.n BETWEEN 3 AND c.missing", None),
        ("c.n NOT BETWEEN 4 AND 5", Some("true")),
        ("c.s LIKE 'Stra_e' AND c.s NOT LIKE 's%'", Some("true")),
        ("c.n LIKE '3%'", None),
        ("c.s LIKE c.missing", None),
        ("c.missing ?? c.z ?? 1", Some("null")),
        ("c.missing ?? undefined", None),
        ("c.b ? 'yes' : 'no'", Some("\"yes\"")),
        ("c.missing ? 1 : c.b ? 2 : 3", Some("2")),
        ("(c.missing ?? 0) + 1 = 1", Some("true")),
        ("{'a': 1, 'b': [2]} = {'b': [2.0], 'a': 1}", Some("true")),
        ("{'a': 1} = {'a': 1, 'b': 2}", Some("false")),
    ] {
        assert_eq!(value(expression).as_deref(), expected, "{expression}");
    }
}

#[test]
fn functions_answer() {
    for (expression, expected) in [
        ("STARTSWITH(c.s, 'Str')", Some("true")),
        ("STARTSWITH(c.s, 'str')", Some("false")),
        ("startswith(c.s, 'STR', true)", Some("true")),
        ("CONTAINS(c.s, 'ß')", Some("true")),
        ("ENDSWITH(c.n, 'x')", None),
        ("IS_DEFINED(c.z)", Some("true")),
        ("IS_DEFINED(c.missing)", Some("false")),
        ("IS_NULL(c.z)", Some("true")),
        ("ARRAY_CONTAINS(c.a, 'two')", Some("true")),
        ("LENGTH(c.s)", Some("6")),
        ("UPPER('a')", Some("\"A\"")),
        ("CONTAINS(c.s, 'STRASSE', true)", Some("false")),
        ("STRINGEQUALS(c.s, 'STRAßE', true)", Some("true")),
        ("ARRAY_CONTAINS(c.a, c.missing)", None),
        ("ARRAY_CONTAINS(c.s, 'S')", None),
        ("ARRAY_CONTAINS([{'x': 1, 'y': {'z': 1}}], {'y': {'z': 1}})", Some("false")),
        ("ARRAY_CONTAINS([{'x': 1, 'y': {'z': 1}}], {'y': {'z': 1}}, true)", Some("true")),
        ("ARRAY_CONTAINS([{'x': 1}], {'x': 2}, true)", Some("false")),
        ("ARRAY_CONTAINS_ALL(c.a, 1, null)", Some("true")),
        ("ARRAY_CONTAINS_ALL(c.a, 1, 2)", Some("false")),
        ("ARRAY_CONTAINS_ANY(c.a, 5, 'two')", Some("true")),
        ("ARRAY_LENGTH(c.a)", Some("3")),
        ("ARRAY_LENGTH(c.s)", None),
        ("IS_PRIMITIVE(c.z)", Some("true")),
        ("IS_PRIMITIVE(c.o)", Some("false")),
        ("IS_PRIMITIVE(c.missing)", Some("false")),
        ("ABS(-2)", Some("2")),
        ("FLOOR(-1.5)", Some("-2")),
        ("CEILING(-1.5)", Some("-1")),
        ("ROUND(-2.5)", Some("-3")),
        ("ROUND('x')", None),
        ("CONCAT('a', c.s, 'b')", Some("\"aStraßeb\"")),
        ("CONCAT('a', c.n)", None),
        ("LEFT(c.s, 2)", Some("\"St\"")),
        ("RIGHT(c.s, 2)", Some("\"ße\"")),
        ("RIGHT(c.s, 99)", Some("\"Straße\"")),
        ("LEFT(c.s, 1.5)", None),
        ("SUBSTRING(c.s, 1, 2)", Some("\"tr\"")),
        ("SUBSTRING(c.s, 99, 2)", Some("\"\"")),
        ("INDEX_OF(c.s, 'e')", Some("5")),
        ("INDEX_OF('😀ab', 'b')", Some("3")),
        ("INDEX_OF('aba', 'a', 1)", Some("2")),
        ("INDEX_OF('aba', 'a', 9)", Some("-1")),
        ("INDEX_OF('aba', 'x')", Some("-1")),
        ("REPLACE('aba', 'a', 'xy')", Some("\"xybxy\"")),
        ("TRIM(' a ')", Some("\"a\"")),
        ("LTRIM(' a ') || RTRIM(' b ')", Some("\"a  b\"")),
    ] {
        assert_eq!(value(expression).as_deref(), expected, "{expression}");
    }
}
