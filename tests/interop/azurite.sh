#!/usr/bin/env bash
# Starts the emulator and Azurite on free ports, compares them with azurite.py, and ends both.
# COSMIRROR_BIN names the binary (default: the debug build in the target folder).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cosmirror-interop/azurite-3.37.0
binary=${COSMIRROR_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/debug/cosmirror}

if ! command -v node npm python3 >/dev/null; then
  echo "azurite.sh needs node, npm and python3"
  # A machine of CI has them; elsewhere the comparison is left out.
  [[ ${CI:-} == true ]] && exit 1
  exit 0
fi
if [[ ! -x $cache/node_modules/.bin/azurite-blob ]]; then
  mkdir -p "$cache"
  (cd "$cache" && npm init -y >/dev/null && npm install --no-audit --no-fund --silent node@22 azurite@3.37.0)
fi

scratch=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap finish EXIT

"$binary" -o json emulator --cosmos 127.0.0.1:0 --blob 127.0.0.1:0 >"$scratch/emulator" 2>"$scratch/emulator.log" &
pids+=($!)
# Azurite does not say which port it took when it may choose, so one is chosen for it.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cd "$scratch"
"$cache/node_modules/.bin/node" "$cache/node_modules/azurite/dist/src/blob/main.js" --blobHost 127.0.0.1 --blobPort "$port" \
  --inMemoryPersistence --disableTelemetry --silent >"$scratch/azurite" 2>&1 &
pids+=($!)

# Waits until a line is there or the process that should write it has ended.
await() {
  until grep -q "$2" "$1"; do
    kill -0 "$3" 2>/dev/null || { cat "$1"*; exit 1; }
    read -rt 0.1 <> <(:) || true
  done
}
await "$scratch/emulator" '"blob"' "${pids[0]}"
await "$scratch/azurite" 'successfully listen' "${pids[1]}"

address() { python3 -c 'import json, sys; print(json.loads(open(sys.argv[1]).readline())[sys.argv[2]])' "$scratch/emulator" "$1"; }
PYTHONDONTWRITEBYTECODE=1 python3 "$here/azurite.py" "$(address cosmos)" "$(address blob)" "http://127.0.0.1:$port" "$@"
