#!/usr/bin/env bash
# Builds the static program that the image holds, then the image, and uses it: tests/deploy/image.py tells how.
#
# usage: tests/deploy/image.sh EMULATOR_PROGRAM
#
# Needs Debian's or Ubuntu's packages, which it installs, and root, itself or by sudo. The flag goes to the explicit target alone, so that
# procedural macros, which are shared objects, are built as ever; the standard library of the host's target comes with the toolchain.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
# shellcheck source=tests/deploy/support.sh
source "$here/support.sh"

if [ $# -ne 1 ]; then
    echo "usage: tests/deploy/image.sh EMULATOR_PROGRAM" >&2
    exit 2
fi

install_packages buildah binutils ca-certificates file openssl strace systemd
# What the build of deploy/Dockerfile gets to see is a whole workspace.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
(
    cd "$here/../.."
    sed -n 's/^!//p' .dockerignore | xargs cp --recursive --parents --target-directory "$context"
    cd "$context"
    cargo metadata --locked --format-version 1 --manifest-path "$context/Cargo.toml" >/dev/null
)

target=$(rustc -vV | sed -n 's/^host: //p')
started=$(date +%s)
(cd "$here/../.." && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --profile image --locked --quiet --no-default-features --target "$target")
echo "the static program was built in $(($(date +%s) - started)) s"
as_root env PYTHONDONTWRITEBYTECODE=1 python3 "$here/image.py" "$CARGO_TARGET_DIR/$target/image/cosmirror" "$1"
