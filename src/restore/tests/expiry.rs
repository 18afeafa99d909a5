//! A default time to live that was changed, and a dead letter that came while a restore was asked for.

use super::*;
use crate::history::memory::settings_changed;

/// `d` has no time to live of its own, `own` has one of 60 seconds.
fn after_a_change(before: &serde_json::Value, after: &serde_json::Value) -> Scene {
    let scene = Scene::with_settings(before);
    scene.mirrored("d", Op::Create, 1000, &body("d", 1));
    scene.mirrored("own", Op::Create, 1000, r#"{"id":"own","pk":"p","ttl":60}"#);
    settings_changed(&scene.store, after);
    scene
}

async fn counts(scene: &Scene, at: i64, uncertain: Option<Side>) -> Counts {
    scene.plan(&Request { uncertain, ..all(at) }).await.unwrap().counts
}

#[tokio::test]
async fn a_time_to_live_that_was_switched_on_later_lets_nothing_vanish_from_before() {
    let scene = after_a_change(&json!({}), &json!({"defaultTtl": 90}));
    assert_eq!(counts(&scene, 1059, None).await.create, 2, "nothing had expired by any setting");
    let tally = scene.plan(&all(1500)).await.unwrap();
    assert_eq!(tally.counts, Counts { uncertain: 2, ..Counts::default() });
    assert!(tally.notes[0].contains("which of off, 90 s was in force"), "{:?}", tally.notes);
    assert_eq!(counts(&scene, 1500, Some(Side::Before)).await, Counts { create: 2, ..Counts::default() });
    assert_eq!(counts(&scene, 1500, Some(Side::After)).await, Counts::default());
}

#[tokio::test]
async fn nothing_is_deleted_because_of_a_time_to_live_that_may_not_have_been_in_force() {
    let scene = after_a_change(&json!({}), &json!({"defaultTtl": 90}));
    scene.live_as_mirrored("d", 1700, &body("d", 2));
    let request = Request { delete_extra: true, ..all(1500) };
    assert_eq!(scene.plan(&request).await.unwrap().counts, Counts { uncertain: 2, ..Counts::default() });
}

#[tokio::test]
async fn what_expired_by_every_setting_has_expired() {
    let scene = after_a_change(&json!({"defaultTtl": -1}), &json!({"defaultTtl": 90}));
    assert_eq!(counts(&scene, 1060, None).await, Counts { create: 1, ..Counts::default() });
    assert_eq!(counts(&scene, 1090, None).await, Counts { uncertain: 1, ..Counts::default() });
    let shortened = after_a_change(&json!({"defaultTtl": 90}), &json!({"defaultTtl": 200}));
    assert_eq!(counts(&shortened, 1200, None).await, Counts::default());
}

#[tokio::test]
async fn a_change_that_became_a_dead_letter_while_coverage_was_waited_for_is_restored() {
    let scene = Scene::new();
    scene.mirrored("d", Op::Create, 1000, &body("d", 1));
    let (mirror, request) = (reader(&scene.store).await, all(1200));
    let text = service_text(&body("d", 2), "\"big\"", 1100);
    let letter = json!({"format": 1, "reason": "refused", "range": {"min": "", "max": "FF"}, "lineage": "l", "lsn": 900,
        "page": "\"900\"", "id": "d", "partition_key": ["p"], "ts": 1100, "resolved": false,
        "raw_base64": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)});
    scene.store.add_record(&format!("{}-FF/1.json", paths().dead_letters()), &letter);
    let path = scene.folder.path().join("late.plan");
    let mut plan = PlanWriter::create(&path, false, &head(&request)).unwrap();
    let tally = scene.restore_of(&mirror, &request).plan(&mut plan).await.unwrap();
    plan.finish(tally.counts, tally.damaged, tally.bytes, 0.0).unwrap();
    scene.apply(PlanReader::open(&path).unwrap()).await;
    assert_eq!(scene.documents.text("d").unwrap(), body("d", 2));
}
