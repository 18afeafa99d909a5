//! What each container did in the last minute, as one line of the log, for those who have nothing but the log.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Admin, ContainerMetrics};

/// How often.
pub const INTERVAL: Duration = Duration::from_mins(1);

/// Counters of one container, as they stood.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Figures {
    changes_read: u64,
    versions_written: u64,
    bytes_read: u64,
    bytes_written: u64,
    request_units: f64,
    write_failures: u64,
}

/// Counters of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Requests {
    source: u64,
    target: u64,
    throttles_source: u64,
    throttles_target: u64,
}

/// Tells of every minute, until the process is to end.
pub async fn tell(admin: Admin, drain: CancellationToken) {
    let telling = async {
        let mut before = BTreeMap::new();
        let mut requests = Requests::of(&admin);
        loop {
            tokio::time::sleep(INTERVAL).await;
            tell_of_containers(&admin, &mut before);
            requests.tell(Requests::of(&admin));
        }
    };
    tokio::select! {
        biased;
        () = drain.cancelled() => {}
        () = telling => {}
    }
}

fn tell_of_containers(admin: &Admin, before: &mut BTreeMap<String, Figures>) {
    for ((database, container), progress) in admin.progress.containers() {
        let name = format!("{database}/{container}");
        let now = Figures::of(&admin.metrics.container(&database, &container));
        let Figures { changes_read, versions_written, bytes_read, bytes_written, request_units, write_failures } =
            now.since(before.insert(name.clone(), now).unwrap_or_default());
        let lag_seconds = tenth(progress.lag_seconds());
        let request_units = tenth(request_units);
        let ranges = progress.ranges().len();
        tracing::info!(
            container = name,
            ranges,
            lag_seconds,
            changes_read,
            versions_written,
            bytes_read,
            bytes_written,
            request_units,
            write_failures,
            "the last minute"
        );
    }
}

/// To one decimal: more would only look exact.
fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

impl Figures {
    fn of(metrics: &ContainerMetrics) -> Self {
        Self {
            changes_read: metrics.changes_read.get(),
            versions_written: metrics.versions_written.get(),
            bytes_read: metrics.stored.bytes_read.get(),
            bytes_written: metrics.stored.bytes_written.get(),
            request_units: metrics.request_units.get(),
            write_failures: metrics.write_failures(),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            changes_read: self.changes_read - before.changes_read,
            versions_written: self.versions_written - before.versions_written,
            bytes_read: self.bytes_read - before.bytes_read,
            bytes_written: self.bytes_written - before.bytes_written,
            request_units: self.request_units - before.request_units,
            write_failures: self.write_failures - before.write_failures,
        }
    }
}

impl Requests {
    fn of(admin: &Admin) -> Self {
        let flow = admin.metrics.flow();
        Self {
            source: admin.metrics.requests_to_source().total(),
            target: admin.metrics.requests_to_target().total(),
            throttles_source: flow.throttles_source.get(),
            throttles_target: flow.throttles_target.get(),
        }
    }

    fn tell(&mut self, now: Self) {
        let before = std::mem::replace(self, now);
        let (source, target) = (now.source - before.source, now.target - before.target);
        let throttles_source = now.throttles_source - before.throttles_source;
        let throttles_target = now.throttles_target - before.throttles_target;
        tracing::info!(source, target, throttles_source, throttles_target, "requests of the last minute");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Metrics;
    use crate::failure::Kind;

    #[test]
    fn a_minute_is_what_came_in_addition() {
        let metrics = Metrics::new([("d", "c")]).container("d", "c");
        metrics.changes_read.inc_by(5);
        let before = Figures::of(&metrics);
        metrics.changes_read.inc_by(7);
        metrics.stored.bytes_read.inc_by(70);
        metrics.request_units.inc_by(1.5);
        metrics.write_failed(Kind::Transient);
        metrics.write_failed(Kind::Refused);
        let minute =
            Figures { changes_read: 7, bytes_read: 70, request_units: 1.5, write_failures: 2, ..Figures::default() };
        assert_eq!(Figures::of(&metrics).since(before), minute);
        assert_eq!(tenth(12.345), 12.3);
    }
}
