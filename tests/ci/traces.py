#!/usr/bin/env python3
"""Checks that no file tells on which machine it was written: no home or work directories, no choice of a registry.

Looks at every file that is tracked, and at those that would be with the next `git add`.
"""

import re
import subprocess
import sys

# A path that begins here, not a part of a longer one or of a URL.
DIRECTORY = re.compile(r"(?<![\w./~*:<>-])/(?:root|work|workspaces?|home/[\w.-]+|Users/[\w.-]+)(?![\w.-])")
# Settings that send a package manager somewhere else.
SETTING = re.compile(
    r"replace-with\s*=|\bextra-index-url\b|\bindex-url\s*=|^\s*registry\s*=\s*\"?(?:https?|sparse)|\bGOPROXY\s*=", re.MULTILINE
)
# These lines hold the patterns themselves.
SELF = "tests/ci/traces.py"


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, stdout=subprocess.PIPE
    )
    faults, files = [], 0
    for name in sorted(set(listed.stdout.decode().split("\0")) - {"", SELF}):
        try:
            with open(name, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            # It was removed and that is not committed yet.
            continue
        except UnicodeDecodeError:
            # An image has no paths that a person wrote.
            continue
        files += 1
        faults += faults_of(name, text)
    for fault in faults:
        print(f"traces: {fault}")
    print(f"traces: {files} files, {len(faults)} faults")
    return 1 if faults or not files else 0


def faults_of(name: str, text: str) -> list:
    def at(match: re.Match) -> str:
        return f"{name}:{text.count(chr(10), 0, match.start()) + 1}"

    faults = [f"{at(match)} names a directory of one machine: {match[0]}" for match in DIRECTORY.finditer(text)]
    faults += [f"{at(match)} chooses a registry: {match[0].strip()}" for match in SETTING.finditer(text)]
    return faults


if __name__ == "__main__":
    sys.exit(main())
