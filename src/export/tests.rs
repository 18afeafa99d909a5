//! Exports made of given lines, on disk, and read back.

use std::path::Path;

use cosmirror_formats::PartitionKey;
use cosmirror_formats::export::{
    Compression, CoveredWindow, DeleteLine, ExportedContainer, FORMAT, Line, LineCounts, Manifest, PutLine, Since,
    UnknownLine, Why,
};
use cosmirror_formats::records::Generation;
use proptest::prelude::*;
use serde_json::json;

use super::file::FileWriter;
use super::place::{Directory, Place as _};
use super::{Base, Begun, Book, read};
use crate::failure::Kind;

/// A manifest of one container without files.
pub(crate) fn manifest(id: &str, at: i64, compression: Compression, since: Option<(Since, Vec<String>)>) -> Manifest {
    let generation = Generation {
        rid: "r".to_owned(),
        since: 1,
        modes: Vec::new(),
        partition_key_paths: vec!["/pk".to_owned()],
        settings: json!({}),
    };
    let (since, chain) = since.unzip();
    Manifest {
        format: FORMAT,
        id: id.to_owned(),
        program: String::new(),
        began: String::new(),
        finished: None,
        at,
        since,
        chain: chain.unwrap_or_default(),
        compression,
        file_bytes_max: 200,
        uncertain: None,
        unknown: None,
        containers: vec![ExportedContainer {
            account: "http://a/".to_owned(),
            database: "d".to_owned(),
            container: "c".to_owned(),
            prefix: String::new(),
            generations: vec![generation],
            window: CoveredWindow::default(),
            files: Vec::new(),
        }],
    }
}

/// The key of every document here.
pub(crate) fn key() -> PartitionKey {
    PartitionKey::from_json(&json!(["p"])).unwrap()
}

/// A document that existed.
pub(crate) fn put<'a>(id: &str, document: &'a str) -> Line<'a> {
    Line::Put(PutLine { id: id.to_owned(), pk: key(), ts: 1, etag: "e".to_owned(), document })
}

/// A document that was gone.
pub(crate) fn gone(id: &str) -> Line<'static> {
    Line::Delete(DeleteLine { id: id.to_owned(), pk: key(), ts: 1 })
}

/// A document that was left out.
pub(crate) fn left_out(id: &str, manifest: &Manifest) -> Line<'static> {
    let name = manifest.containers[0].paths().document(&key(), id);
    Line::Unknown(UnknownLine { name, document: Some((id.to_owned(), key())), why: Why::Uncertain })
}

/// Writes an export of these lines, so many to a file.
pub(crate) async fn write(folder: &Path, manifest: Manifest, lines: &[Line<'_>], lines_per_file: usize) -> Manifest {
    let paths = manifest.containers[0].paths();
    let mut place = Directory::new(folder);
    let Begun::Open(mut book) = Book::begin(&mut place, manifest).await.unwrap() else { panic!("it is there") };
    for lines in lines.chunks(lines_per_file) {
        let mut file: FileWriter = book.begin_file().unwrap();
        for line in lines {
            let mut counts = LineCounts::default();
            counts.count(line);
            file.add(line.name(&paths), &line.to_text().unwrap(), counts).unwrap();
        }
        book.keep(0, file).await.unwrap();
    }
    book.finish().await.unwrap()
}

async fn base_of(folder: &Path) -> Base {
    Base::open(&Directory::new(folder)).await.unwrap()
}

#[tokio::test]
async fn the_documents_that_an_export_left_out_are_found_in_its_files_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a/b");
    let begun = manifest("x", 5, Compression::Zstd, None);
    let lines = [put("a", "{}"), left_out("b", &begun), put("c", "{}"), left_out("d", &begun), left_out("e", &begun)];
    write(&out, begun.clone(), &lines, 2).await;
    let base = base_of(&out).await;
    let paths = begun.containers[0].paths();
    let mut names = base.left_out(0).unwrap();
    let held: Vec<bool> =
        ["a", "b", "c", "e", "f"].map(|id| names.holds(&paths.document(&key(), id)).unwrap()).to_vec();
    assert_eq!(held, [false, true, false, true, false]);
    // Each reading begins anew.
    assert!(base.left_out(0).unwrap().holds(&paths.document(&key(), "d")).unwrap());
    assert!(!base.left_out(7).unwrap().holds("x").unwrap());
}

