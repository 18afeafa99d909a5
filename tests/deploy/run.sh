#!/usr/bin/env bash
# Checks everything in deploy/ that can be checked without a cloud, a cluster or a registry: alerts, dashboard, chart, Bicep, compose file
# and systemd unit, and the shell scripts around them.
#
# usage: tests/deploy/run.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache="${XDG_CACHE_HOME:-$HOME/.cache}/cosmirror-deploy"
# shellcheck source=tests/deploy/support.sh
source "$here/support.sh"

install_packages shellcheck systemd python3-venv
mkdir -p "$cache"
promtool=$(promtool_of_package "$cache")
python=$(python_with "$cache" "$here/requirements.txt")

cd "$here/../.."
shellcheck --external-sources .ci/run deploy/*.sh tests/deploy/*.sh
"$python" "$here/alerts.py" "$promtool"
"$python" "$here/chart.py"
"$python" "$here/compose.py"
"$python" "$here/bicep.py"
bash "$here/unit.sh"
