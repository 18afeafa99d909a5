//! What the jobs of each container came to.

use cosmirror_formats::job::{State, Work};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Labels, family};

// Not `jobs`: in OpenMetrics that is the family of `jobs_total` already.
const JOBS_RUNNING: &str = "jobs_running";
const JOBS: &str = "jobs";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    database: String,
    container: String,
    kind: &'static str,
    result: &'static str,
}

/// The families. Clones share one state.
#[derive(Debug, Clone)]
pub struct JobMetrics {
    running: Family<Labels, Gauge>,
    ended: Family<ResultLabels, Counter>,
}

impl JobMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            running: family(registry, JOBS_RUNNING, "Jobs that run in this process"),
            ended: family(registry, JOBS, "Jobs that ended in this process, by kind and result"),
        }
    }

    /// Makes sure that every child of a container exists.
    pub(super) fn show(&self, labels: &Labels) {
        drop(self.running.get_or_create(labels));
        for kind in Work::KINDS {
            for result in State::ENDS {
                drop(self.ended.get_or_create(&result_labels(&labels.database, &labels.container, kind, result)));
            }
        }
    }

    /// Whether a job of the container runs here.
    pub fn running(&self, database: &str, container: &str, runs: bool) {
        let labels = Labels { database: database.to_owned(), container: container.to_owned() };
        self.running.get_or_create(&labels).set(runs.into());
    }

    /// A job has ended here.
    pub fn ended(&self, database: &str, container: &str, kind: &'static str, result: State) {
        self.ended.get_or_create(&result_labels(database, container, kind, result)).inc();
    }
}

fn result_labels(database: &str, container: &str, kind: &'static str, result: State) -> ResultLabels {
    ResultLabels { database: database.to_owned(), container: container.to_owned(), kind, result: result.as_str() }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;
    use crate::admin::Progress;

    #[test]
    fn every_kind_and_result_is_there_from_the_start() {
        let (metrics, progress) = (Metrics::new([("d", "c")]), Progress::new([("d", "c")]));
        metrics.jobs().running("d", "c", true);
        metrics.jobs().ended("d", "c", Work::Backfill.kind(), State::Failed);
        let text = metrics.render(&progress).unwrap();
        for line in [
            r#"cosmirror_jobs_running{database="d",container="c"} 1"#,
            r#"cosmirror_jobs_total{database="d",container="c",kind="backfill",result="failed"} 1"#,
            r#"cosmirror_jobs_total{database="d",container="c",kind="verify",result="cancelled"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let families: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE cosmirror_jobs")).collect();
        assert_eq!(families.len(), 2, "{families:?}");
    }
}
