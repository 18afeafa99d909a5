//! Asks a person before documents are changed.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::failure::{CommandError, Exit};

/// Above this many changes a slip of the finger must not be enough: the container's name has to be typed.
const CONFIRM_BY_NAME_ABOVE: u64 = 100;

/// What is asked.
pub(in crate::cli) struct Question<'a> {
    /// The container that would change, as `database/container`.
    pub(in crate::cli) source: &'a str,
    /// Its name alone.
    pub(in crate::cli) container: &'a str,
    /// What would be done.
    pub(in crate::cli) summary: &'a str,
    /// How many documents would change.
    pub(in crate::cli) changes: u64,
    /// Whether it is the mirrored container itself.
    pub(in crate::cli) in_place: bool,
}

/// Shows what would be done and returns once it was agreed to; where nobody can be asked, that is an error.
pub(in crate::cli) async fn ask(question: Question<'_>) -> Result<(), CommandError> {
    let Question { source, container, summary, changes, in_place } = question;
    if changes == 0 {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::new(
            Exit::Usage,
            format!("{changes} documents of {source} would change, and there is no terminal to ask at ({summary})"),
            "look at the counts, then pass --yes",
        ));
    }
    let by_name = in_place && changes > CONFIRM_BY_NAME_ABOVE;
    let question = if by_name {
        format!("{summary}\n{changes} documents of {source} will change. Type {container} to go on: ")
    } else {
        format!("{summary}\n{changes} documents of {source} will change. Go on? [y/N] ")
    };
    let answer = tokio::task::spawn_blocking(move || answer_to(&question)).await;
    let unreadable = |error: &dyn std::fmt::Display| {
        CommandError::new(Exit::Failure, format!("cannot read the answer: {error}"), "pass --yes")
    };
    let answer = answer.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
    if agrees(answer.trim(), container, by_name) {
        return Ok(());
    }
    Err(CommandError::new(Exit::Cancelled, "not confirmed; nothing was changed", ""))
}

/// The question goes to standard error: standard output is for data.
fn answer_to(question: &str) -> std::io::Result<String> {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(question.as_bytes())?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}

fn agrees(answer: &str, container: &str, by_name: bool) -> bool {
    if by_name { answer == container } else { matches!(answer, "y" | "Y" | "yes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_changes_take_more_than_a_letter() {
        assert!(agrees("y", "orders", false));
        assert!(!agrees("", "orders", false));
        assert!(!agrees("y", "orders", true));
        assert!(agrees("orders", "orders", true));
    }
}
