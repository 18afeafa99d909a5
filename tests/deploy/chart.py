#!/usr/bin/env python3
"""Holds the Helm chart to Kubernetes, to its own schema, and to the manifests that are kept beside it.

usage: chart.py RENDERER [--update]

Each file in deploy/helm/values is rendered (tests/deploy/render, the template engine that Helm uses) and compared with the file of the same
name in deploy/helm/expected; `--update` writes those. Manifests, and the examples, are validated with the schemas of Kubernetes; the custom
ones, of which no schema can be had, by what is known of them. Needs PyYAML, jsonschema and kubernetes-validate.
"""

import difflib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
HELM = ROOT / "deploy/helm"
CHART = HELM / "cosmirror"
# The oldest that the chart admits of those whose schemas are there, and the newest.
VERSIONS = ("1.25", None)
DRAIN = re.compile(r"^const DRAIN_DEADLINE: Duration = Duration::from_secs\((\d+)\);$", re.MULTILINE)


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    renderer, update = sys.argv[1], sys.argv[2:] == ["--update"]
    faults = faults_of_values()
    manifests = 0
    sets = sorted((HELM / "values").glob("*.yaml"))
    for values, version in ((values, version) for values in sets for version in VERSIONS):
        rendered = rendered_by(renderer, version, values)
        if rendered.returncode != 0:
            faults.append(f"{values.name} is not rendered: {rendered.stderr}")
            continue
        # Lines of spaces within the configuration are nothing that anybody means.
        text = re.sub(r"[ \t]+$", "", rendered.stdout, flags=re.MULTILINE)
        expected = HELM / "expected" / values.name
        if version is None:
            if update:
                expected.write_text(text)
            faults += differences(expected, text)
        bodies = text.partition("---\n# Source: NOTES.txt\n")[0]
        found, seen = faults_of_manifests(values.name, list(yaml.safe_load_all(bodies)), [version])
        faults, manifests = faults + found, manifests + seen
    strangers = {path.name for path in (HELM / "expected").glob("*")} - {path.name for path in sets}
    faults += [f"expected/{name} belongs to no values" for name in sorted(strangers)]
    faults += faults_of_refusals(renderer)
    for example in sorted((HELM / "examples").glob("*.yaml")):
        found, seen = faults_of_manifests(example.name, list(yaml.safe_load_all(example.read_text())), VERSIONS)
        faults, manifests = faults + found, manifests + seen
    for fault in faults:
        print(f"chart: {fault}")
    print(f"chart: {len(sets)} sets of values, {manifests} manifests, {len(faults)} faults")
    return 1 if faults or not sets or not manifests else 0


def rendered_by(renderer: str, version: str | None, *values: Path) -> subprocess.CompletedProcess:
    major, minor = (version or kubernetes_validate.latest_version()).split(".")[:2]
    kubernetes = f"{major}.{minor}.0"
    return subprocess.run([renderer, CHART, "mirror", "backup", kubernetes, *values], capture_output=True, text=True)


def differences(expected: Path, text: str) -> list:
    kept = expected.read_text() if expected.exists() else ""
    if kept == text:
        return []
    lines = difflib.unified_diff(kept.splitlines(), text.splitlines(), f"expected/{expected.name}", "rendered", lineterm="")
    return [f"{expected.name} is rendered otherwise; chart.py RENDERER --update writes it anew:\n" + "\n".join(lines)]


def merged(defaults: dict, given: dict) -> dict:
    out = dict(defaults)
    for name, value in given.items():
        both = isinstance(value, dict) and isinstance(out.get(name), dict)
        out[name] = merged(out[name], value) if both else value
    return out


