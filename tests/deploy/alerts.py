#!/usr/bin/env python3
"""Holds alerts, their tests, the runbook and the dashboard to each other.

usage: alerts.py PROMTOOL

Each alert has texts for a person, a paragraph in the runbook under the anchor that it names, and tests: at least one in which it fires
and one in which it stays silent. `promtool` says whether rules are well formed, whether those tests hold, and whether every query of the
dashboard is a query. Needs PyYAML.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yaml"
TESTS = sorted((ROOT / "deploy/prometheus").glob("*_test.yaml"))
DASHBOARD = ROOT / "deploy/grafana/cosmirror.json"
TEXTS = ("summary", "description", "remedy", "runbook")
SEVERITIES = ("critical", "warning")
# What Grafana fills in before it asks.
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m"}
METRIC = re.compile(r"\b((?:cosmirror|process)_[a-z0-9_]+|up)\b")


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    promtool = sys.argv[1]
    alerts = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    faults = faults_of_rules(alerts)
    tests = [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    faults += faults_of_tests({rule["alert"]: rule for rule in alerts}, tests)
    queries = []
    faults += faults_of_dashboard(json.loads(DASHBOARD.read_text()), queries)
    faults += faults_of_queries(promtool, queries)
    for command in (["check", "rules", RULES.name], ["test", "rules", *(path.name for path in TESTS)]):
        done = subprocess.run([promtool, *command], cwd=RULES.parent, capture_output=True, text=True)
        if done.returncode != 0:
            faults.append(f"promtool {' '.join(command)}: {done.stdout}{done.stderr}")
    for fault in faults:
        print(f"alerts: {fault}")
    print(f"alerts: {len(alerts)} alerts, {len(tests)} tests, {len(queries)} queries of the dashboard, {len(faults)} faults")
    return 1 if faults or not alerts or not queries else 0


def anchors_of(path: Path) -> list:
    """The anchors of a document's headings, as forges make them."""
    headings = (line.lstrip("#").strip() for line in path.read_text().splitlines() if re.match(r"#+ ", line))
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def faults_of_rules(alerts: list) -> list:
    faults, seen = [], set()
    for rule in alerts:
        name = rule["alert"]
        if name in seen:
            faults.append(f"{name} stands twice")
        seen.add(name)
        if rule.get("labels", {}).get("severity") not in SEVERITIES:
            faults.append(f"{name} has no severity of {SEVERITIES}")
        annotations = rule.get("annotations", {})
        faults += [f"{name} has no {text}" for text in TEXTS if not annotations.get(text)]
        document, _, anchor = annotations.get("runbook", "").partition("#")
        if not (ROOT / document).is_file() or anchors_of(ROOT / document).count(anchor) != 1:
            faults.append(f"{name}: its runbook {document}#{anchor} is not exactly one heading")
    runbook = (ROOT / "docs/operations.md").read_text()
    listed = set(re.findall(r"^### (Cosmirror\w+)$", runbook, re.MULTILINE))
    return faults + [f"the runbook knows {name}, which is no alert" for name in sorted(listed - seen)]


def faults_of_tests(alerts: dict, tests: list) -> list:
    faults, fires, silent = [], set(), set()
    for test in tests:
        name = test["name"]
        for case in test.get("promql_expr_test", []):
            asked = re.search(r'alertname="(\w+)",alertstate="firing"', case["expr"])
            if not asked or asked[1] not in alerts or not name.startswith(f"{asked[1]} "):
                faults.append(f"the test {name!r} does not ask for the alert that it is named after")
                continue
            rule = alerts[asked[1]]
            # A silent alert proves nothing where nothing of what it looks at is there.
            looked_at = set(METRIC.findall(rule["expr"]))
            given = {entry["series"].partition("{")[0] for entry in test["input_series"]}
            if not looked_at & given:
                faults.append(f"the test {name!r} has none of {sorted(looked_at)}")
            (fires if case["exp_samples"] else silent).add(asked[1])
            word = "fires" if case["exp_samples"] else "stays silent"
            if not name.startswith(f"{asked[1]} {word}"):
                faults.append(f"the test {name!r} expects that it {word}")
    faults += [f"{name} has no test in which it fires" for name in alerts if name not in fires]
    return faults + [f"{name} has no test in which it stays silent" for name in alerts if name not in silent]


def panels_of(panels: list) -> list:
    """Panels with those that lie in rows."""
    return [inner for panel in panels for inner in [panel, *panels_of(panel.get("panels", []))]]


def faults_of_dashboard(dashboard: dict, queries: list) -> list:
    faults, ids, cells = [], set(), {}
    for panel in panels_of(dashboard["panels"]):
        title = panel.get("title", "without a title")
        if panel["id"] in ids:
            faults.append(f"two panels have the id {panel['id']}")
        ids.add(panel["id"])
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            faults.append(f"the panel {title!r} is wider than the dashboard")
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
            other = cells.setdefault(cell, title)
            if other != title:
                faults.append(f"the panels {title!r} and {other!r} overlap")
                break
        if panel["type"] == "row":
            continue
        if not panel.get("description"):
            faults.append(f"the panel {title!r} has no description")
        if not panel.get("targets"):
            faults.append(f"the panel {title!r} shows nothing")
        for target in panel.get("targets", []):
            if target["datasource"]["uid"] != "${datasource}":
                faults.append(f"the panel {title!r} asks one installation's data source")
            queries.append((title, target["expr"]))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            queries.append((f"variable {variable['name']}", re.sub(r"^label_values\((.*), *\w+\)$", r"\1", variable["definition"])))
    return faults


def faults_of_queries(promtool: str, queries: list) -> list:
    """All in one file of rules: a process for each would take most of the time."""
    rules = []
    for number, (_, query) in enumerate(queries):
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        rules.append({"record": f"query:{number}", "expr": query})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queries.yaml"
        path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
        done = subprocess.run([promtool, "check", "rules", "--lint=none", str(path)], capture_output=True, text=True)
    if done.returncode == 0 and f"{len(queries)} rules found" in done.stdout:
        return []
    named = [f"query:{number} is {title!r}" for number, (title, _) in enumerate(queries)]
    return [f"queries of the dashboard: {done.stdout}{done.stderr}\n" + "\n".join(named)]


if __name__ == "__main__":
    sys.exit(main())
