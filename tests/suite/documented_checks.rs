//! The table of findings in `docs/operations.md` is the code's own.

use cosmirror::check::FINDINGS;

const DOCUMENT: &str = include_str!("../../docs/operations.md");

#[test]
fn every_finding_is_documented_as_the_code_has_it_and_no_other() {
    let section = DOCUMENT.split("\n## Checking before the first write\n").nth(1).expect("there is a section");
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().skip_while(|line| !line.starts_with("| check | status |")).collect();
    let rows: Vec<&str> = rows.into_iter().skip(2).take_while(|line| line.starts_with('|')).collect();
    let row = |finding: &cosmirror::check::Finding| {
        format!("| `{}` | {} | {} | {} |", finding.name, finding.status.word(), finding.when, finding.remedy)
    };
    for (at, finding) in FINDINGS.iter().enumerate() {
        assert_eq!(rows.get(at).copied(), Some(row(finding).as_str()), "row {at}");
    }
    assert_eq!(rows.len(), FINDINGS.len(), "{:?}", rows.last());
}

#[test]
fn no_text_of_a_finding_breaks_the_table_and_none_is_empty() {
    for finding in FINDINGS {
        for text in [finding.name, finding.when, finding.remedy] {
            assert!(!text.is_empty() && !text.contains('|') && !text.contains('\n'), "{finding:?}");
        }
    }
}
