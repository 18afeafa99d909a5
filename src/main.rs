//! Arguments → runtime → exit code.

use std::process::ExitCode;
use std::time::Duration;

use cosmirror::cli::{self, output};
use cosmirror::failure::{CommandError, Exit};

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The allocator's settings, which it reads from a symbol of this name before anything else runs (jemalloc(3), "Tuning"); the
/// environment variable `_RJEM_MALLOC_CONF` overrules them. Two arenas instead of four for each core, each of which keeps what it has
/// freed for a while, and that for one second instead of ten: a sidecar's memory is measured at its peak.
#[cfg(not(target_env = "msvc"))]
#[expect(unsafe_code, reason = "the symbol is jemalloc's own for a pointer to a string with its end, which this is")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_SETTINGS: &[u8; 47] = b"narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

/// How long blocking calls may go on once the command has ended: a read of the terminal never returns by itself.
const BLOCKING_DEADLINE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let wants_json = asks_for_json(&arguments);
    let cli = match cli::parse(arguments) {
        Ok(cli) => cli,
        Err(answer) => return output::answer(&answer, wants_json),
    };
    let format = cli.format();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let message = format!("cannot start threads: {error}");
            return output::report(&CommandError::new(Exit::Failure, message, "raise the limit on threads"), format);
        }
    };
    let ended = runtime.block_on(cli.execute());
    runtime.shutdown_timeout(BLOCKING_DEADLINE);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::report(&error, format),
    }
}

/// Whether a command line that cannot be read asks for errors as JSON.
fn asks_for_json(arguments: &[std::ffi::OsString]) -> bool {
    let words: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let is_json = |value: &str| matches!(value, "json" | "ndjson" | "json-patch");
    let joined =
        |word: &str| ["--output=", "-o=", "-o"].iter().any(|start| word.strip_prefix(start).is_some_and(is_json));
    words.iter().any(|word| joined(word))
        || words.windows(2).any(|pair| matches!(pair[0], "-o" | "--output") && is_json(pair[1]))
}
