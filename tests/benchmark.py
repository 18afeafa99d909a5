#!/usr/bin/env python3
"""Whether the benchmark runs and says what it promises, in small sizes. Its times are nobody's business here.

usage: tests/benchmark.py     needs cargo; writes nothing into the checkout
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCENARIOS = ["catch-up", "steady", "idle", "restore", "plan", "outage"]
WITH_FLOOR = ["catch-up", "restore", "plan"]
# An idle daemon need not ask its target for anything, and its processor time can be less than the clock's step.
MAY_BE_ZERO = ["idle", "outage"]
MACHINE = ["processor", "cores", "memory_mib", "kernel", "load", "rustc", "commit", "profile", "date"]


def run(results: pathlib.Path) -> str:
    bench = ["cargo", "bench", "--profile", "dev", "--locked", "-p", "cosmirror", "--bench", "mirror", "--"]
    done = subprocess.run([*bench, "--quick", "--json", results], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(done.stdout, flush=True)
    assert done.returncode == 0, f"the benchmark ended with {done.returncode}"
    return done.stdout


def check_row(row: dict, quick: bool) -> None:
    where = f"{row['scenario']}: {row['figure']}"
    value, floor, ratio = row["value"], row["floor"], row["ratio"]
    assert math.isfinite(value) and row["unit"], where
    assert value > 0 or (value == 0 and row["scenario"] in MAY_BE_ZERO), f"{where}: {value}"
    assert (floor is None) == (ratio is None), where
    if floor is not None:
        assert floor > 0 and math.isclose(ratio, value / floor, rel_tol=1e-6), where
    assert (row["met"] is None) == (row["goal"] is None or quick), where


def check(results: dict) -> None:
    assert all(results["machine"].get(name) not in (None, "") for name in MACHINE), results["machine"]
    rows = results["rows"]
    for row in rows:
        check_row(row, results["quick"])
    for scenario in SCENARIOS:
        of_it = [row for row in rows if row["scenario"] == scenario]
        assert of_it, f"there is no figure of {scenario}"
        assert scenario not in WITH_FLOOR or any(row["floor"] for row in of_it), f"{scenario} has no floor"


def check_table(rows: list, table: str) -> None:
    for row in rows:
        note = f" ({row['note']})" if row["note"] else ""
        assert f"| {row['scenario']}: {row['figure']}{note} |" in table, f"the table lacks {row['figure']}"


def main() -> None:
    kept = sorted((ROOT / "benches/results").glob("*.json"))
    assert kept, "no results are kept"
    for path in kept:
        results = json.loads(path.read_text())
        check(results)
        assert path.stem == results["machine"]["commit"] and not results["quick"], path
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "results.json"
        table = run(path)
        results = json.loads(path.read_text())
    assert results["quick"], "these are no small sizes"
    check(results)
    check_table(results["rows"], table)
    print(f"{len(results['rows'])} figures of {len(SCENARIOS)} scenarios; {len(kept)} kept results are whole")


if __name__ == "__main__":
    sys.exit(main())
