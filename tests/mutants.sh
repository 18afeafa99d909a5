#!/usr/bin/env bash
# Shows that the simulation looks: without what keeps a promise, its oracle must find it broken.
#
# usage: tests/mutants.sh
#
# The tracked files are copied beside the target folder. Each mutant is one line put into the copy, which does something only where
# COSMIRROR_MUTANT names it, so that all are built at once. The test that passes as the code stands must fail with it, by the oracle's
# word. Environment: CARGO_TARGET_DIR.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/cosmirror-target}"
readonly COPY="${CARGO_TARGET_DIR%/}-mutants"
readonly TESTS="run::simulation::"

copy_tracked_files() {
    mkdir -p "$COPY"
    # Only what differs is written, so that the second run builds little.
    git ls-files -z | while IFS= read -r -d '' file; do
        [ -f "$file" ] || continue
        if ! cmp -s "$file" "$COPY/$file"; then
            mkdir -p "$COPY/$(dirname "$file")"
            cp "$file" "$COPY/$file"
        fi
    done
    # What is not tracked any more must not be built.
    (cd "$COPY" && find src crates -name '*.rs' -print0) | while IFS= read -r -d '' file; do
        [ -f "$file" ] || rm -f "$COPY/$file"
    done
}

# Puts a line behind the one line of a file that equals another.
insert_behind() {
    python3 - "$1" "$2" "$3" <<'PYTHON'
import sys

path, place, line = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    lines = file.read().split("\n")
found = [number for number, text in enumerate(lines) if text.strip() == place]
if len(found) != 1:
    sys.exit(f"{path}: {len(found)} lines are {place!r}, one was expected: the mutant must be written anew")
lines.insert(found[0] + 1, line)
with open(path, "w", encoding="utf-8") as file:
    file.write("\n".join(lines))
PYTHON
}

# usage: run_test FOLDER TEST [CARGO ARGUMENT…]
run_test() {
    local folder=$1 test=$2
    shift 2
    (cd "$folder" && cargo test --locked --quiet "$@" -p cosmirror --lib "$TESTS$test" -- --exact) 2>&1
}

require_passing() {
    local test=$1 report
    if ! report=$(run_test "$PWD" "$test") || ! grep -q '^test result: ok. 1 passed' <<<"$report"; then
        printf '%s\n' "$report" | tail -n 40
        echo "the test does not pass as the code stands: $test"
        exit 1
    fi
    echo "passes as the code stands: $test"
}

# usage: require_failing MUTANT TEST FINDING
require_failing() {
    local mutant=$1 test=$2 finding=$3 report outcome=0
    # Cargo tells packages of one target folder apart by their settings, not by where they lie: without a setting of its own, the
    # mutant would be taken for the program.
    report=$(COSMIRROR_MUTANT=$mutant run_test "$COPY" "$test" --config profile.dev.package.cosmirror.codegen-units=199) || outcome=$?
    if [ "$outcome" -eq 0 ] || ! grep -qF "$finding" <<<"$report"; then
        printf '%s\n' "$report" | tail -n 40
        echo "the oracle did not find what it should: $test"
        exit 1
    fi
    grep -F "$finding" <<<"$report" | grep '^seed' | head -n 1
    echo "found: the mutant \"$mutant\""
}

copy_tracked_files
insert_behind "$COPY/src/mirror/guard.rs" "pub fn is_open(&self) -> bool {" \
    '        if std::env::var_os("COSMIRROR_MUTANT").is_some_and(|mutant| mutant == "no-fence") { return true; }'
insert_behind "$COPY/src/mirror/flow.rs" "let newest_only = mode == FeedMode::LatestVersion && !from_beginning;" \
    '        let newest_only = newest_only && std::env::var_os("COSMIRROR_MUTANT").is_none_or(|mutant| mutant != "all-known");'

readonly FENCE=an_owner_begins_no_write_after_its_lease_may_have_run_out
readonly INSTANTS=no_instant_is_answered_for_before_everything_that_was_overwritten_is_known
require_passing "$FENCE"
require_passing "$INSTANTS"
require_failing no-fence "$FENCE" "the fence: "
require_failing all-known "$INSTANTS" "can be asked for, but"
