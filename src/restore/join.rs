//! The mirror's documents beside the container's, name by name. Both come in the order of names, so each is read once.

use std::cmp::Ordering;

use cosmirror_formats::PartitionKey;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::catalog::Candidate;
use super::live::Known;
use crate::failure::{Failure, Kind};
use crate::seen::Seen;

/// A document that one of both sides knows.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) candidate: Candidate,
    pub(super) live: Known,
}

/// Puts both sides beside each other. What only the container holds comes with an empty history.
pub(super) fn joined<'a>(
    candidates: BoxStream<'a, Result<Candidate, Failure>>,
    rows: impl Iterator<Item = Result<Seen, Failure>> + Send + 'a,
) -> BoxStream<'a, Result<Pair, Failure>> {
    let both = (Box::pin(candidates.peekable()), rows.peekable());
    stream::try_unfold(both, |(mut candidates, mut rows)| async move {
        let candidate = candidates.as_mut().peek().await;
        let order = match (candidate, rows.peek()) {
            (None, None) => return Ok(None),
            (Some(Ok(candidate)), Some(Ok(row))) => candidate.name.cmp(&row.name),
            // A failure comes out first, and ends both.
            (Some(Err(_)), _) | (Some(_), None) => Ordering::Less,
            (_, Some(_)) => Ordering::Greater,
        };
        let row = if order.is_ge() { rows.next().transpose()? } else { None };
        let candidate = if order.is_le() { candidates.next().await.transpose()? } else { None };
        Ok(Some((pair(candidate, row)?, (candidates, rows))))
    })
    .boxed()
}

fn pair(candidate: Option<Candidate>, row: Option<Seen>) -> Result<Pair, Failure> {
    let live = row.as_ref().map_or(Known::Absent, |row| Known::There(row.etag.clone(), row.ts.unwrap_or_default()));
    let candidate = match (candidate, row) {
        (Some(candidate), _) => candidate,
        (None, Some(Seen { name, id, key, .. })) => {
            let key = PartitionKey::from_json(&key);
            let key = key.ok_or_else(|| Failure::new(Kind::Internal, "a row without partition key"))?;
            Candidate::unheard(name, key, id)
        }
        (None, None) => return Err(Failure::new(Kind::Internal, "a pair of nothing")),
    };
    Ok(Pair { candidate, live })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures::TryStreamExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::history::memory::key;

    proptest! {
        /// The model is two sets of names.
        #[test]
        fn every_name_of_either_side_comes_once_and_in_order(
            mirror in prop::collection::btree_set("[a-d]{1,3}", 0..30),
            container in prop::collection::btree_map("[a-d]{1,3}", 1i64..9, 0..30),
        ) {
            let candidate = |name: &String| Ok(Candidate::unheard(name.clone(), key("p"), format!("mirrored {name}")));
            let row = |(name, ts): (&String, &i64)| {
                let (name, id, key) = (name.clone(), "row".to_owned(), serde_json::json!(["p"]));
                Ok(Seen { name, id, key, etag: ts.to_string(), ts: Some(*ts), lsn: None, sha256: None, nth: 0 })
            };
            let candidates: Vec<_> = mirror.iter().map(candidate).collect();
            let joined = joined(stream::iter(candidates).boxed(), container.iter().map(row));
            let pairs: Vec<Pair> = futures::executor::block_on(joined.try_collect()).unwrap();
            let names: Vec<String> = pairs.iter().map(|pair| pair.candidate.name.clone()).collect();
            let expected: BTreeSet<String> = mirror.iter().chain(container.keys()).cloned().collect();
            prop_assert_eq!(&names, &expected.into_iter().collect::<Vec<_>>());
            for pair in pairs {
                let name = &pair.candidate.name;
                let known = container.get(name).map_or(Known::Absent, |ts| Known::There(ts.to_string(), *ts));
                prop_assert_eq!(&pair.live, &known);
                let of_mirror = pair.candidate.history.unwrap().id != "row";
                prop_assert_eq!(of_mirror, mirror.contains(name));
            }
        }
    }
}
