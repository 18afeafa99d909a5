//! How a restore ended, for people and for programs.

use crate::cli::Context;
use crate::failure::CommandError;
use crate::restore::Report;

/// Prints the result.
pub(in crate::cli::restore) fn show(context: &Context, report: &Report) -> Result<(), CommandError> {
    if context.output.format.is_json() {
        return context.output.json(report);
    }
    for line in lines(report, &context.again()) {
        context.output.line(line)?;
    }
    Ok(())
}

fn lines(report: &Report, (mirror, account): &(String, String)) -> Vec<String> {
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
    if report.resumed > 0 && !report.already_applied {
        lines.push(format!("{} of these by earlier runs", report.resumed));
    }
    if report.purged > 0 {
        lines.push(format!("{} documents stay away: their history was erased", report.purged));
    }
    match &report.restore {
        Some(id) => lines.push(format!("recorded as {id}")),
        None if report.fatal.is_some() => {}
        None => lines.push("nothing had to be written".to_owned()),
    }
    let unfinished = report.cancelled || report.limit_reached || report.failed > 0 || report.fatal.is_some();
    if let (true, Some(plan), Some(undo)) = (unfinished, &report.plan, &report.undo) {
        let elsewhere = if *undo == format!("{plan}.undo") { String::new() } else { format!(" --undo {undo}") };
        lines.push(format!("to go on: cosmirror{mirror} restore apply {plan}{elsewhere}{account}"));
    }
    if let Some(undo) = &report.undo {
        lines.push(format!("undo: cosmirror{mirror} restore apply {undo}{account}"));
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
        let lines = lines(&report, &Default::default());
        assert_eq!(
            lines[1..],
            ["2 of these by earlier runs", "recorded as r", "undo: cosmirror restore apply a.plan.undo"]
        );
        assert_eq!(super::lines(&Report::default(), &Default::default())[1..], ["nothing had to be written"]);
    }

    #[test]
    fn what_is_not_at_its_end_says_how_to_go_on() {
        let report = |undo: &str| Report {
            restore: Some("r".to_owned()),
            plan: Some("a.plan".to_owned()),
            undo: Some(undo.to_owned()),
            cancelled: true,
            ..Report::default()
        };
        assert_eq!(lines(&report("a.plan.undo"), &Default::default())[2], "to go on: cosmirror restore apply a.plan");
        let again = (" --mirror /m".to_owned(), " --account https://a/".to_owned());
        let lines = lines(&report("b"), &again);
        assert_eq!(lines[2], "to go on: cosmirror --mirror /m restore apply a.plan --undo b --account https://a/");
        assert_eq!(lines[3], "undo: cosmirror --mirror /m restore apply b --account https://a/");
    }
}