#[tokio::test]
async fn an_export_is_a_base_for_the_same_containers_at_a_later_instant_and_for_no_others() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), manifest("x", 5, Compression::None, None), &[], 1).await;
    let base = base_of(folder.path()).await;
    assert_eq!((base.since().id, base.chain()), ("x".to_owned(), vec!["x".to_owned()]));
    let fits = |at, change: &dyn Fn(&mut ExportedContainer)| {
        let mut next = manifest("y", at, Compression::Zstd, None).containers;
        change(&mut next[0]);
        base.require_fits(at, &next).map_err(|error| error.message)
    };
    assert_eq!(fits(6, &|_| {}), Ok(()));
    let again = |of: &mut ExportedContainer| {
        of.generations.push(Generation { rid: "s".to_owned(), ..of.generations[0].clone() })
    };
    assert_eq!(fits(6, &again), Ok(()), "the container was created again");
    for (at, change, why) in [
        (5, (|_| {}) as fn(&mut ExportedContainer), "not before"),
        (6, |of| of.account = "http://b/".to_owned(), "account"),
        (6, |of| of.container = "other".to_owned(), "has d/c where"),
        (6, |of| of.generations[0].rid = "s".to_owned(), "another one"),
        (6, |of| of.generations.clear(), "another one"),
        (6, |of| of.generations[0].partition_key_paths[0] = "/id".to_owned(), "partition key"),
        (6, |of| of.prefix = "elsewhere".to_owned(), "begin otherwise"),
    ] {
        let error = fits(at, &change).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(base.require_fits(6, &[]).unwrap_err().message.contains("has 1 containers"));
}

#[tokio::test]
async fn a_place_that_another_process_writes_to_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Directory::new(folder.path());
    first.claim().await.unwrap();
    let mut second = Directory::new(folder.path());
    let error = Book::begin(&mut second, manifest("x", 5, Compression::None, None)).await.err().unwrap();
    assert_eq!(error.exit, crate::failure::Exit::Held);
    drop(first);
    assert!(Book::begin(&mut second, manifest("x", 5, Compression::None, None)).await.is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever stands in a document, it is read back, and any byte of a file that is altered is found.
    #[test]
    fn lines_are_read_back_and_an_altered_byte_is_found(
        texts in prop::collection::vec("[\\PC\r\n\u{0}\"\\\\]{0,40}", 1..20), per_file in 1usize..6, zstd: bool, at: prop::sample::Index,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let documents: Vec<String> = texts.iter().map(|text| format!("{{\"text\":\n{}}}", json!(text))).collect();
        let lines: Vec<Line<'_>> = documents.iter().enumerate().map(|(at, text)| put(&format!("{at:03}"), text)).collect();
        let compression = if zstd { Compression::Zstd } else { Compression::None };
        let written = runtime.block_on(write(folder.path(), manifest("x", 5, compression, None), &lines, per_file));
        let place = Directory::new(folder.path());
        let mut found = Vec::new();
        for file in &written.containers[0].files {
            let open = || runtime.block_on(read::open(&place, file)).unwrap();
            read::check(open(), "f", file).unwrap();
            let mut of_file = read::lines(open(), "f", compression).unwrap();
            while let Some(text) = of_file.next().unwrap() {
                let Line::Put(put) = Line::of_text(text).unwrap() else { panic!("{text}") };
                found.push(put.document.to_owned());
            }
        }
        let sent: Vec<String> = documents.iter().map(|text| text.replace(['\r', '\n'], " ")).collect();
        prop_assert_eq!(found, sent);
        let file = &written.containers[0].files[0];
        let path = folder.path().join(&file.name);
        let mut bytes = std::fs::read(&path).unwrap();
        let byte = at.index(bytes.len());
        bytes[byte] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let open = runtime.block_on(read::open(&place, file)).unwrap();
        prop_assert!(read::check(open, "f", file).is_err());
    }
}

#[test]
fn names_that_are_listed_in_another_order_end_an_export() {
    let mut last = String::new();
    for name in ["documents/a-b.json", "documents/a/b.json", "documents/b.json"] {
        super::follow(&mut last, name).unwrap();
    }
    for name in ["documents/b.json", "documents/a-c.json"] {
        assert_eq!(super::follow(&mut last, name).unwrap_err().kind, Kind::Misconfigured, "{name}");
    }
}
