//! What somebody asks for, as JSON. Pure: every fault is told with its field, and an unknown field is one.

use cosmirror_formats::job::{MILLION, Work};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::steps;
use crate::reconcile::Mode;

/// Longest name that is repeated in an answer.
const SHOWN_CHARS_MAX: usize = 64;

/// A job that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// The database's name.
    pub database: String,
    /// The container's name.
    pub container: String,
    /// What is to be done.
    pub work: Work,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Faulty {
    /// What, with the field.
    pub message: String,
    /// What is right.
    pub remedy: String,
}

fn faulty(message: impl Into<String>, remedy: impl Into<String>) -> Faulty {
    Faulty { message: message.into(), remedy: remedy.into() }
}

impl JobRequest {
    /// Whether what documents hold is asked for, for which encrypted ones would have to be opened.
    pub fn reads_content(&self) -> bool {
        match &self.work {
            Work::Backfill => false,
            Work::Verify { mode, .. } => Mode::of_name(mode) == Some(Mode::Full),
            Work::Export { .. } | Work::Rehearse { .. } => true,
        }
    }

    /// Understands a request's body.
    pub fn parse(body: &[u8]) -> Result<Self, Faulty> {
        let example = r#"send such as {"kind":"verify","database":"shop","container":"orders"}"#;
        let value: Value =
            serde_json::from_slice(body).map_err(|error| faulty(format!("the body is not JSON: {error}"), example))?;
        let Value::Object(mut fields) = value else { return Err(faulty("the body is not a JSON object", example)) };
        let kind = required(&mut fields, "kind")?;
        let request = Self {
            database: required(&mut fields, "database")?,
            container: required(&mut fields, "container")?,
            work: match kind.as_str() {
                "backfill" => Work::Backfill,
                "verify" => verify(&mut fields)?,
                "export" => export(&mut fields)?,
                "rehearse" => Work::Rehearse { at: at(&mut fields)?, sample_per_million: sample(&mut fields)? },
                other => {
                    let kinds = Work::KINDS.join(" or ");
                    return Err(faulty(format!("kind: there is no {:?}", shown(other)), format!("use {kinds}")));
                }
            },
        };
        match fields.keys().next() {
            None => Ok(request),
            Some(unknown) => {
                let known = match request.work {
                    Work::Backfill => "kind, database, container",
                    Work::Verify { .. } => "kind, database, container, mode, sample, repair",
                    Work::Export { .. } => "kind, database, container, at, since, compress",
                    Work::Rehearse { .. } => "kind, database, container, at, sample",
                };
                let message = format!("a job of kind {kind} has no field {:?}", shown(unknown));
                Err(faulty(message, format!("the fields are {known}")))
            }
        }
    }
}

fn verify(fields: &mut Map<String, Value>) -> Result<Work, Faulty> {
    let mode = match fields.remove("mode") {
        None => Mode::Presence,
        Some(value) => value.as_str().and_then(Mode::of_name).ok_or_else(|| {
            let modes = Mode::ALL.map(Mode::name).join(", ");
            faulty("mode: there is no such mode", format!("use one of {modes}"))
        })?,
    };
    let sample_per_million = sample(fields)?.unwrap_or(MILLION);
    let repair = flag(fields, "repair")?;
    Ok(Work::Verify { mode: mode.name().to_owned(), sample_per_million, repair })
}

fn sample(fields: &mut Map<String, Value>) -> Result<Option<u32>, Faulty> {
    let fault = || faulty("sample: it is not the part of the documents to compare", "use a number above 0 and up to 1");
    let part = |value: Value| value.as_f64().and_then(per_million).ok_or_else(fault);
    fields.remove("sample").map(part).transpose()
}

fn export(fields: &mut Map<String, Value>) -> Result<Work, Faulty> {
    let since = match fields.remove("since") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) if steps::is_id(&id) => Some(id),
        Some(_) => {
            return Err(faulty("since: it is not the id of a job", "use the id of an export's job that succeeded"));
        }
    };
    Ok(Work::Export { at: at(fields)?, since, compress: flag(fields, "compress")? })
}

fn at(fields: &mut Map<String, Value>) -> Result<Option<i64>, Faulty> {
    match fields.remove("at") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let instant = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let remedy = "use an RFC 3339 instant such as 2026-01-31T08:00:00Z, or leave it out for the newest";
            instant.map(|at| Some(at.as_second())).ok_or_else(|| faulty("at: it is not an instant", remedy))
        }
    }
}

