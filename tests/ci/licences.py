#!/usr/bin/env python3
"""Checks licences and duplicate versions of all dependencies against deny.toml.

A package passes when its SPDX expression can be satisfied with the licences under [licenses] allow. A name with several
versions passes when all but one of them are listed under [bans] skip; an entry there that matches nothing is a fault too.
Of what only the fuzz package, which has a lock file of its own, and the feature "otel" bring, licences are checked and duplicates
are not, because nothing of it is shipped.
"""

import collections
import json
import re
import subprocess
import sys
import tomllib

WORD = re.compile(r"\(|\)|[^\s()]+")
PRODUCT, FUZZ = "Cargo.toml", "crates/formats/fuzz/Cargo.toml"
OPTIONAL = "otel"


def main() -> int:
    with open("deny.toml", "rb") as file:
        policy = tomllib.load(file)
    shipped, optional, fuzzing = {}, {}, {}
    for target in policy["graph"]["targets"]:
        shipped |= dependencies(PRODUCT, target)
        optional |= dependencies(PRODUCT, target, OPTIONAL)
        fuzzing |= dependencies(FUZZ, target)
    if not shipped or not fuzzing or not optional.keys() - shipped.keys():
        print("licences: no dependency was found; the check has looked at nothing")
        return 1
    packages = shipped | optional | fuzzing
    allowed = set(policy["licenses"]["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in policy["licenses"]["exceptions"]}
    names = {package["name"] for package in packages.values()}
    faults = [f"deny.toml excepts {name}, which is not in the graph" for name in exceptions if name not in names]
    for package in packages.values():
        faults += licence_faults(package, allowed | exceptions.get(package["name"], set()))
    faults += duplicate_faults(shipped.values(), [entry["crate"] for entry in policy["bans"]["skip"]])
    for fault in sorted(faults):
        print(f"licences: {fault}")
    print(f"licences: {len(packages)} dependencies, "
          f"{len(fuzzing.keys() - shipped.keys())} of them for fuzzing only, "
          f"{len(optional.keys() - shipped.keys())} for the feature {OPTIONAL} only, {len(faults)} faults")
    return 1 if faults else 0


def dependencies(manifest: str, target: str, *features: str) -> dict:
    """The packages that a build for the target takes from registries, by id."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target, "--manifest-path", manifest]
    command += ["--features", *features] if features else []
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    # Without a source, a package lies in this checkout.
    return {package["id"]: package for package in metadata["packages"] if package["id"] in used and package["source"]}


def licence_faults(package: dict, allowed: set) -> list:
    name = f"{package['name']} {package['version']}"
    expression = package["license"]
    if not expression:
        return [f"{name} names no licence"]
    # The slash is an older spelling of OR.
    words = WORD.findall(expression.replace("/", " OR "))
    try:
        fits, rest = alternatives(words, allowed)
    except IndexError:
        return [f"{name}: {expression!r} cannot be read"]
    if rest:
        return [f"{name}: {expression!r} cannot be read"]
    return [] if fits else [f"{name}: {expression} is not allowed by deny.toml"]


def alternatives(words: list, allowed: set) -> tuple:
    """Whether an expression joined by OR can be satisfied, and the words behind it. AND binds more tightly."""
    fits, words = conjunction(words, allowed)
    while words and words[0] == "OR":
        also, words = conjunction(words[1:], allowed)
        fits = fits or also
    return fits, words


def conjunction(words: list, allowed: set) -> tuple:
    fits, words = single(words, allowed)
    while words and words[0] == "AND":
        also, words = single(words[1:], allowed)
        fits = fits and also
    return fits, words


def single(words: list, allowed: set) -> tuple:
    if words[0] == "(":
        fits, words = alternatives(words[1:], allowed)
        if words[0] != ")":
            raise IndexError
        return fits, words[1:]
    licence, words = words[0], words[1:]
    if words and words[0] == "WITH":
        licence, words = f"{licence} WITH {words[1]}", words[2:]
    return licence in allowed, words


def duplicate_faults(packages, skipped: list) -> list:
    versions = collections.defaultdict(set)
    for package in packages:
        versions[package["name"]].add(package["version"])
    present = {f"{name}@{version}" for name, all in versions.items() for version in all}
    faults = [f"deny.toml skips {entry}, which is not in the graph" for entry in skipped if entry not in present]
    for name, all in versions.items():
        left = sorted(version for version in all if f"{name}@{version}" not in skipped)
        if len(left) > 1:
            faults.append(f"{name} is there {len(left)} times: {', '.join(left)}")
        if len(all) == 1 and not left:
            faults.append(f"deny.toml skips {name}, which has only one version")
    return faults


if __name__ == "__main__":
    sys.exit(main())
