use cosmirror_formats::EpkRange;
use cosmirror_formats::records::Window;

use super::*;
use crate::config::{FeedMode, Start};
use crate::failure::Kind;
use crate::mirror::checkpoint::RangeProgress;
use crate::observer::{Observation, RangeObservation};
use crate::status::Recorded;

fn container() -> Container {
    Container {
        database: "shop".to_owned(),
        container: "orders".to_owned(),
        feed: FeedMode::AllVersionsAndDeletes,
        start: Start::Beginning,
        versions_per_minute_max: 0,
    }
}

fn range(min: &str, max: &str, watermark: Option<i64>) -> RangeObservation {
    RangeObservation {
        range: EpkRange::new(min, max),
        lease: format!("cosmirroracct_AA==_AAA=..{min}"),
        owner: None,
        expired: false,
        giving_way: false,
        progress: RangeProgress { watermark, ..RangeProgress::new("l".to_owned(), 10, Start::Beginning) },
        lag_seconds: 100 - watermark.unwrap_or(10),
        pending: Some(0),
        failures: None,
        progressed: None,
        feed_failure: None,
    }
}

fn stalled() -> View {
    let well = RangeObservation {
        owner: Some("pod-7f".to_owned()),
        failures: Some(0),
        progressed: Some(98),
        ..range("05C1", "20", Some(97))
    };
    let stalled = RangeObservation {
        owner: Some("pod-1".to_owned()),
        expired: true,
        pending: None,
        feed_failure: Some(Kind::Transient),
        ..range("20", "FF", Some(20))
    };
    let ranges = vec![RangeObservation { pending: Some(12), ..range("", "05C1", None) }, well, stalled];
    let seen = Observation { service_time: 100, ranges, holes: Vec::new(), request_units: 6.0 };
    let window = Window { from: Some(5), until: Some(20), deletes_until: Some(20) };
    let recorded =
        Recorded { window, gaps: Some(1), dead_letters: Some(2), recreated: Some(Vec::new()), rehearsal: None };
    View { containers: vec![ContainerView::new(&container(), Some(&seen), &recorded, None)] }
}

fn without_leases() -> View {
    let note = Some("no leases yet".to_owned());
    View {
        containers: vec![ContainerView::new(
            &container(),
            None,
            &Recorded { gaps: Some(0), dead_letters: Some(0), ..Recorded::default() },
            note,
        )],
    }
}

#[test]
fn golden_json_of_a_status() {
    let golden = concat!(
        r#"{"containers":[{"database":"shop","container":"orders","feed":"all-versions-and-deletes","#,
        r#""restorable_from":"1970-01-01T00:00:05Z","restorable_until":"1970-01-01T00:00:20Z","deletes_known_until":"1970-01-01T00:00:20Z","lag_seconds":90,"#,
        r#""pending_changes":null,"gaps":1,"dead_letters":2,"recreated":[],"rehearsal":null,"ranges":["#,
        r#"{"min":"","max":"05C1","lease":"cosmirroracct_AA==_AAA=..","owner":null,"watermark":null,"lag_seconds":90,"#,
        r#""pending_changes":12,"failures":null,"last_progress":null,"state":"free","feed_failure":null},"#,
        r#"{"min":"05C1","max":"20","lease":"cosmirroracct_AA==_AAA=..05C1","owner":"pod-7f","#,
        r#""watermark":"1970-01-01T00:01:37Z","lag_seconds":3,"pending_changes":0,"failures":0,"#,
        r#""last_progress":"1970-01-01T00:01:38Z","state":"owned","feed_failure":null},"#,
        r#"{"min":"20","max":"FF","lease":"cosmirroracct_AA==_AAA=..20","owner":"pod-1","#,
        r#""watermark":"1970-01-01T00:00:20Z","lag_seconds":80,"pending_changes":null,"failures":1,"#,
        r#""last_progress":null,"state":"expired","feed_failure":"transient"}],"holes":[],"note":null}]}"#,
    );
    assert_eq!(serde_json::to_string(&stalled()).unwrap(), golden);
}

#[test]
fn golden_json_of_a_status_without_leases() {
    let golden = concat!(
        r#"{"containers":[{"database":"shop","container":"orders","feed":"all-versions-and-deletes","#,
        r#""restorable_from":null,"restorable_until":null,"deletes_known_until":null,"lag_seconds":null,"pending_changes":null,"gaps":0,"#,
        r#""dead_letters":0,"recreated":null,"rehearsal":null,"ranges":[],"holes":[{"min":"","max":"FF"}],"note":"no leases yet"}]}"#,
    );
    assert_eq!(serde_json::to_string(&without_leases()).unwrap(), golden);
}

#[test]
fn golden_table_of_a_status() {
    let golden = "\
shop/orders (all-versions-and-deletes)
  restorable       from 1970-01-01T00:00:05Z to 1970-01-01T00:00:20Z
  deletes known    up to 1970-01-01T00:00:20Z
  lag              90 s
  pending changes  ?
  gaps             1
  dead letters     2
  RANGE      LEASE  STATE    OWNER   WATERMARK             LAG   PENDING        FAILURES  LAST PROGRESS
  [,05C1)           free     -       ?                     90 s  12             ?         ?
  [05C1,20)  05C1   owned    pod-7f  1970-01-01T00:01:37Z  3 s   0              0         1970-01-01T00:01:38Z
  [20,FF)    20     expired  pod-1   1970-01-01T00:00:20Z  80 s  ? (transient)  1         ?";
    assert_eq!(text::lines(&stalled()).join("\n"), golden);
    let none = text::lines(&without_leases()).join("\n");
    assert!(none.contains("\n  restorable       not yet\n") && none.ends_with("\n  no leases yet"), "{none}");
}

#[test]
fn a_lag_above_the_limit_or_not_known_is_refused_and_names_the_range() {
    let refused = |view: &View, seconds| within(view, Some(Duration::from_secs(seconds))).unwrap_err();
    assert!(within(&stalled(), None).is_ok() && within(&stalled(), Some(Duration::from_secs(90))).is_ok());
    let over = refused(&stalled(), 89);
    assert_eq!((over.exit, &*over.message), (Exit::Drift, "shop/orders: range [,05C1) is 90 s behind, more than 89s"));
    let unknown = refused(&without_leases(), 1_000);
    assert!(unknown.message.starts_with("shop/orders: the lag of range [,FF) is not known"), "{}", unknown.message);
}

#[test]
fn a_range_without_a_lease_leaves_the_whole_unknown_and_is_named() {
    let seen = Observation {
        service_time: 100,
        ranges: vec![range("", "20", Some(90))],
        holes: vec![EpkRange::new("20", "FF")],
        request_units: 2.0,
    };
    let window = Window { from: Some(5), until: Some(20), deletes_until: None };
    let recorded = Recorded { window, ..Recorded::default() };
    let view = ContainerView::new(&container(), Some(&seen), &recorded, None);
    assert_eq!((&view.restorable_from, view.lag_seconds, view.pending_changes), (&None, None, None));
    assert_eq!(view.restorable_until.as_deref(), Some("1970-01-01T00:00:20Z"));
    let lines = text::lines(&View { containers: vec![view] }).join("\n");
    assert!(lines.contains("\n  no lease covers  [20,FF)\n"), "{lines}");
}
