//! Chains merged as they are read, and arrays taken apart.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use cosmirror_formats::export::{Compression, Line, Since, manifest_digest};
use futures::TryStreamExt as _;
use indicatif::ProgressBar;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::array::Array;
use super::progress::How;
use super::{BadLines, Chain, Import, Input, Next, Progress, Report, Target};
use crate::export::place::{Directory, Place};
use crate::export::tests::{gone, left_out, manifest, put, write};
use crate::failure::Exit;
use crate::pace::RequestUnits;
use crate::restore::{Overwrite, Pace};

/// What an export says of a document.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    Nothing,
    Put(u32),
    Gone,
    LeftOut,
}

fn place(folder: &Path) -> Box<dyn Place> {
    Box::new(Directory::new(folder))
}

fn text(id: &str, step: u32) -> String {
    json!({ "id": id, "pk": "p", "step": step }).to_string()
}

/// Writes one export of a chain and gives what the next one names it by.
async fn written(folder: &Path, at: i64, since: Option<Since>, said: &[Said], per_file: usize) -> Since {
    let chain = (0..at).map(|at| format!("e{at}")).collect();
    let compression = if at % 2 == 0 { Compression::None } else { Compression::Zstd };
    let begun = manifest(&format!("e{at}"), at, compression, since.map(|since| (since, chain)));
    let texts: Vec<(String, String)> = said
        .iter()
        .enumerate()
        .map(|(id, said)| {
            (
                format!("{id:02}"),
                if let Said::Put(step) = said { text(&format!("{id:02}"), *step) } else { String::new() },
            )
        })
        .collect();
    let lines: Vec<Line<'_>> = said
        .iter()
        .zip(&texts)
        .filter_map(|(said, (id, text))| match said {
            Said::Nothing => None,
            Said::Put(_) => Some(put(id, text)),
            Said::Gone => Some(gone(id)),
            Said::LeftOut => Some(left_out(id, &begun)),
        })
        .collect();
    write(folder, begun, &lines, per_file).await;
    let text = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    Since { id: format!("e{at}"), at, sha256: manifest_digest(&text) }
}

/// Imports nothing, but says what would be: documents by id, and how many were left out.
async fn merged(folders: Vec<&Path>) -> (BTreeMap<String, u64>, u64) {
    let chain = Chain::open(folders.into_iter().map(place).collect()).await.unwrap();
    let input = Input::Chain(chain);
    input.check(BadLines::refused()).await.unwrap();
    let (mut documents, mut left_out, mut places) = (BTreeMap::new(), 0, Vec::new());
    let mut all = input.documents().unwrap();
    while let Some((place, next)) = all.try_next().await.unwrap() {
        places.push(place);
        match next {
            Next::LeftOut => left_out += 1,
            Next::Put(item) => {
                let document: Value = serde_json::from_slice(&item.text).unwrap();
                assert!(documents.insert(item.id, document["step"].as_u64().unwrap()).is_none());
            }
        }
    }
    assert!(places.iter().copied().eq(0..places.len() as u64));
    (documents, left_out)
}

/// Imports into a container that takes everything, as far as this file says that it is not done.
async fn run(input: &Input, progress: &Path) -> Report {
    let cancel = CancellationToken::new();
    let targets = [Target { purges: Vec::new(), documents: None, is_empty: true }];
    let import = Import {
        input,
        targets: &targets,
        overwrite: Overwrite::IfChanged,
        dry_run: false,
        concurrency: 4,
        failures_max: None,
        pace: &Pace::new(Arc::new(RequestUnits::new(0)), 4, cancel.clone()),
        cancel: &cancel,
        bar: ProgressBar::hidden(),
    };
    import.run(Progress::begin(progress, "a".to_owned(), false).unwrap()).await.unwrap()
}

