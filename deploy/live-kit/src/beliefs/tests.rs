//! The list, its comments and its table belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every source file of the kit.
fn sources() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folders = [folder.clone(), folder.join("beliefs")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).map(|path| read(&path)).collect()
}

/// The comment above a belief's function.
fn comment(function: &str, sources: &[String]) -> String {
    let signature = format!("pub(crate) async fn {function}(kit: &Kit) -> Seen {{");
    let source = sources.iter().find(|source| source.contains(&signature)).expect("a function of that name");
    let above = source[..source.find(&signature).unwrap()].lines().rev();
    let mut lines: Vec<_> = above.map_while(|line| line.strip_prefix("/// ")).collect();
    lines.reverse();
    lines.join(" ")
}

#[test]
fn every_belief_says_which_code_relies_on_it() {
    let sources = sources();
    for belief in all() {
        let comment = comment(belief.function, &sources);
        let files = comment.split('`').filter(|part| part.starts_with("src/") || part.starts_with("crates/"));
        let files: Vec<_> = files.collect();
        assert!(!files.is_empty(), "{} names no file", belief.function);
        for file in files {
            assert!(root().join(file).is_file(), "{} names {file}, which is not there", belief.function);
        }
    }
}

#[test]
fn no_belief_is_left_out_of_the_list_or_stands_there_twice() {
    let written: usize = sources().iter().map(|source| source.matches("(kit: &Kit) -> Seen {").count()).sum();
    let names: BTreeSet<_> = all().map(Belief::name).collect();
    // One is the text that this test and the one above look for; another one is its own.
    let in_tests = include_str!("tests.rs").matches("(kit: &Kit) -> Seen {").count();
    assert_eq!((names.len(), all().count()), (written - in_tests, names.len()));
}

/// The rows of the table in `docs/operations.md`: name, emulator, Azure.
fn rows() -> BTreeMap<String, [String; 2]> {
    let text = read(&root().join("docs/operations.md"));
    let section = text.split("\n## ").find(|section| section.starts_with("What has been settled where\n"));
    let section = section.expect("docs/operations.md has the section");
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| `")?.trim_end_matches(" |").split(" | ").collect();
        let [name, emulator, azure] = cells[..] else { panic!("not three cells: {line}") };
        Some((name.trim_end_matches('`').to_owned(), [emulator.to_owned(), azure.to_owned()]))
    });
    rows.collect()
}

/// It gave up by being dropped, and the container that costs by the hour stayed until the end of all.
#[test]
fn waiting_for_a_split_ends_before_its_belief_is_dropped() {
    let belief = all().find(|belief| belief.function == "a_position_holds_on_the_parts_of_a_split").unwrap();
    assert!(topology::SPLIT_MINUTES_MAX + 5 <= belief.minutes_max);
}

#[test]
fn the_table_of_what_was_settled_has_a_row_for_each_belief() {
    let names: BTreeSet<_> = all().map(Belief::name).collect();
    let rows = rows();
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), names);
    let is_date = |cell: &str| cell.parse::<jiff::civil::Date>().is_ok();
    for (name, [emulator, azure]) in rows {
        // The continuous integration holds the emulator to every one of them but these.
        assert_eq!(is_date(&emulator), !AZURE_ONLY.contains(&name.as_str()), "{name}: {emulator}");
        assert!(is_date(&azure) || azure == "not yet" || azure.starts_with("otherwise: "), "{name}: {azure}");
    }
}
