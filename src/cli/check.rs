//! `check`: audits configuration and accounts before the first write.

use super::Context;
use super::args::CheckArgs;
use super::output::Format;
use super::table::printable;
use crate::check::{self, Check, Options, Report, Status};
use crate::failure::{CommandError, Exit};

/// Runs the command.
pub(super) async fn run(args: &CheckArgs, context: &Context) -> Result<(), CommandError> {
    context.configured()?;
    let options = Options { offline: args.offline, reads_only: context.mirror.is_some(), sample: args.sample };
    let report = check::run(&context.config.config, options).await;
    match context.output.format {
        Format::Json => context.output.json(&report)?,
        Format::Ndjson => report.checks.iter().try_for_each(|check| context.output.json(check))?,
        Format::Text | Format::JsonPatch => {
            text(&report).iter().try_for_each(|line| context.output.line(line))?;
        }
    }
    // The report is the answer.
    if report.count(Status::Fail) > 0 { Err(CommandError::new(Exit::Failure, "", "")) } else { Ok(()) }
}

fn text(report: &Report) -> Vec<String> {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for Check { name, status, detail, remedy, .. } in &report.checks {
        let status = if *status == Status::Fail { "FAIL" } else { status.word() };
        lines.push(format!("{status:<4}  {name:<width$}  {}", printable(detail)));
        if !remedy.is_empty() {
            lines.push(format!("      {:<width$}  -> {}", "", printable(remedy)));
        }
    }
    let [ok, warn, fail] = [Status::Ok, Status::Warn, Status::Fail].map(|status| report.count(status));
    let plural = if warn == 1 { "" } else { "s" };
    lines.push(format!("{} checks: {ok} ok, {warn} warning{plural}, {fail} failed", report.checks.len()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line_with_its_remedy_beneath_and_the_last_line_counts() {
        let check = |name, status, remedy: &str| Check {
            name,
            subject: None,
            status,
            detail: "what\u{1b}[2J was found".to_owned(),
            remedy: remedy.to_owned(),
        };
        let checks = vec![
            check("source.clock", Status::Ok, ""),
            check("leases", Status::Warn, "do this"),
            check("target", Status::Fail, "do that"),
        ];
        let expected = [
            "ok    source.clock  what\\u{1b}[2J was found",
            "warn  leases        what\\u{1b}[2J was found",
            "                    -> do this",
            "FAIL  target        what\\u{1b}[2J was found",
            "                    -> do that",
            "3 checks: 1 ok, 1 warning, 1 failed",
        ];
        assert_eq!(text(&Report { checks }), expected);
    }
}
