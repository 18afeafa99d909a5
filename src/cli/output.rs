//! Data on standard output, errors on standard error, in the form that `-o` asks for.
//!
//! A reader that goes away (`| head`) is no failure: what comes after is dropped, and the command ends as it would have. Work that
//! writes, such as a restore, is thus never cut off in the middle by a closed pipe.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use super::table;
use crate::config::ConfigError;
use crate::failure::{CommandError, Exit};

/// Forms of a command's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// An RFC 6902 patch; `diff` only.
    JsonPatch,
}

impl Format {
    /// Whether programs read it.
    pub fn is_json(self) -> bool {
        self != Self::Text
    }
}

/// Where a command's data goes.
#[derive(Debug)]
pub struct Output {
    /// The form of the data.
    pub format: Format,
    closed: AtomicBool,
}

impl Output {
    /// To standard output.
    pub fn new(format: Format) -> Self {
        Self { format, closed: AtomicBool::new(false) }
    }

    /// Writes one line.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), CommandError> {
        self.bytes(format!("{}\n", text.as_ref()).as_bytes())
    }

    /// Writes a value as JSON on one line.
    pub fn json(&self, value: &impl Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string(value);
        self.line(text.map_err(|error| CommandError::new(Exit::Failure, format!("cannot write JSON: {error}"), ""))?)
    }

    /// Writes these bytes and nothing else.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), CommandError> {
        if self.is_closed() {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(CommandError::new(
                Exit::Failure,
                format!("cannot write to standard output: {error}"),
                "make room where it goes, or send it elsewhere",
            )),
            Ok(()) => Ok(()),
        }
    }

    /// Whether nobody reads any more; a long listing may end early.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// A configuration's faults as an error: one line for each.
impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error.to_string(), "correct the configuration")
    }
}

/// Tells standard error why the command failed, and gives the process's exit code. A code that is the answer to what was asked, as of
/// `diff`, comes without a message.
pub fn report(error: &CommandError, format: Format) -> ExitCode {
    if error.message.is_empty() {
        return ExitCode::from(error.exit as u8);
    }
    let text = if format.is_json() { error_json(error) } else { error_text(error) };
    // With nobody to tell, the exit code still says it.
    let _ = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(error.exit as u8)
}

/// Answers a command line that cannot be executed: help and version on standard output, mistakes on standard error.
pub fn answer(error: &clap::Error, wants_json: bool) -> ExitCode {
    if !error.use_stderr() || !wants_json {
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
    }
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    report(&CommandError::new(Exit::Usage, message, "see cosmirror --help"), Format::Json)
}

/// A message of several lines holds several faults; each gets a line of its own.
fn error_text(error: &CommandError) -> String {
    let mut text = String::new();
    for line in error.message.lines().filter(|line| !line.trim().is_empty()) {
        text += "error: ";
        text += &table::printable(line);
        text += "\n";
    }
    if !error.remedy.is_empty() {
        text.pop();
        text += &format!("; remedy: {}\n", table::printable(&error.remedy));
    }
    text
}

fn error_json(error: &CommandError) -> String {
    let CommandError { exit, message, remedy } = error;
    let code = exit.name();
    format!("{}\n", json!({"error": {"code": code, "exit": *exit as u8, "message": message, "remedy": remedy}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_remedy() {
        let error = CommandError::new(Exit::Usage, "the port is taken", "choose another");
        assert_eq!(error_text(&error), "error: the port is taken; remedy: choose another\n");
        let bare = CommandError::new(Exit::Failure, "it failed", "");
        assert_eq!(error_text(&bare), "error: it failed\n");
    }

    #[test]
    fn an_error_does_nothing_to_a_terminal() {
        let error = CommandError::new(Exit::NotFound, "no key [\"\u{9b}2J\"]", "the id occurs under [\"\u{202e}\"]");
        assert_eq!(error_text(&error), "error: no key [\"\\u{9b}2J\"]; remedy: the id occurs under [\"\\u{202e}\"]\n");
    }

    #[test]
    fn several_faults_are_several_lines() {
        let error = CommandError::new(Exit::Usage, "a: wrong\nb: missing", "correct them");
        assert_eq!(error_text(&error), "error: a: wrong\nerror: b: missing; remedy: correct them\n");
    }

    #[test]
    fn an_error_is_one_json_object_with_the_exit_code() {
        let error = CommandError::new(Exit::NotFound, "no such document", "look it up");
        let expected = r#"{"error":{"code":"not-found","exit":10,"message":"no such document","remedy":"look it up"}}"#;
        assert_eq!(error_json(&error), format!("{expected}\n"));
    }
}
