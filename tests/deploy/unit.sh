#!/usr/bin/env bash
# Holds the systemd unit to systemd itself: that it is well formed, with and without keys, and how exposed it is.
#
# usage: tests/deploy/unit.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly units="$here/../../deploy/systemd"
# In tenths, of 100; what is left are the network and the host's files, which it must see.
readonly EXPOSURE_MAX=15

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The verification looks for the program.
printf '#!/bin/sh\n' >"$folder/cosmirror"
chmod 0755 "$folder/cosmirror"
looked=0
for keys in no yes; do
    mkdir -p "$folder/$keys"
    sed "s|/usr/bin/cosmirror|$folder/cosmirror|" "$units/cosmirror.service" >"$folder/$keys/cosmirror.service"
    if [ "$keys" = yes ]; then
        cp -r "$units/cosmirror.service.d" "$folder/$keys/"
    fi
    said=$(systemd-analyze verify --man=no "$folder/$keys/cosmirror.service" 2>&1) || {
        echo "$said"
        exit 1
    }
    if grep -q 'cosmirror\.service' <<<"$said"; then
        echo "$said"
        exit 1
    fi
    systemd-analyze security --offline=yes --threshold="$EXPOSURE_MAX" --no-pager "$folder/$keys/cosmirror.service" >"$folder/report" || {
        grep '✗' "$folder/report" || cat "$folder/report"
        exit 1
    }
    tail -n 1 "$folder/report"
    looked=$((looked + 1))
done

# The time for draining is the program's.
drain=$(sed -n 's/^const DRAIN_DEADLINE: Duration = Duration::from_secs(\([0-9]*\));$/\1/p' "$here/../../src/run.rs")
stop=$(sed -n 's/^TimeoutStopSec=\([0-9]*\)$/\1/p' "$units/cosmirror.service")
if [ -z "$drain" ] || [ -z "$stop" ] || [ "$stop" -lt $((drain + 5)) ]; then
    echo "TimeoutStopSec=$stop leaves no time for draining, $drain s"
    exit 1
fi
echo "unit: $looked variants"
[ "$looked" -eq 2 ]
