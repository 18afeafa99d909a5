//! Where a page of a query ended, in terms that survive splits and merges of partitions.
//!
//! A cursor names parts of the hash space and how far each was read, by the items' ordinals, which are the container's
//! own and not a partition's. So the token of a parent works on its children, each of which takes its share, and the
//! token of a partition that was merged still means that partition's rows alone.

use azure_data_cosmos_driver::models::EffectivePartitionKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::super::errors::CosmosError;
use super::super::keys::Scope;
use super::super::partition::Partition;

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What is left, in the order of reading.
    pending: Vec<Part>,
    /// The last row's ORDER BY values; an undefined one is empty.
    pub(super) keys: Vec<String>,
    /// The last row's ordinal.
    pub(super) ordinal: u64,
    /// Rows passed so far, skipped ones included.
    pub(super) passed: u64,
}

/// A part of the hash space and how far it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Part {
    /// In hexadecimal; both the same for one partition key value.
    min: String,
    max: String,
    /// Ordinals up to this one were read.
    after: Option<u64>,
}

/// A part of one partition that is to be read.
pub(super) struct Reading<'a> {
    pub(super) partition: &'a Partition,
    pub(super) scope: Scope,
    pub(super) after: Option<u64>,
}

impl Cursor {
    /// A cursor before what is left of `readings`, of which the first was read up to `after`.
    pub(super) fn before(readings: &[Reading<'_>], after: Option<u64>) -> Self {
        let mut pending: Vec<Part> = Vec::new();
        for (index, reading) in readings.iter().enumerate() {
            let part = Part::new(&reading.scope, if index == 0 { after } else { reading.after });
            match pending.last_mut() {
                // Parts that adjoin are one again, or a token would grow with the number of partitions.
                Some(last) if last.max == part.min && last.after == part.after => last.max = part.max,
                _ => pending.push(part),
            }
        }
        Self { pending, keys: Vec::new(), ordinal: 0, passed: 0 }
    }

    /// Adds the last row of an ordered query, and how many rows were passed so far.
    pub(super) fn with_row(self, keys: Vec<String>, ordinal: u64, passed: u64) -> Self {
        Self { keys, ordinal, passed, ..self }
    }

    /// Reads a continuation.
    pub(super) fn decode(text: &str) -> Result<Self, CosmosError> {
        let invalid = || CosmosError::bad_request("The continuation is not one of this emulator's.");
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| invalid())?;
        serde_json::from_slice(&bytes).map_err(|_| invalid())
    }

    /// The continuation's text.
    pub(super) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Part {
    fn new(scope: &Scope, after: Option<u64>) -> Self {
        let (min, max) = match scope {
            Scope::Point(point) => (point.to_hex(), point.to_hex()),
            Scope::Span { min, max } => (min.to_hex(), max.to_hex()),
        };
        Self { min, max, after }
    }

    fn scope(&self) -> Result<Scope, CosmosError> {
        if self.min != self.max {
            return Scope::parse(&self.min, &self.max);
        }
        EffectivePartitionKey::try_from(self.min.as_str())
            .map(Scope::Point)
            .map_err(|_| CosmosError::bad_request("The continuation names no partition key."))
    }
}

/// What is to be read of the partitions within a scope: everything, or what a cursor left.
pub(super) fn readings<'a>(
    partitions: &[&'a Partition],
    scope: &Scope,
    cursor: Option<&Cursor>,
) -> Result<Vec<Reading<'a>>, CosmosError> {
    let parts = match cursor {
        None => vec![(scope.clone(), None)],
        Some(cursor) => {
            let parts = cursor.pending.iter().map(|part| Ok((part.scope()?, part.after)));
            parts.collect::<Result<Vec<_>, CosmosError>>()?
        }
    };
    let mut readings = Vec::new();
    for (part, after) in parts {
        for partition in partitions {
            let within = common(&part, scope).and_then(|part| common(&part, &partition.bounds));
            if let Some(scope) = within {
                readings.push(Reading { partition, scope, after });
            }
        }
    }
    Ok(readings)
}

/// What two parts of the hash space have in common.
fn common(one: &Scope, other: &Scope) -> Option<Scope> {
    match (one, other) {
        _ if !one.overlaps(other) => None,
        (Scope::Point(_), _) => Some(one.clone()),
        (_, Scope::Point(_)) => Some(other.clone()),
        (Scope::Span { min, max }, Scope::Span { min: other_min, max: other_max }) => {
            Some(Scope::Span { min: min.max(other_min).clone(), max: max.min(other_max).clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(min: &str, max: &str) -> Scope {
        Scope::parse(min, max).unwrap()
    }

    fn partition(id: &str, min: &str, max: &str) -> Partition {
        Partition::new(id, span(min, max))
    }

    fn shown(readings: &[Reading<'_>]) -> Vec<(String, String, String, Option<u64>)> {
        let shown = |reading: &Reading<'_>| {
            let Part { min, max, after } = Part::new(&reading.scope, reading.after);
            (reading.partition.id.to_string(), min, max, after)
        };
        readings.iter().map(shown).collect()
    }

    #[test]
    fn a_parents_cursor_works_on_its_children_and_on_what_they_merge_to() {
        let (low, high) = (partition("0", "", "20"), partition("1", "20", "FF"));
        let all = readings(&[&low, &high], &Scope::all(), None).unwrap();
        let cursor = Cursor::decode(&Cursor::before(&all, Some(7)).encode()).unwrap();
        let whole = |after| ("0".to_owned(), String::new(), "FF".to_owned(), after);

        let (left, right) = (partition("2", "", "10"), partition("3", "10", "20"));
        let children = readings(&[&left, &right, &high], &Scope::all(), Some(&cursor)).unwrap();
        let bounds: Vec<_> = shown(&children).into_iter().map(|(id, .., after)| (id, after)).collect();
        assert_eq!(bounds, [("2".to_owned(), Some(7)), ("3".to_owned(), Some(7)), ("1".to_owned(), None)]);

        // The left child goes on to 9 before everything becomes one.
        let cursor = Cursor::before(&children, Some(9));
        let merged = partition("0", "", "FF");
        let left = readings(&[&merged], &Scope::all(), Some(&cursor)).unwrap();
        assert_eq!(left.iter().map(|reading| reading.after).collect::<Vec<_>>(), [Some(9), Some(7), None]);
        assert_eq!(shown(&readings(&[&merged], &Scope::all(), None).unwrap()), [whole(None)]);
    }

    #[test]
    fn a_cursor_of_one_partition_never_reaches_beyond_it() {
        let low = partition("0", "", "20");
        let read = readings(&[&low], &Scope::all(), None).unwrap();
        let cursor = Cursor::before(&read, Some(3));
        let merged = partition("2", "", "FF");
        let left = readings(&[&merged], &Scope::all(), Some(&cursor)).unwrap();
        assert_eq!(shown(&left), [("2".to_owned(), String::new(), "20".to_owned(), Some(3))]);
    }

    #[test]
    fn a_cursor_of_one_key_stays_with_it() {
        let all = partition("0", "", "FF");
        let point = Scope::Point(EffectivePartitionKey::try_from("15").unwrap());
        let read = readings(&[&all], &point, None).unwrap();
        let cursor = Cursor::before(&read, Some(3));
        let again = readings(&[&all], &point, Some(&cursor)).unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!((&again[0].scope, again[0].after), (&point, Some(3)));
    }
}
