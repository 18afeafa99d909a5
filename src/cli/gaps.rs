//! `gaps list`: the intervals for which history is known to be incomplete. Needs nothing but the mirror.

use cosmirror_formats::EpkRange;
use cosmirror_formats::records::Gap;
use serde::Serialize;

use super::Context;
use super::args::GapsListArgs;
use super::history::mirror_of;
use super::output::Format;
use super::table;
use crate::config::Container;
use crate::failure::CommandError;
use crate::history::{described, instant};
use crate::mirror::gap;

/// All gaps of the containers that were asked about.
#[derive(Debug, Serialize)]
struct View<'a> {
    gaps: Vec<GapView<'a>>,
}

#[derive(Debug, Serialize)]
struct GapView<'a> {
    database: &'a str,
    container: &'a str,
    range: EpkRange,
    from: String,
    until: Option<String>,
    reason: String,
}

/// Runs the command.
pub(super) async fn list(args: &GapsListArgs, context: &Context) -> Result<(), CommandError> {
    let mut view = View { gaps: Vec::new() };
    for container in context.containers(&args.sources)? {
        let (store, paths) = mirror_of(context, container)?;
        described(store.as_ref(), &paths).await?;
        let mut gaps = gap::all(store.as_ref(), &paths).await?;
        gaps.sort_by(|a, b| (a.from, &a.range).cmp(&(b.from, &b.range)));
        view.gaps.extend(gaps.into_iter().map(|gap| gap_view(container, gap)));
    }
    match context.output.format {
        Format::Json => context.output.json(&view),
        Format::Ndjson => view.gaps.iter().try_for_each(|gap| context.output.json(gap)),
        Format::Text | Format::JsonPatch => text(&view).iter().try_for_each(|line| context.output.line(line)),
    }
}

fn gap_view(container: &Container, gap: Gap) -> GapView<'_> {
    GapView {
        database: &container.database,
        container: &container.container,
        range: gap.range,
        from: instant(gap.from),
        until: gap.until.map(instant),
        reason: gap.reason,
    }
}

fn text(view: &View<'_>) -> Vec<String> {
    if view.gaps.is_empty() {
        return vec!["no gaps".to_owned()];
    }
    let head = ["CONTAINER", "RANGE", "FROM", "UNTIL", "REASON"].map(str::to_owned);
    let row = |gap: &GapView<'_>| {
        [
            format!("{}/{}", gap.database, gap.container),
            gap.range.to_string(),
            gap.from.clone(),
            gap.until.clone().unwrap_or_else(|| "open".to_owned()),
            table::printable(&gap.reason),
        ]
    };
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(view.gaps.iter().map(row)).collect();
    table::lines(&rows)
}

#[cfg(test)]
mod tests {
    use cosmirror_formats::records::FORMAT;

    use super::*;
    use crate::config::{FeedMode, Start};

    fn container() -> Container {
        Container {
            database: "shop".to_owned(),
            container: "orders".to_owned(),
            feed: FeedMode::default(),
            start: Start::default(),
            versions_per_minute_max: 0,
        }
    }

    fn gap(from: i64, until: Option<i64>) -> Gap {
        Gap { format: FORMAT, range: EpkRange::new("", "20"), from, until, reason: "away".to_owned() }
    }

    #[test]
    fn golden_json_of_an_open_and_an_ended_gap() {
        let container = container();
        let gaps = vec![gap_view(&container, gap(10, Some(20))), gap_view(&container, gap(30, None))];
        let golden = concat!(
            r#"{"gaps":[{"database":"shop","container":"orders","range":{"min":"","max":"20"},"#,
            r#""from":"1970-01-01T00:00:10Z","until":"1970-01-01T00:00:20Z","reason":"away"},"#,
            r#"{"database":"shop","container":"orders","range":{"min":"","max":"20"},"#,
            r#""from":"1970-01-01T00:00:30Z","until":null,"reason":"away"}]}"#,
        );
        assert_eq!(serde_json::to_string(&View { gaps }).unwrap(), golden);
    }

    #[test]
    fn the_table_says_which_gap_is_open() {
        let container = container();
        let lines = text(&View { gaps: vec![gap_view(&container, gap(10, None))] });
        assert_eq!(lines[0], "CONTAINER    RANGE  FROM                  UNTIL  REASON");
        assert_eq!(lines[1], "shop/orders  [,20)  1970-01-01T00:00:10Z  open   away");
        assert_eq!(text(&View { gaps: Vec::new() }), ["no gaps"]);
    }
}
