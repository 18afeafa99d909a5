//! Who should follow how much: a pure decision from what every lease says.
//!
//! Free leases are taken first, up to an equal share. A replica that then has at least two leases fewer than another asks that
//! one to hand some over; it never takes a lease whose owner lives, so two replicas never follow one range at the same
//! time. A difference of one stays as it is, so a balanced fleet is at rest. Shares are counted over all containers: many
//! small containers are shared as evenly as one large one.
//!
//! A replica that owns nothing shows itself by asking; one that neither owns nor asks is not counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Leases asked for in one round. Each hand-over interrupts following for a moment.
const ASKS_MAX: usize = 16;

/// One lease as balancing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The lease's id.
    pub id: String,
    /// Its owner; none where it is free or has expired.
    pub owner: Option<String>,
    /// Another lease of its owner has run out, so its owner is taken to be gone and this one runs out next.
    pub owner_gone: bool,
    /// Who asked for it, while that is fresh.
    pub wanted_by: Option<String>,
    /// It stayed free although those whose share it is could have taken it.
    pub left_over: bool,
}

/// What a replica should do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// Free leases to take.
    pub take: Vec<String>,
    /// Leases to ask their owners for.
    pub ask: Vec<String>,
}

/// Decides for the replica `me` about the leases of one container, `here`; `elsewhere` are those of the others.
pub fn balance(me: &str, here: &[Seat], elsewhere: &[Seat]) -> Moves {
    let mut shares = Shares::count(me, here.iter().chain(elsewhere));
    let mut moves = Moves::default();
    let share = (here.len() + elsewhere.len()).div_ceil(shares.0.len());
    for seat in here.iter().filter(|seat| seat.owner.is_none()) {
        let take = match seat.wanted_by.as_deref() {
            // What was asked for counts as had already.
            Some(name) => name == me || seat.left_over,
            None => seat.left_over || shares.of(me) < share,
        };
        if take {
            moves.take.push(seat.id.clone());
            shares.add(me, i64::from(seat.wanted_by.as_deref() != Some(me)));
        }
    }
    if !here.iter().chain(elsewhere).any(|seat| seat.owner.is_none() && !seat.left_over) {
        moves.ask = ask(me, here, &mut shares);
    }
    moves
}

fn ask<'a>(me: &'a str, here: &'a [Seat], shares: &mut Shares<'a>) -> Vec<String> {
    let mut open: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for seat in here.iter().filter(|seat| seat.wanted_by.is_none()) {
        if let Some(owner) = seat.owner.as_deref().filter(|owner| *owner != me && !seat.owner_gone) {
            open.entry(owner).or_default().push(&seat.id);
        }
    }
    let mut asked = Vec::new();
    while asked.len() < ASKS_MAX {
        let richest = open.iter().filter(|(_, seats)| !seats.is_empty()).map(|(owner, _)| *owner);
        let Some(richest) = richest.max_by_key(|owner| shares.of(owner)) else { break };
        if shares.of(richest) < shares.of(me) + 2 {
            break;
        }
        let seats = open.entry(richest).or_default();
        // Those who ask at the same time should not all ask for the same one.
        let Some(at) = (0..seats.len()).min_by_key(|at| spread(me, seats[*at])) else { break };
        asked.push(seats.swap_remove(at).to_owned());
        shares.add(richest, -1);
        shares.add(me, 1);
    }
    asked
}