fn flag(fields: &mut Map<String, Value>, name: &str) -> Result<bool, Faulty> {
    match fields.remove(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(faulty(format!("{name}: it is neither true nor false"), "use true or false")),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and a million")]
fn per_million(part: f64) -> Option<u32> {
    let documents = (part * f64::from(MILLION)).round();
    (part > 0.0 && part <= 1.0).then(|| (documents as u32).max(1))
}

fn required(fields: &mut Map<String, Value>, name: &str) -> Result<String, Faulty> {
    match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(faulty(format!("{name}: it is not a text"), format!("send {name} as a text"))),
        None => Err(faulty(format!("{name}: it is missing"), "send kind, database and container")),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<JobRequest, Faulty> {
        JobRequest::parse(text.as_bytes())
    }

    fn with(more: &str) -> String {
        format!(r#"{{"kind":"verify","database":"d","container":"c"{more}}}"#)
    }

    #[test]
    fn what_is_left_out_is_a_comparison_of_all_by_presence_without_repair() {
        let work = Work::Verify { mode: "presence".to_owned(), sample_per_million: MILLION, repair: false };
        let request = JobRequest { database: "d".to_owned(), container: "c".to_owned(), work };
        assert_eq!(parse(&with("")).unwrap(), request);
        let all = parse(&with(r#","mode":"full","sample":0.05,"repair":true"#)).unwrap();
        assert_eq!(all.work, Work::Verify { mode: "full".to_owned(), sample_per_million: 50_000, repair: true });
        let backfill = parse(r#"{"kind":"backfill","database":"d","container":"c"}"#).unwrap();
        assert_eq!(backfill.work, Work::Backfill);
    }

    #[test]
    fn the_requests_of_the_documentation_are_understood() {
        let bodies = include_str!("../../docs/jobs.md").split("-d '").skip(1);
        let requests: Vec<JobRequest> = bodies.map(|body| parse(body.split('\'').next().unwrap()).unwrap()).collect();
        assert_eq!(requests.len(), 2);
        assert!(requests.iter().all(|request| request.work.kind() == "verify"), "{requests:?}");
    }

    #[test]
    fn every_fault_names_its_field() {
        for (text, field) in [
            ("", "the body is not JSON"),
            ("[]", "the body is not a JSON object"),
            (r#"{"kind":"import","database":"d","container":"c"}"#, "kind: there is no \"import\""),
            (r#"{"kind":"rehearse","database":"d","container":"c","sample":2}"#, "sample: "),
            (
                r#"{"kind":"rehearse","database":"d","container":"c","into":"shop/orders"}"#,
                "a job of kind rehearse has no field",
            ),
            (r#"{"kind":"export","database":"d","container":"c","at":1}"#, "at: "),
            (r#"{"kind":"export","database":"d","container":"c","at":"-2h"}"#, "at: "),
            (r#"{"kind":"export","database":"d","container":"c","since":"../other"}"#, "since: "),
            (r#"{"kind":"export","database":"d","container":"c","compress":"zstd"}"#, "compress: "),
            (r#"{"kind":"export","database":"d","container":"c","out":"/etc"}"#, "a job of kind export has no field"),
            (r#"{"kind":1,"database":"d","container":"c"}"#, "kind: it is not a text"),
            (r#"{"kind":"verify","container":"c"}"#, "database: it is missing"),
            (
                r#"{"kind":"backfill","database":"d","container":"c","mode":"full"}"#,
                "a job of kind backfill has no field",
            ),
            (&with(r#","mode":"deep""#), "mode: "),
            (&with(r#","mode":1"#), "mode: "),
            (&with(r#","sample":0"#), "sample: "),
            (&with(r#","sample":1.5"#), "sample: "),
            (&with(r#","sample":"all""#), "sample: "),
            (&with(r#","repair":"yes""#), "repair: "),
            (&with(r#","Mode":"full""#), "a job of kind verify has no field \"Mode\""),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.message.starts_with(field) && !fault.remedy.is_empty(), "{text}: {fault}");
        }
    }

    #[test]
    fn a_long_or_hostile_name_is_not_repeated_in_full() {
        let kind = "\u{1b}[31m".repeat(1_000);
        let text = serde_json::json!({ "kind": kind, "database": "d", "container": "c" }).to_string();
        let fault = parse(&text).unwrap_err();
        assert!(fault.message.len() < 1_000 && !fault.message.contains('\u{1b}'), "{fault}");
    }
}
