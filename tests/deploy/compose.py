#!/usr/bin/env python3
"""Holds the compose files to the compose specification's schema, and to what deploy/README.md says of them.

usage: compose.py WHEEL

The schema is taken from the wheel of docker-compose 1.29.2, the last one that carries it in a package registry. It is from 2021, so the files
keep to what it knows, but for the two keys that came later. Needs PyYAML and jsonschema.
"""

import json
import sys
import tomllib
import zipfile
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SCHEMA = "compose/config/compose_spec.json"
# Allowed by today's specification and unknown to that schema.
LATER = ("name",)
# What is not ours runs as its makers mean it.
FOREIGN = ("cosmos",)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        schema = json.loads(wheel.read(SCHEMA))
    validator = jsonschema.Draft7Validator(schema)
    faults = [] if not validator.is_valid({"services": {"x": {"imag": "y"}}}) else ["the schema takes anything"]
    files = sorted(DEPLOY.glob("compose*.yaml"))
    services = 0
    for path in files:
        file = yaml.safe_load(path.read_text())
        plain = {name: value for name, value in file.items() if name not in LATER}
        faults += [f"{path.name}: {error.json_path}: {error.message}" for error in validator.iter_errors(plain)]
        for name, service in file["services"].items():
            services += 1
            faults += [f"{path.name}, {name}: {fault}" for fault in faults_of_service(name, service, file)]
    for fault in faults:
        print(f"compose: {fault}")
    print(f"compose: {len(files)} files, {services} services, {len(faults)} faults")
    return 1 if faults or not services else 0


def faults_of_service(name: str, service: dict, file: dict) -> list:
    faults = []

    def must(condition, what):
        if not condition:
            faults.append(what)

    for port in service.get("ports", []):
        must(port.startswith("127.0.0.1:"), f"the port {port} is open to the network")
    for other in service.get("depends_on", {}):
        must(other in file["services"], f"depends on {other}, which is not there")
    mode = service.get("network_mode", "")
    if mode.startswith("service:"):
        must(mode.removeprefix("service:") in file["services"], f"shares the network of {mode}")
        must("ports" not in service, "publishes ports of a network that is another one's")
    if "build" in service:
        must((DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file(), "its Dockerfile is not there")
    if name in FOREIGN:
        return faults
    must(service.get("read_only") is True, "its root can be written")
    must(service.get("cap_drop") == ["ALL"], "it has capabilities")
    must(service.get("security_opt") == ["no-new-privileges:true"], "it may gain privileges")
    must(":" in service["image"], "its image has no tag")
    for volume in service.get("volumes", []):
        outside, inside, *options = volume.split(":")
        if outside.startswith("."):
            must((DEPLOY / outside).is_file() and options == ["ro"], f"{volume} is not there, or can be written")
        else:
            must(outside in file.get("volumes", {}), f"the volume {outside} is not declared")
        if inside.endswith(".toml") and (DEPLOY / outside).is_file():
            settings = tomllib.loads((DEPLOY / outside).read_text())
            must(settings["admin"]["listen"] == "0.0.0.0:9464", "health and metrics are not where the port is published")
    if service["image"].startswith("cosmirror:"):
        must(any(entry.startswith("/tmp") for entry in service.get("tmpfs", [])), "it has no /tmp")
        must(service["healthcheck"]["test"][:3] == ["CMD", "/cosmirror", "health"], "its health is asked by what it does not have")
        must("mem_limit" in service, "its memory has no limit")
    if service.get("command") == ["run"]:
        must(int(service["stop_grace_period"].removesuffix("s")) >= 30, "it has no time for draining")
    return faults


if __name__ == "__main__":
    sys.exit(main())
