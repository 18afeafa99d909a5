//! `diff`: what changed in a document between two of its versions, two instants, or the mirror and the container.
//!
//! | step | file |
//! |---|---|
//! | the two states that are compared | `cli/diff/side.rs` |
//! | the comparison (pure) | `diff.rs` |
//! | the answer in each form | `cli/diff/view.rs` |
//!
//! Ends with 0 where both are equal and with 1 where they differ. A failure that ends with 1 as well has an error on standard error and
//! nothing on standard output.

use super::Context;
use super::args::DiffArgs;
use super::history::{key_or_only, open_mirror};
use super::look::covered;
use super::output::Format;
use crate::diff::{Document, Unreadable, changes, patch};
use crate::failure::{CommandError, Exit};
use crate::history::client_text;

mod side;
mod view;

use side::{Side, Sides};
use view::View;

/// Runs the command.
pub(super) async fn run(args: &DiffArgs, context: &Context) -> Result<(), CommandError> {
    let container = context.source_container(&args.source)?;
    let mirror = open_mirror(context, container).await?;
    let key = key_or_only(&mirror, args.key.key(), &args.id).await?;
    let history = mirror.history(&key, &args.id).await?;
    if history.is_empty() {
        return Err(mirror.not_found(&key, &args.id).await);
    }
    let live = || crate::run::open_documents(&context.config.config.source, &container.database, &container.container);
    let asked = side::both(&history, (args.from.as_deref(), args.to.as_deref()))?;
    let (mirror, history) = covered(mirror, history, &side::instants(asked)).await?;
    let sides = side::sides(&mirror, &history, asked, live).await?;
    let texts = [text(&sides.from, &args.id, args.system)?, text(&sides.to, &args.id, args.system)?];
    let [from, to] = [document(&texts[0], &sides.from, &args.id)?, document(&texts[1], &sides.to, &args.id)?];
    let view = View::new(&history, &sides, [from.as_ref(), to.as_ref()], changes(from.as_ref(), to.as_ref()));
    show(&view, context)?;
    if view.equal { Ok(()) } else { Err(CommandError::new(Exit::Failure, "", "")) }
}

fn show(view: &View<'_>, context: &Context) -> Result<(), CommandError> {
    let output = &context.output;
    if output.format != Format::Text {
        view.notes.iter().for_each(|note| tracing::warn!("{note}"));
    }
    match output.format {
        Format::Json => output.json(view),
        Format::Ndjson => view.changes.iter().try_for_each(|change| output.json(change)),
        Format::JsonPatch => {
            let patch = patch(&view.patch);
            output.line(patch.map_err(|error| CommandError::new(Exit::Failure, error.to_string(), ""))?.get())
        }
        Format::Text => view.text().iter().try_for_each(|line| output.line(line)),
    }
}

/// The text that is compared; none where there is no document.
fn text(side: &Side<'_>, id: &str, system: bool) -> Result<Option<String>, CommandError> {
    let Some(bytes) = &side.bytes else { return Ok(None) };
    let bytes = if system { bytes.clone() } else { client_text(bytes, &side.named(id))? };
    let text = String::from_utf8(bytes.to_vec());
    text.map(Some).map_err(|_| CommandError::new(Exit::Integrity, format!("{} is not UTF-8", side.named(id)), RAW))
}

fn document<'a>(text: &'a Option<String>, side: &Side<'_>, id: &str) -> Result<Option<Document<'a>>, CommandError> {
    let document = text.as_deref().map(Document::parse).transpose();
    document.map_err(|error| {
        let exit = match error {
            Unreadable::Syntax { .. } => Exit::Integrity,
            Unreadable::TooDeep => Exit::Limit,
        };
        CommandError::new(exit, format!("{} cannot be compared: {error}", side.named(id)), RAW)
    })
}

const RAW: &str = "compare the bytes: `cosmirror show --raw` writes them";

#[cfg(test)]
mod tests;
