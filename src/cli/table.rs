//! Tables for people: columns as wide as their widest cell.

pub(super) use crate::json_text::printable;

/// The lines of a table; the first row is its head.
pub(super) fn lines<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["A", "B"], ["a long one", "x"], ["é", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(lines(&rows), ["A           B", "a long one  x", "é"]);
    }

    #[test]
    fn what_would_move_the_cursor_is_escaped() {
        assert_eq!(printable("a\u{1b}[2J\n\u{202e}\"☃\""), "a\\u{1b}[2J\\n\\u{202e}\"☃\"");
    }
}
