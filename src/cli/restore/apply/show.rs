//! How a restore ended, for people and for programs.

use crate::cli::Context;
use crate::failure::CommandError;
use crate::restore::Report;

/// Prints the result.
pub(in crate::cli::restore) fn show(context: &Context, report: &Report) -> Result<(), CommandError> {
    if context.output.format.is_json() {
        return context.output.json(report);
    }
    for line in lines(report) {
        context.output.line(line)?;
    }
    Ok(())
}

fn lines(report: &Report) -> Vec<String> {
    let applied = report.applied;
    let what = if report.already_applied { "applied already" } else { "restored" };
    let mut lines = vec![format!(
        "{what}: create {}, replace {}, delete {}; unchanged {}, kept {}, conflicts {}, failed {}, extra {}, uncertain {}, \
         unknown {}, damaged {}, different {}",
        applied.create,
        applied.replace,
        applied.delete,
        report.unchanged,
        report.kept,
        report.conflicts,
        report.failed,
        report.extra,
        report.uncertain,
        report.unknown,
        report.damaged,
        report.different
    )];
    if report.resumed > 0 {
        lines.push(format!("{} of these by earlier runs", report.resumed));
    }
    match &report.restore {
        Some(id) => lines.push(format!("recorded as {id}")),
        None => lines.push("nothing had to be written".to_owned()),
    }
    if let Some(undo) = &report.undo {
        lines.push(format!("undo: cosmirror restore apply {undo}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_how_to_undo_it() {
        let report = Report {
            restore: Some("r".to_owned()),
            undo: Some("a.plan.undo".to_owned()),
            resumed: 2,
            ..Report::default()
        };
        let lines = lines(&report);
        assert_eq!(
            lines[1..],
            ["2 of these by earlier runs", "recorded as r", "undo: cosmirror restore apply a.plan.undo"]
        );
        assert_eq!(super::lines(&Report::default())[1..], ["nothing had to be written"]);
    }
}
