//! `/status`: what the process knows of every container, in the contract's form, without asking any service.
//!
//! The container's observer tells of every range, whoever follows it; another process tells of the ranges that it follows itself, and says
//! so (`observed`). Lag is the whole container's in both: the observer measures it, another process takes it from the leases. What is not
//! known is null.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing::get};
use cosmirror_formats::EpkRange;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::observed::Snapshot;
use super::recent::Problem;
use super::samples::{INTERVAL, Throughput};
use super::{Admin, RangeProgress};
use crate::config::{FeedMode, parse_duration};
use crate::history::instant;
use crate::observer::{Observation, RangeObservation};
use crate::reconcile::Counts;
use crate::status::{ContainerView, RangeView};

#[derive(Debug, Serialize)]
struct Status {
    instance: String,
    version: &'static str,
    /// When the process started, by the host's clock.
    started: String,
    ready: bool,
    reasons: Vec<String>,
    containers: Vec<Container>,
    /// Targets beside the first.
    targets: Vec<Target>,
    problems: Vec<Problem>,
    browsing: Browsing,
}

/// A target beside the first.
#[derive(Debug, Serialize)]
struct Target {
    name: String,
    /// Whether the checkpoint waits for it: then it is as far as the first one, and there is nothing of its own to tell.
    required: bool,
    ready: bool,
    reasons: Vec<String>,
    containers: Vec<Container>,
}

#[derive(Debug, Serialize)]
struct Browsing {
    on: bool,
    needs_token: bool,
}

#[derive(Debug, Serialize)]
struct Container {
    #[serde(flatten)]
    view: ContainerView,
    /// Whether this process observes the container, so that `ranges` holds every one of them.
    observed: bool,
    /// The most failures in a row of any range; none while no range says.
    failures: Option<u64>,
    /// The last comparisons that this process made; none before the first.
    verified: Option<Verified>,
    leases_owned: i64,
    throughput: Throughput,
    changes_read: u64,
    versions_written: u64,
    /// Where following began, as it is configured.
    start: String,
    /// Whether what was there before has been stored, as all leases say.
    backfilled: bool,
}

/// What comparisons with the source found.
#[derive(Debug, Serialize)]
struct Verified {
    /// Since the oldest of them.
    age_seconds: i64,
    #[serde(flatten)]
    counts: Counts,
}

pub(super) fn routes() -> Router<Admin> {
    Router::new().route("/status", get(status)).route("/samples", get(samples))
}

async fn status(State(admin): State<Admin>) -> Json<Status> {
    let reasons = admin.progress.reasons();
    let names = admin.progress.containers();
    Json(Status {
        instance: admin.about.instance.clone(),
        version: env!("CARGO_PKG_VERSION"),
        started: instant(admin.about.started.as_second()),
        ready: reasons.is_empty(),
        reasons,
        containers: names.iter().map(|(name, _)| container(&admin, name)).collect(),
        targets: targets(&admin),
        problems: admin.recent.problems(),
        browsing: Browsing { on: admin.access.browsing_is_on(), needs_token: admin.access.browsing_needs_token() },
    })
}

fn targets(admin: &Admin) -> Vec<Target> {
    let required = admin.about.config.required_targets().map(|further| Target {
        name: further.name.clone(),
        required: true,
        ready: true,
        reasons: Vec::new(),
        containers: Vec::new(),
    });
    let optional = admin.further.all().into_iter().map(|(name, beside)| {
        let reasons = beside.progress.reasons();
        let names = beside.progress.containers();
        let containers = names.iter().map(|(name, _)| container(&beside, name)).collect();
        Target { name, required: false, ready: reasons.is_empty(), reasons, containers }
    });
    required.chain(optional).collect()
}

#[derive(Debug, Deserialize)]
struct Within {
    within: Option<String>,
}

/// The last hour, or as much of it as is asked for.
async fn samples(State(admin): State<Admin>, Query(Within { within }): Query<Within>) -> Response {
    match parse_duration(within.as_deref().unwrap_or("1h")) {
        Ok(within) => {
            let series = admin.samples.series(within);
            Json(json!({ "instance": admin.about.instance, "interval_seconds": INTERVAL.as_secs(), "containers": series })).into_response()
        }
        Err(message) => (StatusCode::BAD_REQUEST, format!("within: {message}\n")).into_response(),
    }
}

