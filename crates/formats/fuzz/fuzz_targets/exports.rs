//! The files of an export: any text is read without harm, what is read is written alike and on one line, and names no file outside the export's folder.

#![no_main]

use cosmirror_formats::export::{Line, Manifest, PutLine};
use cosmirror_formats::sealed_lines::Seals;
use cosmirror_formats::{MirrorPaths, PartitionKey};
use cosmirror_formats_fuzz::AnyDocument;
use libfuzzer_sys::arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 3 {
        0 => String::from_utf8_lossy(rest).lines().for_each(line),
        1 => manifest(&String::from_utf8_lossy(rest)),
        _ => {
            if let Ok((document, text, ts)) = <(AnyDocument, String, i64)>::arbitrary(&mut Unstructured::new(rest)) {
                put(&document, &text, ts);
            }
        }
    }
});

fn line(text: &str) {
    let Ok(line) = Line::of_text(text) else { return };
    let written = line.to_text().expect("what was read can be written");
    let one_line = written.strip_suffix('\n').expect("it has a line end");
    assert!(!one_line.contains(['\n', '\r']));
    let again = Line::of_text(one_line).expect("what was written can be read");
    assert_eq!(again.to_text().expect("it can be written"), written);
    line.name(&MirrorPaths::new("", "d", "c"));
}

fn manifest(text: &str) {
    // Nearly nothing has a seal by chance, so what is read as one gets its seal here.
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let Ok(sealed) = Seals::default().seal(&value) else { return };
    let Ok(manifest) = Manifest::of_text(&sealed) else { return };
    for file in manifest.containers.iter().flat_map(|container| &container.files) {
        assert!(!file.name.contains(['/', '\\', '\0']) && !file.name.starts_with('.'), "{:?}", file.name);
    }
    let written = manifest.to_text().expect("it is an object");
    assert_eq!(Manifest::of_text(&written).expect("what was written"), manifest);
}

fn put(document: &AnyDocument, text: &str, ts: i64) {
    let (pk, id): (PartitionKey, String) = (document.key(), document.id());
    if pk.0.is_empty() {
        return;
    }
    let line = Line::Put(PutLine { id, pk, ts, etag: text.to_owned(), document: text });
    let Ok(written) = line.to_text() else { return };
    let read = Line::of_text(written.trim_end_matches('\n')).expect("what was written can be read");
    assert_eq!(read.name(&MirrorPaths::new("", "d", "c")), line.name(&MirrorPaths::new("", "d", "c")));
}