/// FNV-1a of both names: the same for the same pair, and different orders for different replicas.
fn spread(me: &str, id: &str) -> u64 {
    let bytes = me.bytes().chain(id.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// How many leases each replica has, with those that are about to change hands already counted for who asked.
struct Shares<'a>(BTreeMap<&'a str, i64>);

impl<'a> Shares<'a> {
    fn count(me: &'a str, seats: impl Iterator<Item = &'a Seat>) -> Self {
        let mut shares = Self(BTreeMap::from([(me, 0)]));
        for seat in seats {
            let owner = seat.owner.as_deref().filter(|_| !seat.owner_gone);
            if let Some(name) = seat.wanted_by.as_deref().or(owner) {
                shares.add(name, 1);
            }
            // Who is asked for its last lease still counts.
            if let Some(owner) = owner {
                shares.add(owner, 0);
            }
        }
        shares
    }

    fn of(&self, name: &str) -> usize {
        self.0.get(name).copied().and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
    }

    fn add(&mut self, name: &'a str, count: i64) {
        *self.0.entry(name).or_default() += count;
    }
}

/// What the containers of this process last saw of their leases.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<BTreeMap<String, Vec<Seat>>>);

impl Fleet {
    /// Keeps what one container's leases say, and gives what those of the others said last.
    pub fn exchange(&self, container: &str, seats: &[Seat]) -> Vec<Seat> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(container.to_owned(), seats.to_vec());
        all.iter().filter(|(name, _)| *name != container).flat_map(|(_, seats)| seats.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seat(id: usize, owner: Option<&str>) -> Seat {
        let owner = owner.map(str::to_owned);
        Seat { id: format!("l{id}"), owner, owner_gone: false, wanted_by: None, left_over: false }
    }

    /// One round of one replica, with every move succeeding; asked leases are handed over by `hand_over`.
    fn play(me: &str, seats: &mut [Seat], containers: usize) -> usize {
        let mut count = 0;
        for container in 0..containers {
            let of = |at: usize| at % containers == container;
            let pick = |wanted: bool| -> Vec<Seat> {
                seats.iter().enumerate().filter(|(at, _)| of(*at) == wanted).map(|(_, seat)| seat.clone()).collect()
            };
            let moves = balance(me, &pick(true), &pick(false));
            count += moves.take.len() + moves.ask.len();
            for seat in seats.iter_mut() {
                if moves.take.contains(&seat.id) {
                    seat.owner = Some(me.to_owned());
                    seat.wanted_by = None;
                } else if moves.ask.contains(&seat.id) {
                    seat.wanted_by = Some(me.to_owned());
                }
            }
        }
        count
    }

    fn hand_over(seats: &mut [Seat]) {
        for seat in seats {
            if let Some(asker) = seat.wanted_by.take() {
                seat.owner = Some(asker);
            }
        }
    }

    fn counts(seats: &[Seat], replicas: &[String]) -> Vec<usize> {
        let of = |name: &String| seats.iter().filter(|seat| seat.owner.as_ref() == Some(name)).count();
        replicas.iter().map(of).collect()
    }

    #[test]
    fn the_first_replica_takes_everything_and_the_second_asks_for_half() {
        let free: Vec<Seat> = (0..5).map(|id| seat(id, None)).collect();
        assert_eq!(balance("a", &free, &[]).take.len(), 5);
        let owned: Vec<Seat> = (0..5).map(|id| seat(id, Some("a"))).collect();
        let moves = balance("b", &owned, &[]);
        assert_eq!((moves.take.len(), moves.ask.len()), (0, 2));
    }

    #[test]
    fn a_difference_of_one_stays() {
        let seats = [seat(0, Some("a")), seat(1, Some("a")), seat(2, Some("b"))];
        assert_eq!(balance("b", &seats, &[]), Moves::default());
        assert_eq!(balance("c", &seats[..1], &[]), Moves::default());
    }

    #[test]
    fn free_leases_are_taken_before_any_is_asked_for() {
        let seats = [seat(0, Some("a")), seat(1, Some("a")), seat(2, Some("a")), seat(3, None)];
        assert_eq!(balance("b", &seats, &[]), Moves { take: vec!["l3".to_owned()], ask: Vec::new() });
    }

    #[test]
    fn the_share_of_an_owner_of_which_one_lease_has_run_out_is_taken_at_once() {
        let gone = |id| Seat { owner_gone: true, ..seat(id, Some("b")) };
        let seats = [seat(0, Some("a")), seat(1, None), seat(2, None), gone(3)];
        assert_eq!(balance("a", &seats, &[]).take.len(), 2);
        assert_eq!(balance("a", &[seat(0, Some("a")), gone(1), gone(2), gone(3)], &[]), Moves::default());
    }

    #[test]
    fn a_free_lease_is_left_to_who_asked_for_it_unless_it_stays_free() {
        let mut released = Seat { wanted_by: Some("b".to_owned()), ..seat(0, None) };
        assert_eq!(balance("c", std::slice::from_ref(&released), &[]).take.len(), 0);
        assert_eq!(balance("b", std::slice::from_ref(&released), &[]).take.len(), 1);
        released.left_over = true;
        assert_eq!(balance("c", std::slice::from_ref(&released), &[]).take.len(), 1);
    }

    #[test]
    fn many_small_containers_are_shared_as_evenly_as_a_large_one() {
        let elsewhere: Vec<Seat> = (1..6).map(|id| seat(id, Some("a"))).collect();
        assert_eq!(balance("b", &[seat(0, Some("a"))], &elsewhere).ask, ["l0"]);
    }

    proptest! {
        #[test]
        fn any_fleet_comes_to_rest_at_equal_shares_within_few_rounds(
            leases in 1usize..40,
            containers in 1usize..4,
            owners in prop::collection::vec(prop::option::of(0usize..7), 40),
            replicas in 1usize..6,
        ) {
            // Owners 5 and 6 are replicas that have gone: their leases have run out.
            let names: Vec<String> = (0..replicas).map(|n| format!("r{n}")).collect();
            let mut seats: Vec<Seat> =
                (0..leases).map(|id| seat(id, owners[id].and_then(|n| names.get(n)).map(String::as_str))).collect();
            let mut rounds = 0;
            loop {
                let moved: usize = names.iter().map(|me| play(me, &mut seats, containers)).sum();
                hand_over(&mut seats);
                if moved == 0 {
                    break;
                }
                rounds += 1;
                prop_assert!(rounds <= 8, "{seats:?}");
            }
            let counts = counts(&seats, &names);
            prop_assert_eq!(counts.iter().sum::<usize>(), leases);
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);
        }
    }
}
