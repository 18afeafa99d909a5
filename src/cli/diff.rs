//! `diff`: what changed in a document between two of its versions, two instants, or the mirror and the container.
//!
//! | step | file |
//! |---|---|
//! | what `--from` and `--to` say | `cli/diff/asked.rs` |
//! | the two states that are compared | `look/side.rs` |
//! | the comparison (pure) | `diff.rs` |
//! | the answer in each form | `look/difference.rs` |
//!
//! Ends with 0 where both are equal and with 1 where they differ. A failure that ends with 1 as well has an error on standard error and
//! nothing on standard output.

use super::Context;
use super::args::DiffArgs;
use super::history::{key_or_only, open_mirror};
use super::output::Format;
use crate::diff::{changes, patch};
use crate::failure::{CommandError, Exit};
use crate::look::covered;
use crate::look::difference::{View, document, text};
use crate::look::side::{self, Asked};

mod asked;

/// Runs the command.
pub(super) async fn run(args: &DiffArgs, context: &Context) -> Result<(), CommandError> {
    let container = context.source_container(&args.source)?;
    let mirror = open_mirror(context, container, &args.identity.read()?).await?;
    let key = key_or_only(&mirror, args.key.key(), &args.id).await?;
    let history = mirror.history(&key, &args.id).await?;
    if history.is_empty() {
        return Err(mirror.not_found(&key, &args.id).await);
    }
    let asked = asked::both(&history, (args.from.as_deref(), args.to.as_deref()))?;
    let live = [asked.0, asked.1].contains(&Some(Asked::Live));
    let account = if live { context.account()? } else { &context.config.config.source };
    let live = || crate::run::open_documents(account, &container.database, &container.container);
    let (mirror, history) = covered(mirror, history, &asked::instants(asked)).await?;
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

#[cfg(test)]
mod tests;