def faults_of_values() -> list:
    """Values, schema and templates name the same things."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    faults = []
    for path in [CHART / "values.yaml", *sorted((HELM / "values").glob("*.yaml"))]:
        values = merged(defaults, yaml.safe_load(path.read_text()))
        faults += [f"{path.name}: {error.json_path}: {error.message}" for error in validator.iter_errors(values)]
    several = [{"database": "shop", "container": name} for name in ("orders", "customers")]
    misspelt = [{"replica": 2}, {"image": {"repo": "x"}}, {"keda": {"enabled": True}}, {"terminationGracePeriodSeconds": 5}]
    # Its scaler would measure the leases of both against each of them.
    misspelt.append({"keda": {"enabled": True, "leases": {"database": "shop"}, "containers": several}})
    faults += [f"the schema takes {wrong}" for wrong in misspelt if validator.is_valid(merged(defaults, wrong))]
    used = set()
    for template in sorted((CHART / "templates").iterdir()):
        used |= {tuple(path.split(".")) for path in re.findall(r"\.Values\.([A-Za-z.]*[A-Za-z])", template.read_text())}
    for path in sorted(used):
        value, inner = defaults, schema
        for name in path:
            value = value.get(name, KeyError) if isinstance(value, dict) else KeyError
            inner = inner.get("properties", {}).get(name, {})
        if value is KeyError:
            faults.append(f"values.yaml has no {'.'.join(path)}, which a template uses")
        if not inner:
            faults.append(f"the schema has no {'.'.join(path)}, which a template uses")
    for name in defaults:
        if not any(path[0] == name for path in used):
            faults.append(f"no template uses {name}")
        if name not in schema["properties"]:
            faults.append(f"the schema has no {name}")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    if chart["appVersion"] != version:
        faults.append(f"the chart is for {chart['appVersion']}, the program is {version}")
    return faults


def faults_of_refusals(renderer: str) -> list:
    """What must be given is asked for by name."""
    done = rendered_by(renderer, None)
    asked = done.returncode != 0 and "config: give the text" in done.stderr
    faults = [] if asked else [f"a chart without values is rendered: {done.stderr}"]
    done = rendered_by(renderer, None, HELM / "values/scaled.yaml", HELM / "values/several-containers.yaml")
    if done.returncode == 0 or "keda.containers: this scaler" not in done.stderr:
        faults.append(f"several containers are scaled by the leases of one: {done.stderr}")
    return faults


def faults_of_manifests(origin: str, manifests: list, versions: list) -> tuple:
    faults = []
    for manifest in manifests:
        kind = manifest["kind"]
        where = f"{origin}, {kind} {manifest['metadata']['name']}"
        if kind == "ServiceMonitor":
            faults += faults_of_service_monitor(where, manifest)
        elif kind == "ScaledObject":
            faults += faults_of_scaled_object(where, manifest)
        else:
            for version in versions:
                try:
                    kubernetes_validate.validate(manifest, version or kubernetes_validate.latest_version(), strict=True)
                except kubernetes_validate.ValidationError as error:
                    faults.append(f"{where}: {error.message}")
        if kind == "Deployment":
            faults += faults_of_pod(where, manifest["spec"]["template"])
            faults += faults_of_strategy(where, manifest["spec"])
        if kind == "PodDisruptionBudget" and versions == [None] and manifest["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            faults.append(f"{where} keeps pods that are not ready from being evicted")
        if kind == "ConfigMap":
            tomllib.loads(manifest["data"]["cosmirror.toml"])
    return faults, len(manifests)


def faults_of_service_monitor(where: str, manifest: dict) -> list:
    spec, faults = manifest["spec"], []
    if manifest["apiVersion"] != "monitoring.coreos.com/v1" or set(spec) - {"selector", "namespaceSelector", "endpoints"}:
        faults.append(f"{where} has another shape")
    if any(set(endpoint) - {"port", "path", "interval"} or endpoint["path"] != "/metrics" for endpoint in spec["endpoints"]):
        faults.append(f"{where} has other endpoints")
    return faults


def faults_of_scaled_object(where: str, manifest: dict) -> list:
    spec, faults = manifest["spec"], []
    known = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod", "triggers"}
    if manifest["apiVersion"] != "keda.sh/v1alpha1" or set(spec) - known or spec["minReplicaCount"] < 1:
        faults.append(f"{where} has another shape")
    # As `docs/operations.md` has it, which tests/suite/end_to_end/keda.rs reads leases by.
    manual = (ROOT / "docs/operations.md").read_text()
    # The scaler finds leases by the processor and the account alone, so two triggers would take each other's.
    if [trigger["type"] for trigger in spec["triggers"]] not in (["azure-cosmosdb"], ["prometheus"]):
        faults.append(f"{where} has other triggers than one that is known")
    for trigger in spec["triggers"]:
        for name, value in trigger["metadata"].items():
            if not isinstance(value, str):
                faults.append(f"{where}: {name} is no text")
            if f"\n      {name}: " not in manual:
                faults.append(f"{where}: the manual does not tell of {name}")
    return faults


def faults_of_strategy(where: str, spec: dict) -> list:
    """A single replica's disk may be one that two pods on two machines cannot have."""
    claims = [volume for volume in spec["template"]["spec"]["volumes"] if "persistentVolumeClaim" in volume]
    is_alone = spec.get("replicas") == 1
    if claims and is_alone and spec["strategy"]["type"] != "Recreate":
        return [f"{where} starts a new pod before the old one has given its disk free"]
    return []


def faults_of_pod(where: str, template: dict) -> list:
    spec, faults = template["spec"], []

    def must(condition, what):
        if not condition:
            faults.append(f"{where}: {what}")

    container = next(one for one in spec["containers"] if one["name"] == "cosmirror")
    rights = {**spec.get("securityContext", {}), **container["securityContext"]}
    must(rights.get("runAsNonRoot") is True and rights.get("runAsUser") == 65532, "runs as root, or as another user than the image's")
    must(rights.get("readOnlyRootFilesystem") is True, "its root can be written")
    must(rights.get("allowPrivilegeEscalation") is False, "it may gain privileges")
    must(rights.get("capabilities") == {"drop": ["ALL"]}, "it has capabilities")
    must(rights.get("seccompProfile") == {"type": "RuntimeDefault"}, "it has no seccomp profile")
    drain = int(DRAIN.search((ROOT / "src/run.rs").read_text())[1])
    must(spec["terminationGracePeriodSeconds"] >= drain + 5, "it has no time for draining")
    must(any(mount["mountPath"] == "/tmp" for mount in container["volumeMounts"]), "it has no /tmp")
    must("limits" in container["resources"], "its memory has no limit")
    admin = (ROOT / "src/admin.rs").read_text()
    for probe in (name for name in container if name.endswith("Probe")):
        path = container[probe]["httpGet"]["path"]
        must(f"`{path}`" in admin or f'"{path}"' in admin, f"nothing answers its {probe} at {path}")
    names = {volume["name"] for volume in spec["volumes"]}
    must({mount["name"] for mount in container["volumeMounts"]} <= names, "it mounts what is not there")
    return faults


if __name__ == "__main__":
    sys.exit(main())
