#!/usr/bin/env bash
# Looks at the daemon's page with a real browser: Debian's Chromium without a window.
#
# usage: tests/page/run.sh [FOLDER]     with a folder, pictures of the page are made there
#
# The program is $COSMIRROR_BIN, or else the debug build of the target folder. The browser's driver is installed once into a cache and
# used again until package.json changes. Emulator and daemon are started here, on free ports, and ended by their ids. Without node or
# chromium nothing runs, which counts as a failure where CI=true.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache="${XDG_CACHE_HOME:-$HOME/.cache}/cosmirror-page"
COSMIRROR_BIN="${COSMIRROR_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/debug/cosmirror}"
export COSMIRROR_BIN
readonly SECONDS_MAX=400

for tool in node npm chromium; do
    if ! command -v "$tool" >/dev/null; then
        echo "skipped: $tool is not installed"
        [ "${CI:-}" != true ]
        exit
    fi
done
if [ ! -x "$COSMIRROR_BIN" ]; then
    echo "$COSMIRROR_BIN is not there: build it with cargo build, or name it in COSMIRROR_BIN" >&2
    exit 2
fi

# The folder is named by what it was made from; one that was not finished has another name.
made_from=$(cat "$here/package.json" <(node --version) | sha256sum | cut -c1-16)
readonly place="$cache/node-$made_from"
if [ ! -d "$place" ]; then
    unfinished="$cache/unfinished-$$"
    mkdir -p "$unfinished"
    cp "$here/package.json" "$unfinished/package.json"
    npm install --prefix "$unfinished" --no-audit --no-fund --loglevel error >&2
    mv -T "$unfinished" "$place" 2>/dev/null || rm -rf "$unfinished"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Modules are found beside a script's own path: the scripts appear beside the packages.
ln -s "$here" "$work/page"
ln -s "$place/node_modules" "$work/node_modules"
# A name under the working folder stays what it meant to the caller.
timeout "$SECONDS_MAX" node --preserve-symlinks --preserve-symlinks-main "$work/page/page.mjs" "$work" ${1:+"$(realpath -m "$1")"} </dev/null
