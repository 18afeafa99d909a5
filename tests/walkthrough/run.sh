#!/usr/bin/env bash
# Follows the first ten minutes of docs/operations.md; see walk.py beside it.
#
# usage: tests/walkthrough/run.sh PROGRAM
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
program=$(realpath "$1")
# shellcheck source=tests/deploy/support.sh
source "$here/../deploy/support.sh"

install_packages curl
promtool=$(promtool_of_package "${XDG_CACHE_HOME:-$HOME/.cache}/cosmirror-deploy")
PATH="$(dirname "$promtool"):$PATH" python3 "$here/walk.py" "$program"
