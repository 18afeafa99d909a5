//! The table in `docs/emulator-in-memory.md`: which differences are known, and why they are as they are.

use std::collections::BTreeSet;

use crate::difference::Difference;

pub(crate) const DOCUMENT: &str = include_str!("../../../../docs/emulator-in-memory.md");

/// The table's first line.
const HEAD: &str = "| request | field | ours | theirs | explanation |";

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    line: String,
    /// Names of requests; `*` stands for any text.
    requests: Vec<String>,
    field: String,
    ours: String,
    theirs: String,
}

impl Row {
    fn parse(line: &str) -> Self {
        let hidden = line.replace("\\|", "\0");
        let cells: Vec<String> =
            hidden.trim_matches('|').split('|').map(|cell| cell.trim().replace('\0', "|")).collect();
        let [requests, field, ours, theirs, explanation] = &cells[..] else { panic!("not five cells: {line}") };
        assert!(!explanation.is_empty(), "no explanation: {line}");
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        Self {
            line: line.to_owned(),
            requests: requests.split("; ").map(plain).collect(),
            field: plain(field),
            ours: plain(ours),
            theirs: plain(theirs),
        }
    }

    fn same_fields(&self, difference: &Difference) -> bool {
        self.field == difference.field && self.ours == difference.ours && self.theirs == difference.theirs
    }
}

/// All rows.
pub(crate) fn rows(document: &str) -> Vec<Row> {
    let lines = document.lines().skip_while(|line| *line != HEAD).skip(2);
    lines.take_while(|line| line.starts_with('|')).map(Row::parse).collect()
}

/// Differences that no row explains, and rows, or names in them, that explain nothing any more.
pub(crate) fn check(rows: &[Row], differences: &BTreeSet<Difference>) -> Vec<String> {
    let explained = |difference: &&Difference| {
        !rows.iter().any(|row| {
            row.same_fields(difference) && row.requests.iter().any(|pattern| matches(pattern, &difference.request))
        })
    };
    let mut faults: Vec<String> = differences.iter().filter(explained).map(to_row).collect();
    for row in rows {
        for pattern in &row.requests {
            if !differences.iter().any(|found| row.same_fields(found) && matches(pattern, &found.request)) {
                faults.push(format!("no longer so for {pattern:?}: {}", row.line));
            }
        }
    }
    faults
}

/// A difference as a row that lacks its explanation.
fn to_row(difference: &Difference) -> String {
    let Difference { request, field, ours, theirs } = difference;
    let cell = |text: &str| if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) };
    format!("not in the table: | {request} | {} | {} | {} | |", cell(field), cell(ours), cell(theirs))
}

/// Whether a name is one that a pattern means.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn a_pattern_means_any_text_by_its_stars() {
    assert!(matches("*", "items: read") && matches("items: *", "items: read") && matches("items: read", "items: read"));
    assert!(matches("*: * page", "feed: the second page"));
    assert!(!matches("items: *", "feed: read") && !matches("items: read", "items: read twice"));
}

#[test]
fn a_difference_without_a_row_and_a_row_without_a_difference_are_faults() {
    let document =
        format!("{HEAD}\n|-|-|-|-|-|\n| a: * | `status` | 1 | `2` | x |\n| b | body | `\"p\\|q\"` | 2 | x |\n");
    let rows = rows(&document);
    let difference = |request: &str, field: &str, ours: &str| Difference {
        request: request.to_owned(),
        field: field.to_owned(),
        ours: ours.to_owned(),
        theirs: "2".to_owned(),
    };
    let all = BTreeSet::from([difference("a: x", "status", "1"), difference("b", "body", "\"p|q\"")]);
    assert_eq!(check(&rows, &all), Vec::<String>::new());
    let others = BTreeSet::from([difference("a: x", "status", "1"), difference("c", "body", "3")]);
    let faults = check(&rows, &others);
    assert_eq!(faults.len(), 2);
    assert_eq!(faults[0], "not in the table: | c | `body` | `3` | `2` | |");
    assert!(faults[1].starts_with("no longer so for \"b\""));
}
