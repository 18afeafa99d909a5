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