/// What is settled is not looked at again, so the run that goes on used to end with 0.
#[tokio::test]
async fn an_import_that_goes_on_tells_what_was_left_out_before_as_an_undisturbed_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("export");
    written(&out, 0, None, &[Said::LeftOut, Said::Put(1), Said::LeftOut, Said::Put(2)], 4).await;
    let input = Input::Chain(Chain::open(vec![place(&out)]).await.unwrap());
    let progress = folder.path().join("a.progress");
    for settled in 0..4 {
        let mut earlier = Progress::begin(&progress, "a".to_owned(), false).unwrap();
        for place in 0..settled {
            earlier.settle(place, if place % 2 == 0 { How::LeftOut } else { How::Done }).unwrap();
        }
        earlier.save().unwrap();
        let report = run(&input, &progress).await;
        assert_eq!((report.resumed, report.left_out), (settled, 2), "{report:?}");
        assert_eq!(report.error().map(|error| error.exit), Some(Exit::Partial), "{report:?}");
        assert!(!progress.exists());
    }
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        3 => Just(Said::Nothing),
        4 => (0..1_000u32).prop_map(Said::Put),
        2 => Just(Said::Gone),
        1 => Just(Said::LeftOut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// What the merge of a chain gives is what each document's newest line says.
    #[test]
    fn of_each_document_the_newest_export_counts(
        exports in prop::collection::vec(prop::collection::vec(said(), 12), 1..5), per_file in 1usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let folders: Vec<_> = (0..exports.len()).map(|at| folder.path().join(at.to_string())).collect();
        let mut since = None;
        for (at, said) in exports.iter().enumerate() {
            let at_instant = i64::try_from(at).unwrap();
            since = Some(runtime.block_on(written(&folders[at], at_instant, since, said, per_file)));
        }
        let newest = |id: usize| exports.iter().rev().map(|said| said[id]).find(|said| *said != Said::Nothing);
        let states: Vec<Option<Said>> = (0..12).map(newest).collect();
        let expected: BTreeMap<String, u64> = states
            .iter()
            .enumerate()
            .filter_map(|(id, said)| if let Some(Said::Put(step)) = said { Some((format!("{id:02}"), u64::from(*step))) } else { None })
            .collect();
        let left_out = states.iter().filter(|said| **said == Some(Said::LeftOut)).count() as u64;
        let merged = runtime.block_on(merged(folders.iter().map(|folder| folder.as_path()).collect()));
        prop_assert_eq!(merged, (expected, left_out));
    }

    #[test]
    fn the_elements_of_an_array_are_those_that_a_parser_finds(
        values in prop::collection::vec(("[\\PC\\n\"\\\\\\[\\]{},]{0,12}", any::<f64>(), 0u8..4), 0..12), capacity in 1usize..40, pretty: bool,
    ) {
        let value = |(text, number, kind): &(String, f64, u8)| match kind {
            0 => json!({ "text": text, "deep": [[text], { "n": number }] }),
            1 => json!(text),
            2 => json!([number, [], {}]),
            _ => json!(number),
        };
        let values: Vec<Value> = values.iter().map(value).collect();
        let text = if pretty { serde_json::to_string_pretty(&values).unwrap() } else { serde_json::to_string(&values).unwrap() };
        let mut array = Array::new(BufReader::with_capacity(capacity, text.as_bytes()));
        let (mut found, mut line) = (Vec::new(), 0);
        while let Some(element) = array.next().unwrap() {
            prop_assert!(element.line >= line && !element.too_long);
            line = element.line;
            found.push(serde_json::from_slice::<Value>(&element.bytes).unwrap());
        }
        prop_assert_eq!(found, values);
        prop_assert!(array.next().unwrap().is_none());
    }

    #[test]
    fn any_bytes_are_taken_apart_without_a_panic_and_in_the_end(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let text = [b"[", bytes.as_slice()].concat();
        let mut array = Array::new(text.as_slice());
        for _ in 0..=text.len() {
            if !matches!(array.next(), Ok(Some(_))) {
                return Ok(());
            }
        }
        prop_assert!(false, "it has no end");
    }
}

#[tokio::test]
async fn lines_out_of_order_or_twice_and_counts_that_are_wrong_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (text("a", 1), text("b", 1));
    for (name, lines) in [
        ("order", vec![put("b", &second), put("a", &first)]),
        ("twice", vec![put("a", &first), put("a", &first)]),
        ("other", vec![put("c", &first)]),
    ] {
        let out = folder.path().join(name);
        write(&out, manifest("x", 5, Compression::None, None), &lines, 1).await;
        let input = Input::Chain(Chain::open(vec![place(&out)]).await.unwrap());
        let error = input.check(BadLines::refused()).await.unwrap_err();
        assert_eq!(error.exit, Exit::Integrity, "{name}: {}", error.message);
        let why = if name == "other" { "another id or partition key" } else { "not behind the one before it" };
        assert!(error.message.contains(why), "{name}: {}", error.message);
    }
}
