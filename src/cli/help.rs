//! What `--help` says beneath the options: examples, and the exit codes that mean something special.
//!
//! Every example is a line that begins with `cosmirror`; a test reads each with the real parser.

/// Beneath the list of commands.
pub(super) const TOP: &str = "\
Begin here:
  cosmirror demo                      everything in one process, without an account in the cloud
  cosmirror -c my.toml config show    the settings in force, and where each comes from
  cosmirror -c my.toml check          whether accounts, rights and settings will do
  cosmirror -c my.toml run            follow, until SIGTERM
  cosmirror -c my.toml status         up to which second everything can be restored

With the configuration and the account lost, --mirror stands in place of a configuration (docs/restore.md).

Exit codes:
    0  done                               7  conflict: the store changed since the plan
    1  failure; for diff: they differ     8  a limit was reached; run again to go on
    2  usage or configuration            10  document, version, container or mirror not found
    3  some items failed                 11  a lease or lock is held elsewhere
    4  drift, or behind the limit        12  not authorized
    5  the instant is not covered       130  cancelled
    6  integrity mismatch                    any other number is a failure

Settings come from the file, the environment (COSMIRROR__SECTION__KEY) and --set, each stronger than the one before.";

/// `run`.
pub(super) const RUN: &str = "\
Examples:
  cosmirror -c my.toml run
  cosmirror -c my.toml run --once           catch up, store everything, end with 0
  cosmirror -c my.toml run --once --reconcile

SIGTERM or SIGINT saves the positions and releases the leases; give it 30 s. Any number of processes with the same \
configuration share the work. Ends with 2 where a setting of an account makes it impossible (versioning off, feed not \
enabled, port taken), 10 where a container is missing, 12 where a credential is refused.";

/// `demo`.
#[cfg(feature = "emulator")]
pub(super) const DEMO: &str = "\
Examples:
  cosmirror demo
  cosmirror demo --documents people.json --id passport --pk country

It prints the addresses, the path of a configuration file, and commands to try in another terminal.";

/// `check`.
pub(super) const CHECK: &str = "\
Examples:
  cosmirror -c my.toml check
  cosmirror -c my.toml check --offline
  cosmirror -c my.toml -o json check --sample 10m

Nothing is created and nothing of yours is changed. Ends with 1 where something failed, with 0 where there are only \
warnings. docs/operations.md lists everything that can be found, under \"Checking before the first write\".";

/// `status`.
pub(super) const STATUS: &str = "\
Examples:
  cosmirror -c my.toml status
  cosmirror -c my.toml status --watch --source shop/orders
  cosmirror -c my.toml status --max-lag 5m -o json

It reads the leases, the feed and the mirror itself, so it also works without a daemon. Ends with 4 where a container is \
further behind than --max-lag.";

/// `history`.
pub(super) const HISTORY: &str = "\
Examples:
  cosmirror -c my.toml history order-7 --pk customer-1
  cosmirror -c my.toml history order-7 --pk-json '[1, null]' -o json

Ends with 10 where the mirror has no such document; the remedy names the keys under which it has one of that id.";

/// `show`.
pub(super) const SHOW: &str = "\
Examples:
  cosmirror -c my.toml show order-7 --pk customer-1
  cosmirror -c my.toml show order-7 --pk customer-1 --at -2h
  cosmirror -c my.toml show order-7 --pk customer-1 --at 2026-11-20T14:05:00Z --raw

Ends with 5 where the mirror does not cover the instant, with 10 where there was no such document then, with 12 where it is \
encrypted and no --identity opens it.";

/// `diff`.
pub(super) const DIFF: &str = "\
Examples:
  cosmirror -c my.toml diff order-7 --pk customer-1
  cosmirror -c my.toml diff order-7 --pk customer-1 --from -2h --to live
  cosmirror -c my.toml diff order-7 --pk customer-1 --to live -o json-patch

Ends with 0 where the two are equal and with 1, without an error, where they differ.";

