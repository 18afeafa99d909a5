//! The record that a document's history was erased: there before anything is, and completed at the end.

use cosmirror_formats::purge::{FORMAT, PurgeRecord, PurgeRun};

use super::{Found, Place, ROUNDS_MAX};
use crate::failure::{Failure, Kind};
use crate::records;
use crate::retry::persist;
use crate::store::Condition;

/// Says that it begins; gives what tells this run from others.
pub(super) async fn begin(place: &Place, document: &str, until: i64, command: &str) -> Result<String, Failure> {
    let began = crate::time::now().to_string();
    let run = PurgeRun {
        began: began.clone(),
        command: command.to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        ended: None,
        erased: 0,
        held: 0,
        recoverable: 0,
        gone_by: None,
    };
    change(place, document, |record| {
        record.until = record.until.max(until);
        // A put whose answer was lost may have been done.
        if record.runs.last() != Some(&run) {
            record.runs.push(run.clone());
        }
    })
    .await?;
    Ok(began)
}

/// Up to when the document was purged, or was about to be; none where it never was.
pub(super) async fn until(place: &Place, document: &str) -> Result<Option<i64>, Failure> {
    let name = place.mirror.paths.purge(document);
    Ok(records::read::<PurgeRecord>(place.mirror.store.as_ref(), &name).await?.map(|record| record.until))
}

/// Says how it ended.
pub(super) async fn end(place: &Place, document: &str, began: &str, found: &Found) -> Result<(), Failure> {
    let ended = crate::time::now().to_string();
    change(place, document, |record| {
        if let Some(run) = record.runs.iter_mut().rev().find(|run| run.began == began) {
            run.ended = Some(ended.clone());
            (run.erased, run.held) = (found.erased, found.held);
            (run.recoverable, run.gone_by) = (found.recoverable, found.gone_by);
        }
    })
    .await
}

async fn change(place: &Place, document: &str, change: impl Fn(&mut PurgeRecord)) -> Result<(), Failure> {
    let (store, name) = (place.mirror.store.as_ref(), place.mirror.paths.purge(document));
    for _ in 0..ROUNDS_MAX {
        let (mut record, condition) = match persist(|| records::get::<PurgeRecord>(store, &name)).await? {
            Some((record, etag)) => (record, Condition::Matches(etag)),
            None => (PurgeRecord { format: FORMAT, until: 0, runs: Vec::new() }, Condition::Absent),
        };
        change(&mut record);
        let put = records::put(name.clone(), &record, condition);
        match persist(|| store.put(put.clone())).await {
            Err(failure) if failure.kind == Kind::Conflict => {}
            done => return done.map(drop),
        }
    }
    Err(Failure::new(Kind::Transient, format!("{name:?} keeps being changed by another writer")))
}
