//! What `--from` and `--to` say.
//!
//! What is named by the very name of one of the document's versions is that version, even though names of versions may look like
//! instants; `live` is the document in the container; everything else is an instant.

use crate::cli::args;
use crate::failure::{CommandError, Exit};
use crate::history::DocumentHistory;
use crate::look::Which;
use crate::look::side::{Asked, Both};

/// What `--from` and `--to` say.
pub(super) fn both<'t>(
    history: &DocumentHistory,
    (from, to): (Option<&'t str>, Option<&'t str>),
) -> Result<Both<'t>, CommandError> {
    let from = from.map(|text| asked(history, "--from", text)).transpose()?;
    Ok((from, to.map(|text| asked(history, "--to", text)).transpose()?))
}

/// The instants that are asked for.
pub(super) fn instants((from, to): Both<'_>) -> Vec<i64> {
    let instant = |asked| if let Asked::Mirror(Which::At(at)) = asked { Some(at) } else { None };
    from.into_iter().chain(to).filter_map(instant).collect()
}

fn asked<'t>(history: &DocumentHistory, flag: &str, text: &'t str) -> Result<Asked<'t>, CommandError> {
    if text == "live" {
        return Ok(Asked::Live);
    }
    if history.version(text).is_some() {
        return Ok(Asked::Mirror(Which::Version(text)));
    }
    match args::instant(text) {
        Ok(instant) => Ok(Asked::Mirror(Which::At(instant.as_second()))),
        // No version's name begins like this.
        Err(fault) if text.starts_with('-') => {
            Err(CommandError::new(Exit::Usage, format!("{flag} {text}: {fault}"), "write it as -2h or -90s"))
        }
        Err(_) => Err(CommandError::new(
            Exit::NotFound,
            format!("{flag}: document {:?} has no version {text:?}", history.id),
            "name one that `cosmirror history` lists, an instant (RFC 3339, or relative such as -2h), or live",
        )),
    }
}
