//! Restores of random histories: whichever documents are chosen, and whichever state of them, what comes back is what the emulator's
//! history says of that instant, and everything else stays. Killed and taken up again, or with answers lost, it comes to the same; undone,
//! it is as before.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use super::documents::random;
use super::emulator::Change;
use super::oracle::{Name, assert_every_change_once, by_document, live_as_sent};
use super::traffic::{create, delete, replace};
use super::world::{ALL_VERSIONS, Target, World};

const ROUNDS: usize = 10;
const SHORT_ROUNDS: usize = 3;
/// Writes before the first round, and before each other one.
const WRITES: usize = 220;
const MORE_WRITES: usize = 30;
const KEYS: u32 = 4;
const DOCUMENTS: u32 = 40;

/// Documents as they were sent, by their names.
type Documents = BTreeMap<Name, String>;

/// What is asked for, and which documents that is, each with the state that is wanted.
struct Choice {
    arguments: Vec<String>,
    wanted: BTreeMap<Name, Option<String>>,
    /// Of these what changed again behind the interval that was asked for: it may be a repair.
    later: BTreeSet<Name>,
}

async fn write(world: &World, random: &mut StdRng, count: usize, step: &mut u32) {
    let source = world.source("orders");
    let mut existing: BTreeSet<Name> = live_as_sent(&world.history("orders").await).into_keys().collect();
    for _ in 0..count {
        let number = random.random_range(0..DOCUMENTS);
        let (pk, id) = (format!("k{}", number % KEYS), format!("t{}", number / 2));
        let key = json!([pk]).to_string();
        let name = (key.clone(), id.clone());
        let mut text = || {
            *step += 1;
            format!(r#"{{"id":"{id}","pk":"{pk}","step":{step},"text":"☃ \u00e9 1.0"}}"#)
        };
        let exists = existing.contains(&name);
        let remains = match random.random_range(0..12) {
            0..=2 if exists => {
                source.delete(&key, &id).await;
                false
            }
            3 if exists => {
                source.batch(&key, &[delete(&id), create(&text())]).await;
                true
            }
            4 if exists => {
                source.batch(&key, &[replace(&id, &text()), replace(&id, &text()), delete(&id)]).await;
                false
            }
            4 => {
                source.batch(&key, &[create(&text()), replace(&id, &text()), delete(&id)]).await;
                false
            }
            _ => {
                source.put(&key, &text()).await;
                true
            }
        };
        if remains {
            existing.insert(name)
        } else {
            existing.remove(&name)
        };
        if random.random_bool(0.2) {
            world.emulator.advance(random.random_range(1..4)).await;
        }
    }
    world.emulator.advance(3).await;
    world.catch_up().await;
}

/// What the container held at the end of this second.
fn held(history: &[Change], at: i64) -> Documents {
    live_as_sent(&history.iter().filter(|change| change.ts <= at).cloned().collect::<Vec<_>>())
}

fn instant(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap().to_string()
}

fn states(names: impl IntoIterator<Item = Name>, held: &Documents) -> BTreeMap<Name, Option<String>> {
    names.into_iter().map(|name| (name.clone(), held.get(&name).cloned())).collect()
}

fn step_of(text: &str) -> i64 {
    let (_, rest) = text.split_once(r#""step":"#).unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

/// One of the ways to say which documents are wanted, and as of when.
async fn choose(world: &World, random: &mut StdRng, history: &[Change], until: i64) -> Choice {
    let names: Vec<Name> = by_document(history).into_keys().collect();
    let at = random.random_range(history[0].ts..=until);
    let held_then = held(history, at);
    let (key, id) = names.choose(random).unwrap().clone();
    let pk = serde_json::from_str::<Vec<String>>(&key).unwrap().remove(0);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let at_text = instant(at);
    let of_key = |prefix: &str| names.iter().filter(|(k, i)| *k == key && i.starts_with(prefix)).cloned().collect();
    let (arguments, selected): (Vec<String>, Vec<Name>) = match random.random_range(0..9) {
        0 => (words(&["--all", "--at", &at_text]), names.clone()),
        1 => (words(&["--pk", &pk, "--at", &at_text]), of_key("")),
        2 => (words(&["--id", &id, "--pk-json", &key, "--at", &at_text]), vec![(key, id)]),
        3 => {
            let chosen: Vec<Name> = names.sample(random, names.len() / 3).cloned().collect();
            let line = |(key, id): &Name| format!("{{\"id\":{id:?},\"pk\":{key}}}\n");
            let file = world.folder().join("ids");
            std::fs::write(&file, chosen.iter().map(line).collect::<String>()).unwrap();
            (words(&["--ids", file.to_str().unwrap(), "--at", &at_text]), chosen)
        }
        4 => (words(&["--prefix", &format!("{pk}/t1"), "--at", &at_text]), of_key("t1")),
        5 => {
            let (from, to) = (at, (at + random.random_range(0..20)).min(until));
            let touched = |name: &&Name| {
                let changes = &by_document(history)[*name];
                changes.iter().any(|change| (from..=to).contains(&change.ts))
            };
            let selected: Vec<Name> = names.iter().filter(touched).cloned().collect();
            let range = format!("{}..{}", instant(from), instant(to));
            let is_later = |name: &&Name| by_document(history)[*name].last().unwrap().ts > to;
            let later = selected.iter().filter(is_later).cloned().collect();
            let wanted = states(selected, &held(history, from - 1));
            return Choice { arguments: words(&["--changed-between", &range]), wanted, later };
        }
        6 => {
            let limit = random.random_range(0..300);
            let matches = |(_, text): &(&Name, &String)| step_of(text) > limit;
            let selected = held_then.iter().filter(matches).map(|(name, _)| name.clone()).collect();
            (words(&["--where", &format!("c.step > {limit}"), "--at", &at_text]), selected)
        }
        7 => return before_change(random, history, key, id),
        _ => return of_version(world, random, key, id).await,
    };
    Choice { arguments, wanted: states(selected, &held_then), later: BTreeSet::new() }
}

fn before_change(random: &mut StdRng, history: &[Change], key: String, id: String) -> Choice {
    let changes: Vec<&Change> = history.iter().filter(|change| change.key == key && change.id == id).collect();
    let with_etag: Vec<usize> = (0..changes.len()).filter(|at| changes[*at].document.is_some()).collect();
    let at = *with_etag.choose(random).unwrap();
    let earlier: Vec<Change> = changes[..at].iter().copied().cloned().collect();
    let words = ["--id", &id, "--pk-json", &key, "--before-change", &changes[at].etag];
    let arguments = words.map(str::to_owned).to_vec();
    Choice { arguments, wanted: states([(key, id)], &live_as_sent(&earlier)), later: BTreeSet::new() }
}

async fn of_version(world: &World, random: &mut StdRng, key: String, id: String) -> Choice {
    let history = world.json(&["history", "--source", "shop/orders", "--pk-json", &key, "--", &id]).await;
    let version = history["versions"].as_array().unwrap().choose(random).unwrap();
    let name = version["version"].as_str().unwrap();
    let of_name = [(key.clone(), id.clone())];
    let held = match version["etag"].as_str() {
        None => Documents::new(),
        Some(etag) => {
            let history = world.history("orders").await;
            let of_etag: Vec<Change> =
                history.into_iter().filter(|change| change.etag == etag && change.document.is_some()).collect();
            live_as_sent(&of_etag)
        }
    };
    let arguments = ["--id", &id, "--pk-json", &key, "--version", name].map(str::to_owned).to_vec();
    Choice { arguments, wanted: states(of_name, &held), later: BTreeSet::new() }
}

/// What the container should hold behind the restore.
fn expected(before: &Documents, choice: &Choice, delete_extra: bool) -> Documents {
    let mut after = before.clone();
    for (name, wanted) in choice.wanted.iter().filter(|(name, _)| !choice.later.contains(*name)) {
        match wanted {
            Some(text) => drop(after.insert(name.clone(), text.clone())),
            None if delete_extra => drop(after.remove(name)),
            None => {}
        }
    }
    after
}

fn assert_counts(plan: &Value, before: &Documents, choice: &Choice, delete_extra: bool) -> u64 {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, wanted) in &choice.wanted {
        let verdict = match (wanted, before.get(name)) {
            (Some(wanted), Some(live)) if wanted == live => "unchanged",
            (None, None) => continue,
            (None, Some(_)) if !delete_extra => "extra",
            _ if choice.later.contains(name) => "conflict",
            (Some(_), None) => "create",
            (Some(_), Some(_)) => "replace",
            (None, Some(_)) => "delete",
        };
        *counts.entry(verdict).or_default() += 1;
    }
    let count = |name| counts.get(name).copied().unwrap_or_default();
    for name in ["create", "replace", "delete", "unchanged", "conflict", "extra", "uncertain", "unknown"] {
        assert_eq!(plan["plan"][name], count(name), "{name}: {plan}");
    }
    count("create") + count("replace") + count("delete")
}

/// Applies a file: undisturbed, with answers that are lost, or killed in the middle and taken up again.
async fn apply(world: &World, random: &mut StdRng, file: &str, changes: u64) {
    let disturbance = random.random_range(0..3);
    if disturbance == 1 {
        let lost =
            json!({"service": "cosmos", "operation": "item-write", "action": "respond-then-reset", "probability": 0.4});
        world.emulator.control("faults", &json!({ "rules": [lost] })).await;
    }
    if disturbance == 2 && changes >= 6 {
        let slow = json!({"service": "cosmos", "operation": "item-write", "delayMs": 40});
        world.emulator.control("faults", &json!({ "rules": [slow] })).await;
        let applying = world.start(&["restore", "apply", file, "--yes", "--concurrency", "2"]);
        world.more_requests("cosmos", "item-write", random.random_range(1..=changes / 3)).await;
        applying.kill().await;
        world.emulator.control("faults", &json!({ "rules": [] })).await;
    }
    world.succeed(&["restore", "apply", file, "--yes"]).await;
    world.emulator.control("faults", &json!({ "rules": [] })).await;
}

async fn round(world: &World, random: &mut StdRng, number: usize) {
    let history = world.history("orders").await;
    let until = world.complete_until("orders").await.parse::<Timestamp>().unwrap().as_second();
    let mut choice = choose(world, random, &history, until).await;
    let (in_place, delete_extra) = (random.random_bool(0.6), random.random_bool(0.5));
    let (file, copy) = (format!("{number}.plan"), format!("copy{number}"));
    let created = random.random_bool(0.5);
    let into = format!("shop/{copy}");
    let mut plan = vec!["-o", "json", "restore", "plan", "--source", "shop/orders", "-f", &file];
    let arguments = choice.arguments.clone();
    plan.extend(arguments.iter().map(String::as_str));
    plan.extend(delete_extra.then_some("--delete-extra"));
    if !in_place {
        plan.extend(["--into", &into]);
        if created {
            plan.push("--create");
        } else {
            world.source(&copy).make(&["/pk"]).await;
        }
    }
    if random.random_bool(0.3) {
        plan.extend(["--overwrite", "always"]);
        choice.later.clear();
    }
    if !in_place {
        choice.later.clear();
    }
    println!("{plan:?}");
    let planned = world.run(&plan).await;
    // Nothing may be what a condition selects; a name that nobody has is a mistake.
    let by_name = !choice.arguments.iter().any(|word| word == "--where" || word == "--changed-between");
    if choice.wanted.is_empty() && by_name {
        assert_eq!(planned.code, Some(10), "{}", planned.err);
        return;
    }
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    let before = if in_place { live_as_sent(&history) } else { Documents::new() };
    let changes = assert_counts(&serde_json::from_slice(&planned.out).unwrap(), &before, &choice, delete_extra);
    let name = if in_place { "orders" } else { &copy };
    if changes == 0 && !in_place {
        return;
    }
    apply(world, random, &file, changes).await;
    let now = live_as_sent(&world.history(name).await);
    assert_eq!(now, expected(&before, &choice, delete_extra), "{:?}", choice.arguments);
    if changes > 0 && random.random_bool(0.6) {
        apply(world, random, &format!("{file}.undo"), changes).await;
        assert_eq!(live_as_sent(&world.history(name).await), before, "undone: {:?}", choice.arguments);
    }
}

#[tokio::test]
async fn what_was_chosen_comes_back_as_it_was_and_undone_it_is_as_before() {
    restored_and_undone(Target::Blobs, ROUNDS).await;
}

#[tokio::test]
async fn what_was_chosen_comes_back_from_snapshots_and_undone_it_is_as_before() {
    restored_and_undone(Target::Snapshots, SHORT_ROUNDS).await;
}

#[tokio::test]
async fn what_was_chosen_comes_back_from_a_directory_and_undone_it_is_as_before() {
    restored_and_undone(Target::Directory, SHORT_ROUNDS).await;
}

async fn restored_and_undone(target: Target, rounds: usize) {
    let mut random = random();
    let world = World::new(&[("orders", ALL_VERSIONS)], target).await;
    world.source("orders").make(&["/pk"]).await;
    world.catch_up().await;
    world.emulator.advance(10).await;
    let mut step = 0;
    write(&world, &mut random, WRITES, &mut step).await;
    for number in 0..rounds {
        round(&world, &mut random, number).await;
        write(&world, &mut random, MORE_WRITES, &mut step).await;
        let (history, mirror) = (world.history("orders").await, world.mirror().await);
        assert_every_change_once(&history, 0, &mirror, "orders");
    }
    let beyond = instant(world.complete_until("orders").await.parse::<Timestamp>().unwrap().as_second() + 1);
    let refused = world.run(&["restore", "plan", "--all", "--at", &beyond]).await;
    assert_eq!(refused.code, Some(5), "{}", refused.err);
    assert!(refused.err.contains("ask for an instant from"), "{}", refused.err);
}
