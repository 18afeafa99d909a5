//! Which elements of two arrays are the same: the longest common subsequence, so that an insertion at the front is one insertion.
//!
//! What both arrays begin and end with is taken off first. The rest costs the product of both lengths; where that is more than is left
//! of the allowance, nothing in it is aligned and elements are compared place by place.

use std::collections::HashMap;

use super::tree::Node;

/// Cells of all tables together.
pub(super) const CELLS_MAX: usize = 8_000_000;

/// Places of the same elements in both arrays, both rising. Takes what it costs off `cells_left`.
pub(super) fn align(from: &[Node<'_>], to: &[Node<'_>], cells_left: &mut usize) -> Vec<(usize, usize)> {
    let begin = from.iter().zip(to).take_while(|(one, two)| one.same(two)).count();
    let (rest_from, rest_to) = (&from[begin..], &to[begin..]);
    let end = rest_from.iter().rev().zip(rest_to.iter().rev()).take_while(|(one, two)| one.same(two)).count();
    let (rest_from, rest_to) = (&rest_from[..rest_from.len() - end], &rest_to[..rest_to.len() - end]);
    let mut same: Vec<(usize, usize)> = (0..begin).map(|at| (at, at)).collect();
    if let Some(left) = cells_left.checked_sub((rest_from.len() + 1).saturating_mul(rest_to.len() + 1)) {
        *cells_left = left;
        let (one, two) = classes(rest_from, rest_to);
        same.extend(longest(&one, &two).into_iter().map(|(one, two)| (begin + one, begin + two)));
    }
    same.extend((0..end).rev().map(|back| (from.len() - 1 - back, to.len() - 1 - back)));
    same
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

/// The longest common subsequence; of several the one that takes what comes first.
fn longest(from: &[u32], to: &[u32]) -> Vec<(usize, usize)> {
    let width = to.len() + 1;
    // The length of the longest one of what is behind both places.
    let mut lengths = vec![0u32; (from.len() + 1) * width];
    for one in (0..from.len()).rev() {
        for two in (0..to.len()).rev() {
            let (here, below) = (one * width + two, (one + 1) * width + two);
            lengths[here] = match from[one] == to[two] {
                true => lengths[below + 1] + 1,
                false => lengths[below].max(lengths[here + 1]),
            };
        }
    }
    let (mut one, mut two) = (0, 0);
    let mut same = Vec::new();
    while one < from.len() && two < to.len() {
        let (here, below) = (one * width + two, (one + 1) * width + two);
        if from[one] == to[two] {
            same.push((one, two));
            (one, two) = (one + 1, two + 1);
        } else if lengths[below] >= lengths[here + 1] {
            one += 1;
        } else {
            two += 1;
        }
    }
    same
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Document;
    use super::super::tree::Kind;
    use super::*;

    fn aligned(from: &str, to: &str, cells: &mut usize) -> Vec<(usize, usize)> {
        let (from, to) = (Document::parse(from).unwrap(), Document::parse(to).unwrap());
        let (Kind::Array(from), Kind::Array(to)) = (&from.root.kind, &to.root.kind) else { panic!("no arrays") };
        let same = align(from, to, cells);
        assert!(same.iter().all(|(one, two)| from[*one].same(&to[*two])));
        same
    }

    #[test]
    fn an_insertion_leaves_everything_behind_it_where_it_is() {
        assert_eq!(aligned("[1,2,3]", "[0,1,2,3]", &mut 100), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(aligned("[1,2,3]", "[1,3]", &mut 100), [(0, 0), (2, 1)]);
        assert_eq!(aligned("[1,2,3,4]", "[9,2,8,4,7]", &mut 100), [(1, 1), (3, 3)]);
        assert_eq!(aligned("[1,1,1]", "[1,1]", &mut 100), [(0, 0), (1, 1)]);
    }

    #[test]
    fn beyond_the_allowance_only_both_ends_are_aligned() {
        let mut cells = 8;
        assert_eq!(aligned("[1,2,3,4]", "[1,3,9,4]", &mut cells), [(0, 0), (3, 3)]);
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
