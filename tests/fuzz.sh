#!/usr/bin/env bash
# Runs every fuzz target of crates/formats/fuzz for a short while, beginning with its seeds and with what earlier runs found.
#
# usage: tests/fuzz.sh [SECONDS] [TARGET…]     SECONDS for each target, 20 if not given
#
# Needs no nightly toolchain: without a sanitizer, coverage instrumentation is all there is. cargo-fuzz is installed if missing.
# Programs, grown corpora and findings are below $CARGO_TARGET_DIR/fuzz; nothing is written into the checkout.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly CARGO_FUZZ=0.13.2 INPUT_BYTES_MAX=4096 INPUT_SECONDS_MAX=5 MEMORY_MB_MAX=1024
seconds=${1:-20}
shift || true

root=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
unset CARGO_TARGET_DIR
fuzz=$root/cargo-fuzz-$CARGO_FUZZ/bin/cargo-fuzz
if [ ! -x "$fuzz" ]; then
    cargo install cargo-fuzz --locked --quiet --version "$CARGO_FUZZ" --target-dir "$root/tools" --root "${fuzz%/bin/*}"
    rm -rf "$root/tools"
fi

cd crates/formats
# cargo-fuzz would change a lock file without a word.
cargo metadata --manifest-path fuzz/Cargo.toml --locked --format-version 1 >/dev/null
host=$(rustc -vV | sed -n 's/^host: //p')
"$fuzz" build --sanitizer none --debug-assertions --target "$host" --target-dir "$root/target"

targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
    mapfile -t targets < <("$fuzz" list)
fi
report=$(mktemp)
trap 'rm -f "$report"' EXIT
ran=0 total=0
for target in "${targets[@]}"; do
    grown=$root/corpus/$target
    mkdir -p "$grown" "$root/artifacts"
    outcome=0
    "$root/target/$host/release/$target" "$grown" "fuzz/seeds/$target" -max_total_time="$seconds" -max_len="$INPUT_BYTES_MAX" \
        -timeout="$INPUT_SECONDS_MAX" -rss_limit_mb="$MEMORY_MB_MAX" -artifact_prefix="$root/artifacts/$target-" \
        -print_final_stats=1 >"$report" 2>&1 || outcome=$?
    inputs=$(awk '/^stat::number_of_executed_units:/ { print $2 }' "$report")
    if [ "$outcome" -ne 0 ]; then
        tail -n 60 "$report"
        echo "$target: failed; what it was given stands above and in $root/artifacts"
        exit 1
    fi
    if [ "${inputs:-0}" -eq 0 ]; then
        echo "$target: no input was executed"
        exit 1
    fi
    ran=$((ran + 1)) total=$((total + inputs))
    echo "$target: $inputs inputs, $(find "$grown" -type f | wc -l) kept"
done
echo "$ran targets, $total inputs"
[ "$ran" -gt 0 ]
