# What the scripts of this folder share: packages, tools and Python modules. Sourced, not run.
# shellcheck shell=bash

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Installs Debian packages that are not installed yet.
install_packages() {
    local missing=() package
    for package in "$@"; do
        if ! dpkg-query --show --showformat='${Status}\n' "$package" 2>/dev/null | grep -q ' installed$'; then
            missing+=("$package")
        fi
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
}

# Prints where promtool is: taken out of Debian's package of prometheus, which would start a server if it were installed.
promtool_of_package() {
    local place="$1/prometheus"
    if [ ! -x "$place/usr/bin/promtool" ]; then
        rm -rf "$place"
        mkdir -p "$place"
        as_root apt-get update -qq >&2
        (cd "$place" && apt-get download -qq prometheus 2>/dev/null && dpkg-deb --extract prometheus_*.deb .) >&2
    fi
    echo "$place/usr/bin/promtool"
}

# Prints the interpreter of a virtual environment with the modules of a requirements file; one that was finished is used again.
python_with() {
    local folder=$1 requirements=$2 made_from place unfinished
    made_from=$(cat "$requirements" <(python3 --version) | sha256sum | cut -c1-16)
    place="$folder/python-$made_from"
    if [ ! -d "$place" ]; then
        unfinished="$folder/unfinished-$$"
        rm -rf "$unfinished"
        mkdir -p "$folder"
        python3 -m venv "$unfinished" >&2
        "$unfinished/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements" >&2
        mv -T "$unfinished" "$place" 2>/dev/null || rm -rf "$unfinished"
    fi
    echo "$place/bin/python"
}
