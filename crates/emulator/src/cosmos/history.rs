//! A container's history for tests: every committed change as a line of JSON, in the order of commitment.

use std::sync::Arc;

use super::CosmosService;
use super::change::Change;
use super::store::Container;

/// Changes per chunk of lines.
const CHUNK_CHANGES: usize = 1_000;

/// Reads the history from its start to wherever it ends when the reader gets there.
pub(crate) struct HistoryCursor {
    container: Arc<Container>,
    seq: u64,
}

impl CosmosService {
    /// Opens a container's history; the error says which container is missing.
    pub(crate) fn history(&self, database: &str, container: &str) -> Result<HistoryCursor, String> {
        let container = self.store.container(database, container).map_err(|error| error.message)?;
        // What has expired by now belongs to the history.
        drop(container.current(self.clock.now()));
        Ok(HistoryCursor { container, seq: 0 })
    }
}

impl HistoryCursor {
    /// The next lines; `None` at the end.
    pub(crate) fn next_lines(&mut self) -> Option<String> {
        let changes = self.container.state().history_after(self.seq, CHUNK_CHANGES);
        self.seq = changes.last()?.seq;
        let mut lines = String::new();
        for change in &changes {
            push_line(&mut lines, change);
        }
        Some(lines)
    }
}

fn push_line(lines: &mut String, change: &Change) {
    let document = if change.op.removes() { "null" } else { change.text() };
    lines.push_str(&format!(
        "{{\"seq\":{},\"range\":\"{}\",\"lsn\":{},\"op\":\"{}\",\"id\":{},\"partitionKey\":{},\"etag\":{},\"ts\":{},\"document\":",
        change.seq,
        change.range,
        change.lsn,
        change.op.name(),
        serde_json::Value::from(&*change.id),
        change.key,
        serde_json::Value::from(&*change.etag),
        change.ts,
    ));
    lines.push_str(&one_line(document));
    lines.push_str("}\n");
}

/// A document may hold line breaks between its tokens (never inside a string); a line must not.
fn one_line(document: &str) -> std::borrow::Cow<'_, str> {
    if document.contains(['\n', '\r']) {
        return document.replace(['\n', '\r'], " ").into();
    }
    document.into()
}
