//! Whether the mirror's answers are true: for instants that it says it can answer for, the state of each document by its stored
//! versions is that of the log at the end of that second.
//!
//! The mirror says it twice, by its leases and by its own records of the ranges: from the last `backfilled` to the first watermark,
//! without the recorded gaps. What a version says of itself is taken at its word here: `after` makes the time before it uncertain.
//!
//! The feed of newest versions cannot tell of what came and went between two looks, and of that alone: a document that was deleted
//! and created again is taken to have stood all along, and one that was created and deleted never to have been.

use cosmirror_formats::lease::uncovered;
use cosmirror_formats::records::{Gap, RangeState};
use cosmirror_formats::{EpkRange, Lease, Op as StoredOp};
use serde::de::DeserializeOwned;

use super::leases::number;
use super::{BACKFILLED, RECONCILED, WATERMARK};
use crate::run::simulation::world::{Doc, Kept, World};

/// Instants that are asked for at a time.
const INSTANTS: usize = 12;

/// What is said of one range.
struct Claim {
    range: EpkRange,
    backfilled: Option<i64>,
    watermark: Option<i64>,
    reconciled: Option<i64>,
}

/// The instants that can be asked for, both ends inclusive, and up to where deletes are known.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: i64,
    until: i64,
    deletes_until: i64,
}

impl Window {
    fn of(claims: &[Claim], newest_only: bool) -> Option<Self> {
        let ranges: Vec<EpkRange> = claims.iter().map(|claim| claim.range.clone()).collect();
        if !uncovered(&ranges).is_empty() {
            return None;
        }
        let ends = |end: fn(&Claim) -> Option<i64>| claims.iter().map(end).collect::<Option<Vec<i64>>>();
        let from = ends(|claim| claim.backfilled)?.into_iter().max()?;
        let until = ends(|claim| claim.watermark)?.into_iter().min()?;
        let reconciled = || ends(|claim| claim.reconciled)?.into_iter().min();
        let deletes_until = if newest_only { reconciled().unwrap_or(i64::MIN) } else { i64::MAX };
        (from <= until).then_some(Self { from, until, deletes_until })
    }
}

/// What a document was at an instant, by its stored versions.
enum Answer<'a> {
    Present(usize),
    Absent,
    /// Nobody knows between two versions.
    Uncertain,
    /// The mirror lacks what would answer it.
    Unknown(&'a Kept),
}

/// Says where an instant that the mirror says it can answer for has a wrong answer.
pub(in crate::run::simulation) fn untrue(world: &mut World) -> Option<String> {
    let newest_only = world.shows_newest_only();
    let leases = world.leases.values().filter_map(|document| document.lease.as_ref()).map(by_lease).collect();
    let states = records::<RangeState>(world, "/_mirror/ranges/").into_iter();
    let states = states.filter(|state| state.superseded_by.is_empty()).map(by_record).collect();
    let gaps = records::<Gap>(world, "/_mirror/gaps/");
    let claims: [(&str, Vec<Claim>); 2] = [("leases", leases), ("records", states)];
    for (source, claims) in claims {
        let Some(window) = Window::of(&claims, newest_only) else { continue };
        for _ in 0..INSTANTS {
            let at = world.random.i64(window.from..=window.until);
            if gaps.iter().any(|gap| gap.from <= at && gap.until.is_none_or(|until| at < until)) {
                continue;
            }
            if let Some(why) = world.documents.iter().find_map(|doc| wrong(world, doc, at, window)) {
                return Some(format!("by the {source} {at} can be asked for, but {why} ({window:?})"));
            }
        }
    }
    None
}

fn by_lease(lease: &Lease) -> Claim {
    Claim {
        range: lease.range.clone().unwrap(),
        backfilled: number(lease, BACKFILLED),
        watermark: number(lease, WATERMARK),
        reconciled: number(lease, RECONCILED),
    }
}

fn by_record(state: RangeState) -> Claim {
    let RangeState { range, backfilled, watermark, reconciled, .. } = state;
    Claim { range, backfilled, watermark, reconciled }
}

/// The mirror's records under a folder.
pub(super) fn records<T: DeserializeOwned>(world: &World, folder: &str) -> Vec<T> {
    let is_of_first = |name: &str| !name.strip_prefix(super::SOUTH).is_some_and(|rest| rest.starts_with('/'));
    let named = world.blobs.iter().filter(|(name, _)| name.contains(folder) && is_of_first(name));
    named.map(|(_, versions)| serde_json::from_slice(&versions.last().unwrap().1).unwrap()).collect()
}

/// The answer for an instant, the version that gives it and the one behind it.
fn answer(doc: &Doc, at: i64) -> (Answer<'_>, Option<&Kept>) {
    let last = doc.stored.iter().rposition(|kept| kept.version.ts <= at);
    let next = doc.stored.get(last.map_or(0, |last| last + 1));
    let uncertain = next.is_some_and(|next| next.version.after.is_some_and(|after| after < at));
    let answer = match (last.map(|last| &doc.stored[last]), next) {
        _ if uncertain => Answer::Uncertain,
        (Some(Kept { version, place: Some(place) }), _) if !version.is_tombstone() => Answer::Present(*place),
        (None, Some(first)) if first.version.op != StoredOp::Create && first.version.after.is_none() => {
            Answer::Unknown(first)
        }
        _ => Answer::Absent,
    };
    (answer, next)
}

/// Why the answer for an instant is wrong.
fn wrong(world: &World, doc: &Doc, at: i64, window: Window) -> Option<String> {
    let id = &doc.id;
    let last = doc.changes.iter().rposition(|&place| world.log[place].ts <= at);
    let truth = last.map(|last| doc.changes[last]).filter(|&place| !world.log[place].op.is_delete());
    let (answer, next) = answer(doc, at);
    let told = match answer {
        Answer::Uncertain if world.shows_newest_only() => return None,
        Answer::Uncertain => return Some(format!("what {id} was is uncertain")),
        // A refusal is no wrong answer, where something was taken before the first reading had ended.
        Answer::Unknown(_) if !world.lost.is_empty() => return None,
        Answer::Unknown(first) => return Some(format!("what {id} was before {} is unknown", first.version.identity())),
        Answer::Present(place) => Some(place),
        Answer::Absent => None,
    };
    let told_of = |place: Option<usize>| place.map_or("absent", |place| world.log[place].etag.as_str());
    let hidden = || last.is_some_and(|last| came_and_went(world, doc, last, next, at, window));
    (told != truth && !hidden()).then(|| format!("{id} was {} and is said to be {}", told_of(truth), told_of(told)))
}

/// Whether the feed of newest versions cannot have told of a change: it was gone again before it was seen, or it was a delete of what
/// came back before it was missed, or is too late to be known.
fn came_and_went(world: &World, doc: &Doc, last: usize, next: Option<&Kept>, at: i64, window: Window) -> bool {
    let is_delete = |place: usize| world.log[place].op.is_delete();
    let unseen = doc.changes[last..].iter().take_while(|&&place| next.is_none_or(|next| Some(place) != next.place));
    let deleted_unseen = unseen.clone().skip(1).any(|&place| is_delete(place));
    let came_back = match next {
        Some(next) => !next.version.is_tombstone() || unseen.clone().any(|&place| !is_delete(place)),
        None => unseen.clone().any(|&place| !is_delete(place)),
    };
    world.shows_newest_only()
        && if is_delete(doc.changes[last]) { came_back || at > window.deletes_until } else { deleted_unseen }
}
