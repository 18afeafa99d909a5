//! What the container holds now.
//!
//! For wide selections one query gives every document's id, key, etag and time, which are sorted by the names that the mirror would give
//! them; the documents themselves are only read where etags do not tell. Narrow selections are read document by document.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cosmirror_formats::feed_page::SystemProperties;
use cosmirror_formats::partition_key::KeyValue;
use cosmirror_formats::{KeyDefinition, PartitionKey};
use futures::TryStreamExt as _;
use serde_json::Value;
use tokio::time::Instant;

use super::{Point, Restore, Selection};
use crate::documents::Document;
use crate::failure::{Failure, Kind};
use crate::history::key_definition;
use crate::retry::persist;
use crate::seen::{RUN_DOCUMENTS_MAX, Runs, Seen};

/// What is known of the container's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing yet: it has to be read.
    Nothing,
    /// It is not there.
    Absent,
    /// It is there, with this etag and time.
    There(String, i64),
}

/// How long the plan's own requests took, which tells how long those of its application will take.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    requests: Arc<AtomicU64>,
    micros: Arc<AtomicU64>,
}

impl Meter {
    async fn timed<T>(&self, request: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let result = request.await;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        result
    }

    /// The mean time of a request; none where there was none.
    pub fn latency(&self) -> Option<Duration> {
        let requests = self.requests.load(Ordering::Relaxed);
        (requests > 0).then(|| Duration::from_micros(self.micros.load(Ordering::Relaxed) / requests))
    }
}

/// Reads a document.
pub(super) async fn read(restore: &Restore<'_>, key: &PartitionKey, id: &str) -> Result<Option<Document>, Failure> {
    let Some(documents) = restore.documents else { return Ok(None) };
    restore.meter.timed(persist(|| documents.read(key, id))).await
}

/// When a document was committed.
pub(super) fn committed(document: &Document) -> Result<i64, Failure> {
    let text = std::str::from_utf8(&document.bytes).map_err(|error| broken(&error))?;
    let ts = SystemProperties::of(text).map_err(|error| broken(&error))?.ts;
    ts.ok_or_else(|| broken(&"a document has no _ts"))
}

fn broken(what: &dyn std::fmt::Display) -> Failure {
    Failure::new(Kind::Internal, format!("the container's answer cannot be read: {what}"))
}

/// Every document of the container that the selection may be about.
pub(super) async fn rows(restore: &Restore<'_>) -> Result<Runs, Failure> {
    let Some(documents) = restore.documents else { return Ok(Runs::new(RUN_DOCUMENTS_MAX)) };
    let definition = key_definition(&restore.mirror.record).ok_or_else(|| broken(&"the partition key is not known"))?;
    let (sql, parameters) = query(restore, &definition);
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // A query that broke off cannot be taken up again without doubt about the page that was under way, so it begins anew.
    let rows = persist(|| async {
        let mut rows = Runs::new(RUN_DOCUMENTS_MAX);
        restore.progress.set_position(0);
        let mut pages = documents.query(&sql, &parameters);
        while let Some(page) = restore.meter.timed(pages.try_next()).await? {
            for row in page {
                rows.push(seen(restore, &definition, &row)?)?;
                restore.progress.inc(1);
            }
        }
        Ok(rows)
    });
    let rows = rows.await?;
    restore.progress.set_position(0);
    Ok(rows)
}

/// The query and its parameters.
fn query(restore: &Restore<'_>, definition: &KeyDefinition) -> (String, Vec<(String, String)>) {
    use std::fmt::Write as _;
    let components: Vec<String> = definition.paths().iter().map(|path| expression(path)).collect();
    let mut sql = "SELECT c.id, c._etag, c._ts".to_owned();
    for (at, component) in components.iter().enumerate() {
        let _ = write!(sql, ", {component} AS k{at}");
    }
    sql.push_str(" FROM c");
    let (mut conditions, mut parameters) = (Vec::new(), Vec::new());
    if let Some(since) = restore.changed_since() {
        conditions.push(format!("c._ts >= {since}"));
    }
    if let Selection::Key(key) = &restore.request.selection {
        for (at, (component, value)) in components.iter().zip(&key.0).enumerate() {
            match value {
                KeyValue::String(text) => {
                    conditions.push(format!("{component} = @k{at}"));
                    parameters.push((format!("@k{at}"), text.clone()));
                }
                KeyValue::Number(_) | KeyValue::Bool(_) | KeyValue::Null => {
                    conditions.push(format!("{component} = {}", value.to_json()));
                }
                // What is no scalar counts as undefined, which no condition tells.
                KeyValue::Undefined => {}
            }
        }
    }
    if !conditions.is_empty() {
        let _ = write!(sql, " WHERE {}", conditions.join(" AND "));
    }
    (sql, parameters)
}

fn expression(path: &[String]) -> String {
    path.iter().fold("c".to_owned(), |so_far, name| format!("{so_far}[{}]", Value::from(name.as_str())))
}

fn seen(restore: &Restore<'_>, definition: &KeyDefinition, row: &Bytes) -> Result<Seen, Failure> {
    let row: Value = serde_json::from_slice(row).map_err(|error| broken(&error))?;
    let component = |at: usize| match row.get(format!("k{at}")) {
        None | Some(Value::Array(_) | Value::Object(_)) => Some(KeyValue::Undefined),
        Some(scalar) => KeyValue::from_json(scalar),
    };
    let key = (0..definition.levels()).map(component).collect::<Option<Vec<_>>>().map(PartitionKey);
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(key), Some(id), Some(etag), ts @ Some(_)) =
        (key, text("id"), text("_etag"), row.get("_ts").and_then(Value::as_i64))
    else {
        return Err(broken(&"a row of the query lacks a property"));
    };
    let name = restore.mirror.paths.document(&key, &id);
    Ok(Seen { name, id, key: key.to_json(), etag, ts, lsn: None, sha256: None, nth: 0 })
}

impl Restore<'_> {
    /// The first second of an interval that both ends bound. What was touched then and exists was committed since, so the other documents of
    /// the container need not be looked at.
    fn changed_since(&self) -> Option<i64> {
        self.request.changed.filter(|changed| changed.until.is_some() && self.in_place).map(|changed| changed.from)
    }

    /// Whether the container is asked about all of its documents rather than about one at a time.
    pub(super) fn is_wide(&self) -> bool {
        !matches!(self.request.point, Point::BeforeChange(_))
            && !matches!(self.request.selection, Selection::Document { .. } | Selection::Listed(_))
    }
}
