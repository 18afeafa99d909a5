#!/usr/bin/env bash
# Makes the folder from which deploy/Dockerfile.prebuilt builds: the static program, the CA roots and an empty tmp.
#
# usage: deploy/image-context.sh FOLDER PROGRAM [CA_ROOTS]
#
# FOLDER must not exist. PROGRAM is a static build; a dynamic one is refused, because an image without libraries cannot run it.
# CA_ROOTS is a PEM file, by default this machine's.
set -euo pipefail

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: deploy/image-context.sh FOLDER PROGRAM [CA_ROOTS]" >&2
    exit 2
fi
readonly folder=$1 program=$2 roots=${3:-/etc/ssl/certs/ca-certificates.crt}

if [ ! -s "$roots" ]; then
    echo "$roots is missing or empty: install ca-certificates, or name another file" >&2
    exit 2
fi
if ! file --brief "$program" | grep -qE 'static-pie linked|statically linked'; then
    echo "$program is not a static program: build it with RUSTFLAGS=\"-C target-feature=+crt-static\" and --target" >&2
    exit 2
fi
mkdir "$folder"
install -d -m 0755 "$folder/etc" "$folder/etc/ssl" "$folder/etc/ssl/certs"
install -d -m 1777 "$folder/tmp"
install -m 0755 "$program" "$folder/cosmirror"
install -m 0644 "$roots" "$folder/etc/ssl/certs/ca-certificates.crt"
