//! A status for people: a few lines and a table for each container.

use crate::config::format_share;
use crate::status::{ContainerView, RangeView, RehearsalView, View};

/// Names of the table's columns.
const COLUMNS: [&str; 9] =
    ["RANGE", "LEASE", "STATE", "OWNER", "WATERMARK", "LAG", "PENDING", "FAILURES", "LAST PROGRESS"];

/// All lines, an empty one between containers.
pub(super) fn lines(view: &View) -> Vec<String> {
    let mut lines = Vec::new();
    for container in &view.containers {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(container_lines(container));
    }
    lines
}

fn container_lines(container: &ContainerView) -> Vec<String> {
    let restorable = match (&container.restorable_from, &container.restorable_until) {
        (Some(from), Some(until)) => format!("from {from} to {until}"),
        (None, Some(until)) => format!("not yet; complete up to {until}"),
        _ => "not yet".to_owned(),
    };
    let deletes = match &container.deletes_known_until {
        Some(until) => format!("up to {until}"),
        None => "not yet".to_owned(),
    };
    let lag = container.lag_seconds.map_or_else(unknown, |lag| format!("{lag} s"));
    let mut lines = vec![
        format!("{}/{} ({})", container.database, container.container, container.feed),
        format!("  restorable       {restorable}"),
        format!("  deletes known    {deletes}"),
        format!("  lag              {lag}"),
        format!("  pending changes  {}", or_unknown(container.pending_changes.as_ref())),
        format!("  gaps             {}", or_unknown(container.gaps.as_ref())),
        format!("  dead letters     {}", or_unknown(container.dead_letters.as_ref())),
    ];
    if let Some(rehearsal) = &container.rehearsal {
        lines.push(format!("  rehearsal        {}", rehearsal_line(rehearsal)));
    }
    for instant in container.recreated.iter().flatten() {
        lines.push(format!("  created anew     by {instant}; what it held before is an earlier generation"));
    }
    if let Some(note) = &container.note {
        lines.push(format!("  {note}"));
    } else {
        lines.extend(container.holes.iter().map(|hole| format!("  no lease covers  {hole}")));
    }
    if !container.ranges.is_empty() {
        lines.extend(table(&container.ranges));
    }
    lines
}

fn rehearsal_line(rehearsal: &RehearsalView) -> String {
    let RehearsalView { state, documents, rto_seconds, .. } = rehearsal;
    let when = rehearsal.ended.as_ref().unwrap_or(&rehearsal.began);
    let all = rehearsal.rto_seconds_all.map(|seconds| format!(", {seconds:.1} s for all")).unwrap_or_default();
    let share = format_share(rehearsal.sample_per_million);
    format!("{state} at {when}; {share}, {documents} documents in {rto_seconds:.1} s{all}")
}

fn table(ranges: &[RangeView]) -> Vec<String> {
    let head = COLUMNS.map(str::to_owned);
    let rows: Vec<[String; 9]> = std::iter::once(head).chain(ranges.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &[String; 9]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("  {}", cells.join("  ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn row(range: &RangeView) -> [String; 9] {
    // What all leases of a container have in common says nothing here.
    let lease = range.lease.as_deref().unwrap_or_default();
    let lease = lease.rsplit_once("..").map_or(lease, |(_, name)| name);
    let pending = match (range.pending_changes, range.feed_failure) {
        (Some(pending), _) => pending.to_string(),
        (None, Some(failure)) => format!("? ({failure})"),
        (None, None) => unknown(),
    };
    [
        format!("[{},{})", range.min, range.max),
        lease.to_owned(),
        range.state.to_owned(),
        range.owner.clone().unwrap_or_else(|| "-".to_owned()),
        or_unknown(range.watermark.as_ref()),
        range.lag_seconds.map_or_else(unknown, |lag| format!("{lag} s")),
        pending,
        or_unknown(range.failures.as_ref()),
        or_unknown(range.last_progress.as_ref()),
    ]
}

fn or_unknown<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(unknown, T::to_string)
}

fn unknown() -> String {
    "?".to_owned()
}
