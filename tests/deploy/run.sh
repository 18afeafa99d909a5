#!/usr/bin/env bash
# Checks everything in deploy/ that can be checked without a cloud, a cluster or a registry: alerts, dashboard, chart, Bicep, compose file
# and systemd unit, and the shell scripts around them.
#
# usage: tests/deploy/run.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly COMPOSE_VERSION=1.29.2
readonly cache="${XDG_CACHE_HOME:-$HOME/.cache}/cosmirror-deploy"
# shellcheck source=tests/deploy/support.sh
source "$here/support.sh"

install_packages shellcheck systemd python3-venv golang-go golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev
mkdir -p "$cache"
promtool=$(promtool_of_package "$cache")
python=$(python_with "$cache" "$here/requirements.txt")

cd "$here/../.."
shellcheck --external-sources .ci/run deploy/*.sh tests/deploy/*.sh
"$python" "$here/alerts.py" "$promtool"
(cd "$here/render" && GO111MODULE=off GOPATH=/usr/share/gocode go build -o "$cache/render" .)
"$python" "$here/chart.py" "$cache/render"
wheel="$cache/docker_compose-$COMPOSE_VERSION-py2.py3-none-any.whl"
if [ ! -f "$wheel" ]; then
    # For its schema; it is not installed.
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$cache" "docker-compose==$COMPOSE_VERSION"
fi
"$python" "$here/compose.py" "$wheel"
"$python" "$here/bicep.py"
bash "$here/unit.sh"
