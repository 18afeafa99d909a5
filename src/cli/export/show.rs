//! What an export came to, for people and for programs.

use cosmirror_formats::export::{LineCounts, Manifest};
use indicatif::HumanBytes;
use serde::Serialize;

use crate::cli::Context;
use crate::cli::output::Format;
use crate::failure::{CommandError, Exit};
use crate::history::instant;

/// The contract's form of an export.
#[derive(Debug, Serialize)]
struct View<'a> {
    id: &'a str,
    at: i64,
    since: Option<&'a str>,
    out: &'a str,
    containers: Vec<ContainerView<'a>>,
}

#[derive(Debug, Serialize)]
struct ContainerView<'a> {
    database: &'a str,
    container: &'a str,
    #[serde(flatten)]
    counts: LineCounts,
    bytes: u64,
    files: usize,
}

fn view<'a>(manifest: &'a Manifest, out: &'a str) -> View<'a> {
    let containers = manifest.containers.iter().map(|container| ContainerView {
        database: &container.database,
        container: &container.container,
        counts: container.counts(),
        bytes: container.bytes(),
        files: container.files.len(),
    });
    let since = manifest.since.as_ref().map(|since| since.id.as_str());
    View { id: &manifest.id, at: manifest.at, since, out, containers: containers.collect() }
}

/// Prints it; documents that were left out make it an error.
pub(super) fn show(context: &Context, manifest: &Manifest, out: &str) -> Result<(), CommandError> {
    let view = view(manifest, out);
    match context.output.format {
        Format::Json => context.output.json(&view)?,
        Format::Ndjson => view.containers.iter().try_for_each(|container| context.output.json(container))?,
        Format::Text | Format::JsonPatch => lines(&view).iter().try_for_each(|line| context.output.line(line))?,
    }
    verdict(&view)
}

fn lines(view: &View<'_>) -> Vec<String> {
    let since = view.since.map(|since| format!(", since {since}")).unwrap_or_default();
    let mut lines = vec![format!("exported as {} into {}, as of {}{since}", view.id, view.out, instant(view.at))];
    for container in &view.containers {
        let LineCounts { documents, deletes, uncertain, unknown, damaged } = container.counts;
        lines.push(format!(
            "  {}/{}: documents {documents}, deletes {deletes}, left out: uncertain {uncertain}, unknown {unknown}, damaged {damaged}; \
             {}, files {}",
            container.database,
            container.container,
            HumanBytes(container.bytes),
            container.files
        ));
    }
    lines
}

fn verdict(view: &View<'_>) -> Result<(), CommandError> {
    let mut counts = LineCounts::default();
    view.containers.iter().for_each(|container| counts += container.counts);
    let left_out = counts.left_out();
    if left_out == 0 {
        return Ok(());
    }
    let message = format!("{left_out} documents were left out, of which the mirror cannot tell what they were");
    if counts.damaged > 0 {
        let message = format!("{message}; {} are damaged", counts.damaged);
        let remedy = "`verify --mode hash` names what is damaged; restore it from a copy of the target";
        return Err(CommandError::new(Exit::Integrity, message, remedy));
    }
    let remedy = "ask for another instant, or pass --uncertain or --unknown to say which known state to take";
    Err(CommandError::new(Exit::Partial, message, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(counts: LineCounts) -> View<'static> {
        let container = ContainerView { database: "shop", container: "orders", counts, bytes: 2_048, files: 2 };
        View { id: "x", at: 5, since: Some("w"), out: "dir", containers: vec![container] }
    }

    #[test]
    fn golden_json_and_text_of_an_export() {
        let view = view(LineCounts { documents: 3, deletes: 1, ..LineCounts::default() });
        let golden = concat!(
            r#"{"id":"x","at":5,"since":"w","out":"dir","containers":[{"database":"shop","container":"orders","#,
            r#""documents":3,"deletes":1,"uncertain":0,"unknown":0,"damaged":0,"bytes":2048,"files":2}]}"#,
        );
        assert_eq!(serde_json::to_string(&view).unwrap(), golden);
        let text = [
            "exported as x into dir, as of 1970-01-01T00:00:05Z, since w",
            "  shop/orders: documents 3, deletes 1, left out: uncertain 0, unknown 0, damaged 0; 2.00 KiB, files 2",
        ];
        assert_eq!(lines(&view), text);
        assert!(verdict(&view).is_ok());
    }

    #[test]
    fn documents_that_were_left_out_end_it_with_3_and_damaged_ones_with_6() {
        let exit = |counts| verdict(&view(counts)).unwrap_err().exit;
        assert_eq!(exit(LineCounts { uncertain: 1, ..LineCounts::default() }), Exit::Partial);
        assert_eq!(exit(LineCounts { unknown: 1, ..LineCounts::default() }), Exit::Partial);
        assert_eq!(exit(LineCounts { uncertain: 1, damaged: 1, ..LineCounts::default() }), Exit::Integrity);
    }
}
