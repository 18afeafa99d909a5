//! The mirror's own records: what can be read can be written and read back alike, and a window is never told where there is a hole.

#![no_main]

use std::fmt::Debug;

use cosmirror_formats::EpkRange;
use cosmirror_formats::job::JobRecord;
use cosmirror_formats::records::{ContainerRecord, DeadLetter, FORMAT, Gap, RangeState, Window};
use cosmirror_formats::rehearsal::Rehearsal;
use cosmirror_formats::restore_record::RestoreRecord;
use libfuzzer_sys::arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

/// A bound's place, what is known up to when, and whether it counts.
type State = (u8, u8, Option<i8>, Option<i8>, Option<i8>, bool);

const LATEST: &str = "latest-version";

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 8 {
        0 => round_trip::<ContainerRecord>(rest),
        1 => round_trip::<RangeState>(rest),
        2 => round_trip::<Gap>(rest),
        3 => round_trip::<DeadLetter>(rest),
        4 => round_trip::<RestoreRecord>(rest),
        5 => {
            if let Ok(states) = Vec::<State>::arbitrary(&mut Unstructured::new(rest)) {
                window(&states);
            }
        }
        6 => round_trip::<Rehearsal>(rest),
        _ => round_trip::<JobRecord>(rest),
    }
});

fn round_trip<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec(&record).expect("what was read");
    let again: T = serde_json::from_slice(&written).expect("what we write");
    assert_eq!(again, record);
    assert_eq!(serde_json::to_vec(&again).expect("what was read"), written);
}

fn window(states: &[State]) {
    let bound = |place: u8| match place {
        0 => String::new(),
        255 => "FF".to_owned(),
        place => format!("{place:02X}"),
    };
    let state = |(min, max, backfilled, reconciled, watermark, superseded): &State| RangeState {
        format: FORMAT,
        lineage: String::new(),
        rid: String::new(),
        range: EpkRange::new(bound(*min), bound(*max)),
        mode: if reconciled.is_some() { LATEST } else { "all-versions-and-deletes" }.to_owned(),
        since: 0,
        backfilled: backfilled.map(i64::from),
        reconciled: reconciled.map(i64::from),
        watermark: watermark.map(i64::from),
        superseded_by: if *superseded { vec![EpkRange::full()] } else { Vec::new() },
    };
    let all: Vec<RangeState> = states.iter().map(state).collect();
    let told = Window::of(&all, LATEST);
    let counted: Vec<&State> = states.iter().filter(|state| !state.5).collect();
    let whole = (0..255).all(|place| counted.iter().any(|(min, max, ..)| *min <= place && place < *max));
    let from = counted.iter().map(|state| state.2).collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    let until = counted.iter().map(|state| state.4).collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min());
    let deletes = counted.iter().map(|(_, _, _, reconciled, watermark, _)| {
        watermark.map(|watermark| reconciled.map_or(watermark, |reconciled| reconciled.min(watermark)))
    });
    let deletes = deletes.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min());
    let expected = match (from, until) {
        (Some(from), Some(until)) if whole && from <= until => {
            (Some(from.into()), Some(until.into()), deletes.map(i64::from))
        }
        _ => (None, None, None),
    };
    assert_eq!((told.from, told.until, told.deletes_until), expected, "{all:?}");
}
