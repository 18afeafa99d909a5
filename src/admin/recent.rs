//! The last problems that the process logged, for the page: what happened, what to do about it, and how often.
//!
//! A layer beside the logs hears every warning and error of this program's own crates, whatever the logs are set to. Repeated ones are
//! counted. Memory is bounded: [`PROBLEMS_MAX`] different ones, each of bounded length. `/status` is open to whoever reaches the port, so
//! ids and keys of documents, which messages may hold, are left out here ([`shown`]); the logs name them with `-v`.

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::shown::shown;

/// Different problems that are kept; the one that happened longest ago goes first.
const PROBLEMS_MAX: usize = 50;
/// Fields that say what a problem is about and hold no ids of documents.
const SUBJECTS: [&str; 4] = ["container", "range", "lease", "reason"];

/// The problems of a process. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Vec<Problem>>>);

/// One problem.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Problem {
    level: &'static str,
    message: String,
    /// What it is about, such as a range.
    subject: String,
    error: String,
    remedy: String,
    count: u64,
    /// When it happened first and last, by the host's clock.
    first: String,
    last: String,
}

impl Recent {
    /// The one that this process's logs feed.
    pub fn of_process() -> Self {
        static PROCESS: LazyLock<Recent> = LazyLock::new(Recent::default);
        PROCESS.clone()
    }

    /// What feeds it from the logs.
    pub fn layer<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        Listening(self.clone())
    }

    /// All of them, the latest first.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.locked().iter().rev().cloned().collect()
    }

    fn happened(&self, problem: Problem) {
        let mut problems = self.locked();
        let same = |known: &Problem| {
            (&known.message, &known.subject, &known.error) == (&problem.message, &problem.subject, &problem.error)
        };
        let (count, first) = match problems.iter().position(same) {
            Some(at) => {
                let known = problems.remove(at);
                (known.count + 1, known.first)
            }
            None => (1, problem.last.clone()),
        };
        if problems.len() >= PROBLEMS_MAX {
            problems.remove(0);
        }
        problems.push(Problem { count, first, ..problem });
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Problem>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Listening(Recent);

impl<S: Subscriber> Layer<S> for Listening {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::WARN || !event.metadata().target().starts_with("cosmirror") {
            return;
        }
        let last = crate::time::now().round(jiff::Unit::Second).unwrap_or_default().to_string();
        let level = if level == Level::ERROR { "error" } else { "warning" };
        let mut problem = Problem { level, last, ..Problem::default() };
        event.record(&mut problem);
        self.0.happened(problem);
    }
}

impl Visit for Problem {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // The long form of a failure has its remedy on a line of its own.
        let text = if field.name() == "error" { format!("{value:#?}") } else { format!("{value:?}") };
        self.record(field.name(), text);
    }
}

impl Problem {
    fn record(&mut self, field: &str, text: String) {
        match field {
            "message" => self.message = shown(&text),
            "error" => {
                let (error, remedy) = text.split_once('\n').unwrap_or((&text, ""));
                self.error = shown(error);
                if !remedy.is_empty() {
                    self.remedy = shown(remedy);
                }
            }
            "remedy" => self.remedy = shown(&text),
            _ if SUBJECTS.contains(&field) => {
                let gap = if self.subject.is_empty() { "" } else { ", " };
                self.subject = shown(&format!("{}{gap}{field} {text}", self.subject));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::shown::CHARS_MAX;
    use super::*;
    use crate::failure::{Failure, Kind};

    fn after(log: impl Fn()) -> Vec<Problem> {
        let recent = Recent::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(recent.layer()), log);
        recent.problems()
    }

    #[test]
    fn a_problem_has_its_remedy_and_is_counted() {
        let failure = Failure::new(Kind::Transient, "the target answered 503").remedy("wait, or look at its status");
        let problems = after(|| {
            for attempt in 0..3 {
                tracing::warn!(range = "[,FF)", error = %failure, attempt, "trying again");
            }
            tracing::error!(reason = "too large", "a change could not be stored");
            tracing::info!("all is well");
            tracing::warn!(target: "hyper", "somebody else's");
        });
        assert_eq!(problems.len(), 2, "{problems:?}");
        let Problem { level, message, subject, error, remedy, count, .. } = &problems[1];
        assert_eq!((*level, message.as_str(), subject.as_str(), *count), ("warning", "trying again", "range [,FF)", 3));
        assert_eq!((error.as_str(), remedy.as_str()), ("the target answered 503", "wait, or look at its status"));
        assert_eq!((problems[0].level, problems[0].subject.as_str()), ("error", "reason too large"));
    }

    #[test]
    fn the_number_and_the_length_of_problems_are_bounded() {
        let problems = after(|| {
            for n in 0..PROBLEMS_MAX + 20 {
                tracing::warn!(error = "x".repeat(10_000), "problem {n}");
            }
        });
        assert_eq!(problems.len(), PROBLEMS_MAX);
        assert_eq!(problems[0].message, format!("problem {}", PROBLEMS_MAX + 19));
        assert!(problems.iter().all(|problem| problem.error.chars().count() == CHARS_MAX + 1));
    }

    #[test]
    fn ids_of_documents_are_left_out() {
        let problems = after(|| {
            tracing::warn!(name = "shop/orders/documents/p/secret.json", "a document changes very often");
            tracing::warn!(error = "PUT mirror/shop/orders/documents/p/secret~40.json: 503 (version 7)", "not taken");
            tracing::warn!(error = %r#"document "a\"secret" is too large"#, "refused");
        });
        let text = serde_json::to_string(&problems).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(problems[1].error, "PUT mirror/shop/orders/documents/…: 503 (version 7)");
        assert_eq!(problems[0].error, "document \"…\" is too large");
    }
}
