//! Which element of an array became which one of another: first the longest common subsequence, so that an insertion at the front is one
//! insertion; then, of what changed between two that stayed, those that are most alike.
//!
//! What both arrays begin and end with is taken off first. The rest costs the product of both lengths; where that is more than is left
//! of the allowance, elements are paired place by place.

use std::collections::HashMap;

use super::tree::{Kind, Node};

/// Cells of all tables together.
pub(super) const CELLS_MAX: usize = 8_000_000;
/// Members that are looked at to tell how much two objects are alike.
const MEMBERS_MAX: usize = 32;

type Pairs = Vec<(usize, usize)>;

/// Places of the elements that belong together in both arrays, both rising; what is in no pair was removed or added. Takes what it costs
/// off `cells_left`.
pub(super) fn align(from: &[Node<'_>], to: &[Node<'_>], cells_left: &mut usize) -> Pairs {
    let begin = from.iter().zip(to).take_while(|(one, two)| one.same(two)).count();
    let (rest_from, rest_to) = (&from[begin..], &to[begin..]);
    let end = rest_from.iter().rev().zip(rest_to.iter().rev()).take_while(|(one, two)| one.same(two)).count();
    let (rest_from, rest_to) = (&rest_from[..rest_from.len() - end], &rest_to[..rest_to.len() - end]);
    let mut pairs: Pairs = (0..begin).map(|at| (at, at)).collect();
    let mut same = Vec::new();
    if spend(cells_left, rest_from.len(), rest_to.len()) {
        let (one, two) = classes(rest_from, rest_to);
        let cell = |one_at: usize, two_at: usize| u32::from(one[one_at] == two[two_at]);
        same = heaviest(one.len(), two.len(), cell);
    }
    let (mut one, mut two) = (0, 0);
    for (end_one, end_two) in same.into_iter().chain([(rest_from.len(), rest_to.len())]) {
        let changed = alike(&rest_from[one..end_one], &rest_to[two..end_two], cells_left);
        pairs.extend(changed.into_iter().map(|(from, to)| (begin + one + from, begin + two + to)));
        if end_one < rest_from.len() && end_two < rest_to.len() {
            pairs.push((begin + end_one, begin + end_two));
        }
        (one, two) = (end_one + 1, end_two + 1);
    }
    pairs.extend((0..end).rev().map(|back| (from.len() - 1 - back, to.len() - 1 - back)));
    pairs
}

/// Whether the allowance is enough for a table of these sides; takes it off.
fn spend(cells_left: &mut usize, from: usize, to: usize) -> bool {
    let left = cells_left.checked_sub((from + 1).saturating_mul(to + 1));
    *cells_left = left.unwrap_or(*cells_left);
    left.is_some()
}

/// Pairs of elements that are most alike together, as many as there can be.
fn alike(from: &[Node<'_>], to: &[Node<'_>], cells_left: &mut usize) -> Pairs {
    let by_place = || (0..from.len().min(to.len())).map(|at| (at, at)).collect();
    let single = from.len() == 1 && to.len() == 1;
    if single || from.is_empty() || to.is_empty() || !spend(cells_left, from.len() * MEMBERS_MAX, to.len()) {
        return by_place();
    }
    heaviest(from.len(), to.len(), |one, two| likeness(&from[one], &to[two]))
}

/// How much two elements are alike; never nothing, because a replaced element is still one change where a removed and an added one are two.
fn likeness(one: &Node<'_>, two: &Node<'_>) -> u32 {
    match (&one.kind, &two.kind) {
        (Kind::Object(one), Kind::Object(two)) => {
            let members = one.members.iter().take(MEMBERS_MAX).filter_map(|(name, one)| Some((one, two.get(name)?)));
            2 + members.map(|(one, two)| if one.hash == two.hash { 5 } else { 1 }).sum::<u32>()
        }
        (Kind::Array(one), Kind::Array(two)) => {
            let elements = one.iter().zip(two).take(MEMBERS_MAX);
            2 + elements.map(|(one, two)| if one.hash == two.hash { 5 } else { 0 }).sum::<u32>()
        }
        _ => 1,
    }
}

