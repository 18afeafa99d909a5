//! A job as a person or a script is told of it.

use cosmirror_formats::job::{JobCounts, JobRecord, MILLION, State, Work};
use serde_json::{Value, json};

use crate::history::instant;

/// The job as JSON.
pub fn view(record: &JobRecord) -> Value {
    let progress = &record.progress;
    let counts = record.counts;
    let mut view = json!({
        "id": record.id,
        "kind": record.work.kind(),
        "database": record.database,
        "container": record.container,
        "state": record.state.as_str(),
        // It has been asked to end and has not yet.
        "ending": record.cancel && !record.state.has_ended(),
        "phase": Some(&progress.phase).filter(|phase| !phase.is_empty()),
        "progress": {
            "done": progress.done,
            "total": progress.total,
            "parts_done": progress.parts_done,
            "parts": progress.parts,
        },
        "rate_per_second": progress.per_minute.map(per_second),
        "seconds_left": progress.seconds_left,
        "owner": record.owner,
        "attempts": record.attempts,
        "created": instant(record.created),
        "started": record.started.map(instant),
        "ended": record.ended.map(instant),
        "counts": counts,
        "drift": drift(&counts),
        "error": record.error,
    });
    if let Some(view) = view.as_object_mut() {
        view.extend(asked(&record.work).into_iter().map(|(name, value)| (name.to_owned(), value)));
        view.extend(record.result.clone().map(|result| ("result".to_owned(), result)));
    }
    if record.state == State::Queued {
        view["phase"] = json!("waiting for a replica");
    }
    view
}

/// What was asked for, by kind.
fn asked(work: &Work) -> Vec<(&'static str, Value)> {
    match work {
        Work::Backfill => Vec::new(),
        Work::Verify { mode, sample_per_million, repair } => {
            let sample = f64::from(*sample_per_million) / f64::from(MILLION);
            vec![("mode", json!(mode)), ("sample", json!(sample)), ("repair", json!(repair))]
        }
        Work::Rehearse { at, sample_per_million } => {
            let sample = sample_per_million.map(|sample| f64::from(sample) / f64::from(MILLION));
            vec![("at", json!(at.map(instant))), ("sample", json!(sample))]
        }
        Work::Export { at, since, compress } => {
            vec![("at", json!(at.map(instant))), ("since", json!(since)), ("compress", json!(compress))]
        }
    }
}

/// Documents that differ and were not put right.
fn drift(counts: &JobCounts) -> u64 {
    (counts.missing + counts.stale + counts.extra + counts.different).saturating_sub(counts.repaired)
}

#[expect(clippy::cast_precision_loss, reason = "a speed for people")]
fn per_second(per_minute: u64) -> f64 {
    (per_minute as f64 / 6.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::steps;

    #[test]
    fn golden_json_of_a_job() {
        let work = Work::Verify { mode: "full".to_owned(), sample_per_million: 50_000, repair: true };
        let mut record = steps::new("shop", "orders", "r", work, 1_700_000_000, 1);
        record.counts = JobCounts { documents: 9, missing: 2, extra: 1, repaired: 2, ..JobCounts::default() };
        record.progress.per_minute = Some(95);
        let view = view(&record);
        let documented = include_str!("../../docs/jobs.md").split("```json\n").nth(1).unwrap();
        let documented: Value = serde_json::from_str(documented.split("```").next().unwrap()).unwrap();
        let names =
            |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(names(&view), names(&documented));
        for inner in ["progress", "counts"] {
            assert_eq!(names(&view[inner]), names(&documented[inner]));
        }
        assert_eq!(view["created"], "2023-11-14T22:13:20Z");
        assert_eq!((&view["sample"], &view["mode"], &view["repair"]), (&json!(0.05), &json!("full"), &json!(true)));
        assert_eq!((&view["drift"], &view["rate_per_second"]), (&json!(1), &json!(1.6)));
        assert_eq!((&view["seconds_left"], &view["error"], &view["ended"]), (&Value::Null, &Value::Null, &Value::Null));
    }
}