fn container(admin: &Admin, name: &(String, String)) -> Container {
    let (database, container) = name;
    let metrics = admin.metrics.container(database, container);
    let progress = admin.progress.container(database, container);
    let snapshot = admin.progress.observed(database, container).snapshot();
    let own = progress.ranges();
    let followed: Vec<EpkRange> = own.iter().map(|own| own.range.clone()).collect();
    let seen = snapshot.observation();
    let ranges: Vec<RangeView> = match seen {
        Some(seen) => observed_ranges(seen, &snapshot, &own),
        None => own.iter().map(|range| own_range(range, &admin.about.instance)).collect(),
    };
    let holes = seen.map(|seen| seen.holes.clone()).unwrap_or_default();
    let (from, until) = progress.window();
    let is_whole = holes.is_empty();
    let note = seen.is_none().then_some(
        "this process does not observe the container: lag is what leases say, ranges are those that it follows itself",
    );
    let mut configured = admin.about.config.containers.iter();
    let configured = configured.find(|c| (&c.database, &c.container) == (database, container));
    let recorded = |count: i64| progress.is_counted().then(|| usize::try_from(count).unwrap_or_default());
    Container {
        observed: seen.is_some(),
        failures: ranges.iter().filter_map(|range| range.failures).max(),
        verified: admin
            .metrics
            .verified(database, container, &followed)
            .map(|(counts, age)| Verified { age_seconds: whole(age), counts }),
        leases_owned: metrics.leases_owned.get(),
        throughput: admin.samples.throughput(admin, name),
        changes_read: metrics.changes_read.get(),
        versions_written: metrics.versions_written.get(),
        start: configured.map(|c| c.start.clone()).unwrap_or_default().into(),
        backfilled: progress.whole().is_backfilled,
        view: ContainerView {
            database: database.clone(),
            container: container.clone(),
            feed: configured.map_or(FeedMode::AllVersionsAndDeletes, |c| c.feed).as_str(),
            restorable_from: from.filter(|_| is_whole).map(instant),
            restorable_until: until.map(instant),
            deletes_known_until: progress.deletes_known_until().map(instant),
            lag_seconds: admin.lag_seconds(database, container).filter(|_| is_whole).map(whole),
            pending_changes: seen.and_then(Observation::pending),
            gaps: recorded(metrics.gaps.get()),
            dead_letters: recorded(metrics.dead_letters.get()),
            recreated: None,
            rehearsal: admin.metrics.last_rehearsal(database, container).map(Into::into),
            ranges,
            holes,
            note: note.map(str::to_owned),
        },
    }
}

fn observed_ranges(seen: &Observation, snapshot: &Snapshot, own: &[RangeProgress]) -> Vec<RangeView> {
    let marks: BTreeMap<EpkRange, i64> =
        own.iter().filter_map(|own| Some((own.range.clone(), own.watermark?))).collect();
    let view = |range: &RangeObservation| {
        let watermark = range.progress.watermark.max(marks.get(&range.range).copied());
        RangeView {
            watermark: watermark.map(instant),
            lag_seconds: Some(whole(snapshot.lag_seconds(seen, range, &marks))),
            ..RangeView::new(range)
        }
    };
    seen.ranges.iter().map(view).collect()
}

fn own_range(range: &RangeProgress, instance: &str) -> RangeView {
    RangeView {
        min: range.range.min.clone(),
        max: range.range.max.clone(),
        lease: None,
        owner: Some(instance.to_owned()),
        watermark: range.watermark.map(instant),
        lag_seconds: Some(whole(range.lag_seconds)),
        pending_changes: None,
        failures: None,
        last_progress: None,
        state: "owned",
        feed_failure: None,
    }
}

/// Whole seconds, as the contract has them.
fn whole(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a lag of seconds; beyond the type it saturates")]
    let seconds = seconds as i64;
    seconds
}