/// Numbers for the elements, equal ones for the same.
fn classes<'t, 'a>(from: &'t [Node<'a>], to: &'t [Node<'a>]) -> (Vec<u32>, Vec<u32>) {
    let mut known: HashMap<u64, Vec<(u32, &'t Node<'a>)>> = HashMap::new();
    let mut next = 0;
    let mut class = |node: &'t Node<'a>| {
        let candidates = known.entry(node.hash).or_default();
        if let Some((class, _)) = candidates.iter().find(|(_, candidate)| candidate.same(node)) {
            return *class;
        }
        next += 1;
        candidates.push((next, node));
        next
    };
    (from.iter().map(&mut class).collect(), to.iter().map(&mut class).collect())
}

/// The rising pairs of places whose weights are the most together; of several the ones that come first. A weight of 0 makes no pair.
fn heaviest(from: usize, to: usize, weight: impl Fn(usize, usize) -> u32) -> Pairs {
    let width = to + 1;
    // The most that what is behind both places can weigh.
    let mut most = vec![0u32; (from + 1) * width];
    for one in (0..from).rev() {
        for two in (0..to).rev() {
            let (here, below) = (one * width + two, (one + 1) * width + two);
            most[here] = (most[below + 1] + weight(one, two)).max(most[below]).max(most[here + 1]);
        }
    }
    let (mut one, mut two) = (0, 0);
    let mut pairs = Vec::new();
    while one < from && two < to {
        let (here, below) = (one * width + two, (one + 1) * width + two);
        let weight = weight(one, two);
        if weight > 0 && most[here] == most[below + 1] + weight {
            pairs.push((one, two));
            (one, two) = (one + 1, two + 1);
        } else if most[here] == most[below] {
            one += 1;
        } else {
            two += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Document;
    use super::super::tree::Kind;
    use super::*;

    fn aligned(from: &str, to: &str, cells: &mut usize) -> Pairs {
        let (from, to) = (Document::parse(from).unwrap(), Document::parse(to).unwrap());
        let (Kind::Array(from), Kind::Array(to)) = (&from.root.kind, &to.root.kind) else { panic!("no arrays") };
        align(from, to, cells)
    }

    #[test]
    fn an_insertion_leaves_everything_behind_it_where_it_is() {
        assert_eq!(aligned("[1,2,3]", "[0,1,2,3]", &mut 100), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(aligned("[1,2,3]", "[1,3]", &mut 100), [(0, 0), (2, 1)]);
        assert_eq!(aligned("[1,2,3,4]", "[9,2,8,4,7]", &mut 100), [(0, 0), (1, 1), (2, 2), (3, 3)]);
        assert_eq!(aligned("[1,1,1]", "[1,1]", &mut 100), [(0, 0), (1, 1)]);
    }

    #[test]
    fn of_what_changed_the_most_alike_belong_together() {
        let from = r#"[{"n":1,"of":"bolts"},{"n":2,"of":"nuts"}]"#;
        let inserted = r#"[{"n":0},{"n":1,"of":"screws"},{"n":2,"of":"rings"}]"#;
        assert_eq!(aligned(from, inserted, &mut 10_000), [(0, 1), (1, 2)]);
        assert_eq!(aligned("[[1,2],[3,4]]", "[[3,5]]", &mut 10_000), [(1, 0)]);
        assert_eq!(aligned("[1,2]", r#"["x"]"#, &mut 10_000), [(0, 0)]);
    }

    #[test]
    fn beyond_the_allowance_elements_are_paired_by_their_place() {
        let mut cells = 8;
        assert_eq!(aligned("[1,2,3,4]", "[1,3,9,4]", &mut cells), [(0, 0), (1, 1), (2, 2), (3, 3)]);
        assert_eq!(cells, 8);
        assert_eq!(aligned("[1,2,3,4]", "[1,3,4]", &mut cells), [(0, 0), (2, 1), (3, 2)]);
        assert_eq!(cells, 6);
    }

    proptest! {
        #[test]
        fn the_places_rise_in_both_arrays(
            from in prop::collection::vec(0u8..4, 0..12), to in prop::collection::vec(0u8..4, 0..12),
        ) {
            let text = |list: &Vec<u8>| serde_json::to_string(list).unwrap();
            let same = aligned(&text(&from), &text(&to), &mut 10_000);
            prop_assert!(same.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
        }
    }
}
