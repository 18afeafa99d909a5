#!/usr/bin/env bash
# Starts the emulator and Azurite on free ports, compares them with azurite.py, holds the contract of a version store to Azurite
# (tests/azurite.rs), lets a daemon write into it (azurite_mirror.py), and ends both. Arguments go to azurite.py.
# COSMIRROR_BIN names the binary (default: the debug build in the target folder).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cosmirror-interop/azurite-3.37.0
binary=${COSMIRROR_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/debug/cosmirror}

for tool in node npm python3; do
  if ! command -v "$tool" >/dev/null; then
    echo "skipped: $tool is not installed"
    # A machine of CI has it; elsewhere the comparison is left out.
    [[ ${CI:-} != true ]]
    exit
  fi
done
if [[ ! -x $cache/node_modules/.bin/azurite-blob ]]; then
  mkdir -p "$cache"
  npm install --prefix "$cache" --no-audit --no-fund --loglevel error node@22 azurite@3.37.0
fi

scratch=$(mktemp -d)
cargo test --locked --quiet -p cosmirror --test azurite --no-run --manifest-path "$here/../../Cargo.toml" --message-format json \
  >"$scratch/built"

# From the start of the script, the installation and compilation left out.
SECONDS=0
readonly READY_SECONDS_MAX=60 COMPARE_SECONDS_MAX=120 CONTRACT_SECONDS_MAX=120 MIRROR_SECONDS_MAX=120

pids=()
finish() {
  # Azurite takes a moment to close; a killed job is no failure of the script.
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
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
  until grep -qs "$2" "$1"; do
    if ! kill -0 "$3" 2>/dev/null || ((SECONDS >= READY_SECONDS_MAX)); then
      echo "not ready:" && cat "$1"*
      exit 1
    fi
    read -rt 0.1 <> <(:) || true
  done
}
await "$scratch/emulator" '"blob"' "${pids[0]}"
await "$scratch/azurite" 'successfully listen' "${pids[1]}"

address() { python3 -c 'import json, sys; print(json.loads(open(sys.argv[1]).readline())[sys.argv[2]])' "$scratch/emulator" "$1"; }
# Both must be fresh for this one.
timeout "$COMPARE_SECONDS_MAX" python3 -B "$here/azurite.py" "$(address cosmos)" "$(address blob)" "http://127.0.0.1:$port" "$@"

executable() {
  python3 -c '
import json, sys
built = [json.loads(line) for line in open(sys.argv[1])]
print(next(one["executable"] for one in built if one.get("target", {}).get("name") == sys.argv[2] and one.get("executable")))' \
    "$scratch/built" azurite
}
contract=$(executable)
COSMIRROR_AZURITE="http://127.0.0.1:$port/devstoreaccount1" timeout "$CONTRACT_SECONDS_MAX" "$contract" 2>&1 | tee "$scratch/contract"
passed=$(awk '/^test result:/ { sum += $4 } END { print sum + 0 }' "$scratch/contract")
echo "$passed sentences of the contract hold on Azurite"
((passed > 0))

mkdir "$scratch/mirror"
timeout "$MIRROR_SECONDS_MAX" python3 -B "$here/azurite_mirror.py" "$(realpath "$binary")" "$(address cosmos)" \
  "http://127.0.0.1:$port/devstoreaccount1" "$scratch/mirror"
