//! Pages of a query's rows.
//!
//! Rows come in the order of the items' ordinals or of ORDER BY, ties in the order of ordinals. A continuation names
//! the last row looked at, not a number of rows, so that writes between pages neither repeat nor skip rows that stay.

use std::cmp::Ordering;
use std::sync::Arc;

use cosmirror_sql::ast::{Query, Select};
use cosmirror_sql::{Scope, Value, evaluate, object};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::change::Change;
use super::super::errors::CosmosError;
use super::super::ids;
use super::super::keys::Scope as KeyScope;
use super::super::partition::Partition;
use super::super::state::PAGE_BYTES_MAX;
use super::cursor::{Cursor, Reading, readings};

/// A page of rows.
pub(super) struct Rows {
    pub(super) texts: Vec<String>,
    /// Where the next page starts, if there is one.
    pub(super) next: Option<Cursor>,
}

/// Where the SDK wants an ORDER BY query to resume.
#[derive(Debug, Deserialize)]
pub(super) struct Resume {
    value: Vec<Box<RawValue>>,
    rid: Option<String>,
    #[serde(default)]
    exclude: bool,
}

/// All rows of a query over texts.
pub(super) fn all_rows<'a>(query: &'a Query, documents: impl Iterator<Item = &'a str>) -> Rows {
    let mut found: Vec<&str> = documents.filter(|document| matches(query, document)).collect();
    if query.aggregates() {
        return Rows { texts: aggregate(query, found.into_iter()).into_iter().collect(), next: None };
    }
    found.sort_by(|left, right| compare(query, &keys(query, left), &keys(query, right)));
    let (skip, take) = window(query);
    let texts = found.into_iter().filter_map(|document| project(query, document));
    Rows { texts: texts.skip(skip as usize).take(take as usize).collect(), next: None }
}

/// A page of a query over partitions, within a part of the hash space.
pub(super) fn rows(
    query: &Query,
    partitions: &[&Partition],
    scope: &KeyScope,
    cursor: Option<Cursor>,
    resume: Option<Resume>,
    items_max: usize,
) -> Result<Rows, CosmosError> {
    if query.aggregates() {
        let all = partitions.iter().flat_map(|partition| candidates(partition, scope, None));
        let found = all.map(|version| version.text()).filter(|document| matches(query, document));
        return Ok(Rows { texts: aggregate(query, found).into_iter().collect(), next: None });
    }
    let readings = readings(partitions, scope, cursor.as_ref())?;
    let mut page = Page::new(query, cursor.as_ref().map_or(0, |cursor| cursor.passed), items_max);
    if !query.order_by.is_empty() {
        // Several ranges were refused before: their rows would have to be merged.
        let Some(reading) = readings.first() else {
            return Ok(page.end());
        };
        let mut last = cursor.as_ref().map(|cursor| (cursor.keys.clone(), cursor.ordinal)).unwrap_or_default();
        for (version, keys) in sorted(query, reading, cursor.as_ref(), resume.as_ref()) {
            match page.offer(version) {
                Offer::Taken => last = (keys.iter().map(|key| key.text().to_owned()).collect(), version.ordinal),
                Offer::Full => return Ok(page.end_with(&readings, None, last)),
                Offer::WindowIsOver => break,
            }
        }
        return Ok(page.end());
    }
    for (index, reading) in readings.iter().enumerate() {
        let mut after = reading.after;
        for version in candidates(reading.partition, &reading.scope, reading.after) {
            if matches(query, version.text()) {
                match page.offer(version) {
                    Offer::Taken => {}
                    Offer::Full => return Ok(page.end_with(&readings[index..], after, Default::default())),
                    Offer::WindowIsOver => return Ok(page.end()),
                }
            }
            after = Some(version.ordinal);
        }
    }
    Ok(page.end())
}

/// A page being filled.
struct Page<'q> {
    query: &'q Query,
    skip: u64,
    most: u64,
    passed: u64,
    items_max: usize,
    bytes: usize,
    texts: Vec<String>,
}

/// What became of a row that was offered to a page.
enum Offer {
    /// The page holds it, or it is none or one to skip.
    Taken,
    /// It belongs to the next page.
    Full,
    /// Neither it nor any later one is wanted.
    WindowIsOver,
}

impl<'q> Page<'q> {
    fn new(query: &'q Query, passed: u64, items_max: usize) -> Self {
        let (skip, take) = window(query);
        let most = skip.saturating_add(take);
        Self { query, skip, most, passed, items_max, bytes: 0, texts: Vec::new() }
    }

    fn offer(&mut self, version: &Arc<Change>) -> Offer {
        if self.passed >= self.most {
            return Offer::WindowIsOver;
        }
        let Some(text) = project(self.query, version.text()) else {
            // An undefined value is no row.
            return Offer::Taken;
        };
        if self.passed >= self.skip {
            let full = self.texts.len() >= self.items_max || self.bytes + text.len() > PAGE_BYTES_MAX;
            if full && !self.texts.is_empty() {
                return Offer::Full;
            }
            self.bytes += text.len();
            self.texts.push(text);
        }
        self.passed += 1;
        Offer::Taken
    }

    /// The last page.
    fn end(self) -> Rows {
        Rows { texts: self.texts, next: None }
    }