/// `restore`.
pub(super) const RESTORE: &str = "\
Examples:
  cosmirror -c my.toml restore --id order-7 --pk customer-1 --at -2h --dry-run
  cosmirror -c my.toml restore --all --at 2026-11-20T14:05:00Z --delete-extra
  cosmirror -c my.toml restore --where 'c.status = \"lost\"' --at -1d --into shop/rescued --create
  cosmirror -c my.toml restore plan --changed-between -2h.. -f deployment.plan
  cosmirror --mirror URL restore --all --at -1d --into shop/orders --create --account URL

It plans, asks, applies and verifies; what it overwrote is kept in an undo file. Ends with 3 where some documents failed, \
5 where the instant is not covered, 7 where documents changed since the plan and were left alone, 12 where content is \
encrypted and no --identity opens it; nothing was written then.";

/// `rehearse`.
pub(super) const REHEARSE: &str = "\
Examples:
  cosmirror -c my.toml rehearse --into rehearsals/orders --clean
  cosmirror -c my.toml rehearse --into rehearsals/orders --sample 1% --clean
  cosmirror -c my.toml rehearse --into rehearsals/orders --at -1d -o json

The result is recorded in the mirror, and told by status, metrics and the page. Nothing is deleted but what rehearsals wrote. \
Ends with 0 where everything is as the mirror has it, 2 where the scratch container is somebody else's, 3 where some documents could \
not be written, 4 where they differ, 6 where the mirror is damaged, 11 where another rehearsal goes on.";

/// `restore plan`.
pub(super) const RESTORE_PLAN: &str = "\
Examples:
  cosmirror -c my.toml restore plan --changed-between 2026-11-20T14:00:00Z..2026-11-20T14:05:00Z
  cosmirror -c my.toml restore plan --changed-between -2h.. -f deployment.plan
  cosmirror -c my.toml restore plan --ids orders.ndjson --at -2h

Nothing is written but the plan's file. Ends with 5 where the instant is not covered, 10 where nothing of that name is \
mirrored.";

/// `restore apply`.
pub(super) const RESTORE_APPLY: &str = "\
Examples:
  cosmirror -c my.toml restore apply deployment.plan
  cosmirror -c my.toml restore apply deployment.plan --yes --request-units-per-second 500
  cosmirror -c my.toml restore apply deployment.plan.undo

The same command again goes on where it was interrupted. Ends with 3 where some documents failed, 6 where the file was \
altered, 7 where documents changed since the plan and were left alone, 8 where --max-failures was reached.";

/// `export`.
pub(super) const EXPORT: &str = "\
Examples:
  cosmirror -c my.toml export --at -1h --out full
  cosmirror -c my.toml export --at -1h --out monday --source shop/orders --compress zstd
  cosmirror -c my.toml export --at -1h --out tuesday --since monday
  cosmirror -c my.toml export --resume --out tuesday --since monday

The files hold documents in plain text, also where the mirror is encrypted. The same command again goes on where it was \
interrupted. Ends with 3 where documents were left out because the mirror cannot tell what they were, 5 where the instant is \
not covered, 6 where something is damaged, 12 where content is encrypted and no --identity opens it.";

/// `import`.
pub(super) const IMPORT: &str = "\
Examples:
  cosmirror -c my.toml import monday tuesday --into shop/rescued --create
  cosmirror -c my.toml import monday --overwrite if-newer --dry-run
  cosmirror -c my.toml import people.ndjson --into shop/people --yes --skip-bad bad.ndjson

Every checksum and every line is looked at before anything is written, and nothing is ever deleted. The same command again \
goes on where it was interrupted. Ends with 2 where a chain or a partition key does not fit, 3 where some documents failed or \
were left out, 6 where a file is damaged or a line cannot be used, 7 where documents changed at the same moment.";

/// `gaps list`.
pub(super) const GAPS_LIST: &str = "\
Examples:
  cosmirror -c my.toml gaps list
  cosmirror -c my.toml gaps list --source shop/orders -o json";

/// `dead-letters list`.
pub(super) const DEAD_LETTERS_LIST: &str = "\
Examples:
  cosmirror -c my.toml dead-letters list --unresolved";

/// `dead-letters show`.
pub(super) const DEAD_LETTERS_SHOW: &str = "\
Examples:
  cosmirror -c my.toml dead-letters show -05C1/1526353662-8d.json
  cosmirror -c my.toml dead-letters show -05C1/1526353662-8d.json --raw";

