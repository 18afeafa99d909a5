//! `docs/conditions.md` is held to the code.

use std::collections::BTreeSet;

use cosmirror_sql::Condition;
use cosmirror_sql::ast::Function;

const PAGE: &str = include_str!("../../../docs/conditions.md");

#[test]
fn the_page_names_all_functions_and_no_others() {
    let (_, functions) = PAGE.split_once("Functions, in either case").unwrap();
    let (functions, _) = functions.split_once("Anything else").unwrap();
    let named: BTreeSet<&str> =
        functions.split('`').skip(1).step_by(2).filter(|name| name.starts_with(char::is_uppercase)).collect();
    assert_eq!(named, Function::names().collect());
    let names: Vec<&str> = Function::names().collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn the_examples_of_the_page_are_conditions() {
    let (_, examples) = PAGE.split_once("```\n").unwrap();
    let (examples, _) = examples.split_once("```").unwrap();
    let documents = [
        r#"{"status":"open","total":1e2,"tags":["x"]}"#,
        r#"{"order-number":"2026-7"}"#,
        r#"{"archivedAt":null,"retries":4}"#,
    ];
    for (example, document) in examples.lines().zip(documents) {
        let condition = Condition::parse(example).unwrap();
        for other in documents {
            assert_eq!(condition.matches(other), Ok(other == document), "{example} {other}");
        }
    }
    for none in ["c.a = 1", "c.a != 1", "NOT (c.a = 1)"] {
        assert_eq!(Condition::parse(none).unwrap().matches("{}"), Ok(false));
    }
}