    /// A page with others to come: what is left to read, how far the first of it was read, and the last row's keys.
    fn end_with(self, left: &[Reading<'_>], after: Option<u64>, (keys, ordinal): (Vec<String>, u64)) -> Rows {
        let cursor = Cursor::before(left, after).with_row(keys, ordinal, self.passed);
        Rows { texts: self.texts, next: Some(cursor) }
    }
}

/// How many rows to skip and then to give.
fn window(query: &Query) -> (u64, u64) {
    let (skip, take) = query.offset_limit.unwrap_or((0, u64::from(u32::MAX)));
    (skip, take.min(query.top.unwrap_or(u64::from(u32::MAX))))
}

/// The items of a partition in the order of their ordinals, after one of them.
fn candidates<'a>(
    partition: &'a Partition,
    scope: &'a KeyScope,
    after: Option<u64>,
) -> Box<dyn Iterator<Item = &'a Arc<Change>> + 'a> {
    match scope {
        KeyScope::Point(_) => {
            let mut found: Vec<_> =
                partition.live_in(scope).filter(|version| after.is_none_or(|after| version.ordinal > after)).collect();
            found.sort_unstable_by_key(|version| version.ordinal);
            Box::new(found.into_iter())
        }
        KeyScope::Span { .. } => Box::new(partition.live_after(after).filter(|version| scope.contains(&version.epk))),
    }
}

/// The matching items in the order of ORDER BY, after where a page ended or the SDK resumes.
fn sorted<'a>(
    query: &'a Query,
    reading: &'a Reading<'a>,
    cursor: Option<&Cursor>,
    resume: Option<&Resume>,
) -> Vec<(&'a Arc<Change>, Vec<Value<'a>>)> {
    // Ties follow the first criterion's direction, as the SDKs' merge expects.
    let descending = query.order_by.first().is_some_and(|order| order.descending);
    let by_ordinal = |left: u64, right: u64| if descending { right.cmp(&left) } else { left.cmp(&right) };
    let mut found: Vec<_> = candidates(reading.partition, &reading.scope, None)
        .filter(|version| matches(query, version.text()))
        .map(|version| (version, keys(query, version.text())))
        .collect();
    if let Some(cursor) = cursor {
        let ended: Vec<Value<'_>> = cursor.keys.iter().map(|key| boundary(key)).collect();
        found.retain(|(version, keys)| {
            compare(query, keys, &ended).then_with(|| by_ordinal(version.ordinal, cursor.ordinal)) == Ordering::Greater
        });
    }
    if let Some(resume) = resume {
        let from: Vec<Value<'_>> = resume.value.iter().map(|value| boundary(value.get())).collect();
        let from_ordinal = resume.rid.as_deref().and_then(ids::document_ordinal);
        found.retain(|(version, keys)| {
            let ordinals = || from_ordinal.map_or(Ordering::Equal, |from| by_ordinal(version.ordinal, from));
            match compare(query, keys, &from).then_with(ordinals) {
                Ordering::Less => false,
                Ordering::Equal => !resume.exclude,
                Ordering::Greater => true,
            }
        });
    }
    found.sort_by(|(left, left_keys), (right, right_keys)| {
        compare(query, left_keys, right_keys).then_with(|| by_ordinal(left.ordinal, right.ordinal))
    });
    found
}

/// A key of a cursor or of a resume filter; the SDKs write an undefined one as an empty array.
fn boundary(text: &str) -> Value<'_> {
    Value::from_option(Some(text).filter(|text| !text.is_empty() && *text != "[]"))
}

fn keys<'a>(query: &'a Query, document: &'a str) -> Vec<Value<'a>> {
    query.order_by.iter().map(|order| evaluate(&order.by.expression, Scope { document, count: 0 })).collect()
}

fn compare(query: &Query, left: &[Value<'_>], right: &[Value<'_>]) -> Ordering {
    query
        .order_by
        .iter()
        .zip(left.iter().zip(right))
        .map(|(order, (left, right))| {
            let ordering = left.sort_order(right);
            if order.descending { ordering.reverse() } else { ordering }
        })
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Whether a document is one the query asks for.
pub(super) fn matches(query: &Query, document: &str) -> bool {
    query
        .filter
        .as_ref()
        .is_none_or(|filter| evaluate(&filter.expression, Scope { document, count: 0 }).as_bool() == Some(true))
}

/// The row of a document; `None` if it is undefined.
fn project(query: &Query, document: &str) -> Option<String> {
    selected(query, Scope { document, count: 0 })
}

fn selected(query: &Query, scope: Scope<'_>) -> Option<String> {
    let value = match &query.select {
        Select::All => return Some(scope.document.to_owned()),
        Select::Value(value) => evaluate(&value.expression, scope),
        Select::List(items) => {
            object(items.iter().map(|(name, item)| (name.as_str(), evaluate(&item.expression, scope))))
        }
    };
    match value {
        Value::Undefined => None,
        Value::Json(text) => Some(text.into_owned()),
    }
}

/// The one row of an aggregate over the matching documents.
fn aggregate<'a>(query: &Query, documents: impl Iterator<Item = &'a str>) -> Option<String> {
    let argument = match &query.select {
        Select::All => None,
        Select::Value(value) => value.expression.counted(),
        Select::List(items) => items.iter().find_map(|(_, item)| item.expression.counted()),
    };
    let defined = |document: &str| {
        argument.is_none_or(|argument| evaluate(argument, Scope { document, count: 0 }) != Value::Undefined)
    };
    let count = documents.filter(|document| defined(document)).count() as u64;
    selected(query, Scope { document: "", count })
}