/// `dead-letters replay`.
pub(super) const DEAD_LETTERS_REPLAY: &str = "\
Examples:
  cosmirror -c my.toml dead-letters replay --all --dry-run
  cosmirror -c my.toml dead-letters replay --all

Mend the cause first. Ends with 3 where some could not be stored.";

/// `verify`.
pub(super) const VERIFY: &str = "\
Examples:
  cosmirror -c my.toml verify
  cosmirror -c my.toml verify --mode hash --sample 5%
  cosmirror -c my.toml verify --repair
  cosmirror -c my.toml verify --against south --mode full

Ends with 4 where the mirror is not as the source, or as the one in the other target, after --repair only where that is left; with 6 where the target reports \
damage.";

/// `purge`.
pub(super) const PURGE: &str = "\
Examples:
  cosmirror -c my.toml purge order-8 --pk customer-0
  cosmirror -c my.toml purge order-8 --pk customer-0 --confirm
  cosmirror -c my.toml --target south purge order-8 --pk customer-0 --confirm

Delete the document in the source first. It takes a credential that may delete versions, which the daemon does not need. \
Ends with 3 where a policy or a legal hold keeps something, with 7 where the source still holds the document.";

/// `emulator`.
#[cfg(feature = "emulator")]
pub(super) const EMULATOR: &str = "\
Examples:
  cosmirror emulator
  cosmirror emulator --cosmos 127.0.0.1:0 --blob 127.0.0.1:0 --data emulator-data -o json

docs/emulator.md says what it answers, and how to make it misbehave.";

/// `health`.
pub(super) const HEALTH: &str = "\
Examples:
  cosmirror -c my.toml health
  cosmirror health --url 'http://127.0.0.1:9464/healthz?max_lag=5m'

Ends with 0 where the daemon answers that all is well, with 1 where it does not or nothing answers within 5 s.";

/// `config show`.
pub(super) const CONFIG_SHOW: &str = "\
Examples:
  cosmirror -c my.toml config show
  cosmirror --set source.poll_interval=2s config show -o json";

/// `completions`.
pub(super) const COMPLETIONS: &str = "\
Examples:
  cosmirror completions bash
  cosmirror completions zsh
  cosmirror completions fish

Write it to where your shell looks: ~/.local/share/bash-completion/completions/cosmirror, a directory of zsh's fpath as \
_cosmirror, ~/.config/fish/completions/cosmirror.fish; or source it.";

/// `man`.
pub(super) const MAN: &str = "\
Examples:
  cosmirror man
  cosmirror man --out ~/.local/share/man/man1

Without --out the main page goes to standard output: `cosmirror man | man -l -` shows it.";

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{Command, CommandFactory as _};

    use crate::cli::{Cli, parse};

    /// What help is made for where no terminal tells its width.
    const WIDTH: usize = 100;

    /// The words of a line as a shell reads it: parted by spaces, with single quotes around some.
    fn words(line: &str) -> Vec<OsString> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
        }
        words.into_iter().filter(|word| !word.is_empty()).map(OsString::from).collect()
    }

    /// The examples of a text; what stands behind two spaces says what one does.
    fn examples(text: &str) -> Vec<&str> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("  cosmirror "));
        lines.map(|line| line.split("  ").next().unwrap()).collect()
    }

    fn walk(command: &Command, path: &str, look: &mut impl FnMut(&Command, &str)) {
        look(command, path);
        for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
            walk(child, format!("{path} {}", child.get_name()).trim(), look);
        }
    }

    #[test]
    fn every_command_has_examples_of_itself_and_each_can_be_read() {
        walk(&Cli::command(), "", &mut |command, path| {
            let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let examples = examples(&text);
            assert!(command.has_subcommands() || examples.iter().any(|line| line.contains(path)), "{path}: {text}");
            for example in examples {
                let line = words(&format!("cosmirror {example}"));
                assert!(parse(line).is_ok(), "{path}: {example}: {:?}", parse(words(&format!("cosmirror {example}"))));
            }
            // Of what is not prose nothing is broken where no terminal tells its width.
            let whole = |line: &str| !line.starts_with("  ") || line.chars().count() <= WIDTH;
            assert!(text.lines().all(whole), "{path}: {text}");
        });
    }
}
