#!/usr/bin/env bash
# The acceptance run on real documents: mirrors Debian's iso-codes, changes them, and restores them. See tests/iso_codes.py.
#
# The program is $COSMIRROR_BIN, or else built here. Without the documents it is skipped, which counts as a failure where CI=true.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly DOCUMENTS=/usr/share/iso-codes/json

if [ ! -f "$DOCUMENTS/iso_639-3.json" ] || [ ! -f "$DOCUMENTS/iso_3166-2.json" ]; then
    echo "skipped: $DOCUMENTS holds no documents; install Debian's package iso-codes"
    [ "${CI:-}" != true ]
    exit
fi

if [ -z "${COSMIRROR_BIN:-}" ]; then
    cargo build -p cosmirror --locked --quiet
    COSMIRROR_BIN="${CARGO_TARGET_DIR:-target}/debug/cosmirror"
fi

# The Azure SDKs make an error for every absent header; a backtrace in each would take a third of the time.
export RUST_LIB_BACKTRACE=0
exec python3 -B tests/iso_codes.py "$COSMIRROR_BIN" "$DOCUMENTS"
