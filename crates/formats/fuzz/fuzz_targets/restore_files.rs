//! The files of a restore: any text is opened without harm, what is read is written alike, and a change of any byte is found in its line.

#![no_main]

use cosmirror_formats::restore_plan::{PlanLine, UndoLine};
use cosmirror_formats::sealed_lines::Seals;
use libfuzzer_sys::arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind % 4 {
        0 => round_trip::<PlanLine>(&text),
        1 => round_trip::<UndoLine>(&text),
        2 => drop(open(&text)),
        _ => {
            if let Ok((texts, at, to)) = <(Vec<String>, u16, u8)>::arbitrary(&mut Unstructured::new(rest)) {
                altered(&texts, at.into(), to);
            }
        }
    }
});

/// The first line that does not open.
fn open(text: &str) -> Result<String, usize> {
    let mut seals = Seals::default();
    for (at, line) in text.lines().enumerate() {
        seals.open(line).map_err(|_| at)?;
    }
    Ok(seals.digest())
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) {
    for line in text.lines() {
        let Ok(item) = serde_json::from_str::<T>(line) else { continue };
        let sealed = Seals::default().seal(&item).expect("a line is an object with members");
        let sealed = sealed.strip_suffix('\n').expect("it has a line end");
        Seals::default().open(sealed).expect("what was sealed");
        assert_eq!(serde_json::from_str::<T>(sealed).expect("what we write"), item);
    }
}

fn altered(texts: &[String], at: usize, to: u8) {
    let mut seals = Seals::default();
    let item = |text: &String| std::collections::BTreeMap::from([("text", text.clone())]);
    let sealed: String = texts.iter().map(|text| seals.seal(&item(text)).expect("an object")).collect();
    assert_eq!(open(&sealed), Ok(seals.digest()));
    let mut bytes = sealed.clone().into_bytes();
    if bytes.is_empty() {
        return;
    }
    let at = at % bytes.len();
    if bytes[at] == to || bytes[at] == b'\n' || to == b'\n' || to == b'\r' {
        return;
    }
    bytes[at] = to;
    let Ok(altered) = String::from_utf8(bytes) else { return };
    let line = sealed.bytes().take(at).filter(|byte| *byte == b'\n').count();
    assert_eq!(open(&altered), Err(line));
}
