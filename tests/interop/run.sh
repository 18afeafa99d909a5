#!/usr/bin/env bash
# Holds the emulator to Microsoft's own Python and JavaScript clients.
#
# usage: tests/interop/run.sh [cosmos|blob|all]
#
# The program is $COSMIRROR_BIN, or else the debug build of the target folder. The clients are installed once into a cache and
# used again until requirements.txt or package.json changes. Each script gets the Cosmos endpoint and the blob endpoint as its
# arguments and ends with a line "N passed, M failed". Without node or python3 nothing runs, which counts as a failure where
# CI=true.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache="${XDG_CACHE_HOME:-$HOME/.cache}/cosmirror-interop"
readonly program="${COSMIRROR_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/debug/cosmirror}"
readonly READY_SECONDS_MAX=30
# A script that hangs must not hold a machine for hours.
readonly SCRIPT_SECONDS_MAX=180

case "${1:-all}" in
    cosmos) scripts=(cosmos.py cosmos.mjs) ;;
    blob) scripts=(blob.py blob.mjs) ;;
    all) scripts=(cosmos.py cosmos.mjs blob.py blob.mjs) ;;
    *)
        echo "usage: tests/interop/run.sh [cosmos|blob|all]" >&2
        exit 2
        ;;
esac

for tool in python3 node npm; do
    if ! command -v "$tool" >/dev/null; then
        echo "skipped: $tool is not installed"
        [ "${CI:-}" != true ]
        exit
    fi
done

if [ ! -x "$program" ]; then
    echo "$program is not there: build it with cargo build, or name it in COSMIRROR_BIN" >&2
    exit 2
fi

# Folders are named by what they were made from, so that two checkouts with other versions never share one. One that was not
# finished has another name.
install() {
    local kind=$1 manifest=$2 made_from
    made_from=$(cat "$here/$manifest" <(python3 --version) <(node --version) | sha256sum | cut -c1-16)
    local place="$cache/$kind-$made_from"
    if [ ! -d "$place" ]; then
        local unfinished="$cache/unfinished-$kind-$$"
        rm -rf "$unfinished"
        mkdir -p "$unfinished"
        case "$kind" in
            python) python3 -m venv "$unfinished" &&
                "$unfinished/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/$manifest" ;;
            node) cp "$here/$manifest" "$unfinished/package.json" &&
                npm install --prefix "$unfinished" --no-audit --no-fund --loglevel error ;;
        esac >&2
        # Somebody else may have finished the same in the meantime.
        mv -T "$unfinished" "$place" 2>/dev/null || rm -rf "$unfinished"
    fi
    echo "$place"
}

python_home=$(install python requirements.txt)
node_home=$(install node package.json)

work=$(mktemp -d)
emulator=
finish() {
    if [ -n "$emulator" ]; then
        kill "$emulator" 2>/dev/null || true
        wait "$emulator" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

# Modules are found beside a script's own path: the scripts appear beside the packages.
ln -s "$here" "$work/interop"
ln -s "$node_home/node_modules" "$work/node_modules"

: >"$work/ready"
"$program" -o json emulator --cosmos 127.0.0.1:0 --blob 127.0.0.1:0 >"$work/ready" 2>"$work/log" &
emulator=$!
deadline=$((SECONDS + READY_SECONDS_MAX))
until grep -q '"cosmos"' "$work/ready"; do
    if ! kill -0 "$emulator" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
        echo "the emulator is not ready:" >&2
        cat "$work/log" >&2
        exit 1
    fi
    sleep 0.1
done
address() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/ready" "$1"
}
cosmos=$(address cosmos)
blob=$(address blob)

outcome=0
ran=0
summary=
for script in "${scripts[@]}"; do
    [ -f "$here/$script" ] || continue
    ran=$((ran + 1))
    echo "=== $script"
    started=$SECONDS
    failed=0
    case "$script" in
        *.py) command=("$python_home/bin/python" -B "$here/$script") ;;
        *.mjs) command=(node --preserve-symlinks --preserve-symlinks-main "$work/interop/$script") ;;
    esac
    timeout "$SCRIPT_SECONDS_MAX" "${command[@]}" "$cosmos" "$blob" 2>&1 | tee "$work/output" || failed=1
    # A script that checks nothing, or does not say so, has failed.
    last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$work/output" | tail -n 1 || true)
    if ! [[ "$last" =~ ^[1-9][0-9]*\ passed,\ 0\ failed$ ]]; then
        failed=1
    fi
    summary+="$script: ${last:-no result} in $((SECONDS - started)) s"$'\n'
    [ "$failed" -eq 0 ] || outcome=1
done

printf '\n%s' "$summary"
if [ "$ran" -eq 0 ]; then
    echo "there is no script to run"
    outcome=1
fi
exit "$outcome"
