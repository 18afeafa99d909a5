"""Named checks: each says what holds, runs alone, and its name stands in a list that is compared at the end.

A check that is in the list and did not run has failed, as has one that is not in the list. A script ends with the line
"N passed, M failed", and with a status other than 0 if anything failed.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], None]

# Frames shown of a failure: the check's own lines, not those of the SDK above it.
FRAMES_MAX = 6


class Checks:
    """Collects checks and runs them in order."""

    def __init__(self) -> None:
        self._checks: list[tuple[str, Check]] = []

    def named(self, name: str) -> Callable[[Check], Check]:
        """Adds a function as the check with this name."""

        def add(check: Check) -> Check:
            self._checks.append((name, check))
            return check

        return add

    def extend(self, other: "Checks") -> None:
        """Adds the checks of another module."""
        self._checks.extend(other._checks)

    def run(self, world: Any, expected: list[str]) -> int:
        """Runs everything and gives the exit status. INTEROP_ONLY, a part of a name, leaves out the others."""
        only = os.environ.get("INTEROP_ONLY", "")
        passed, failed = 0, 0
        for name, check in self._checks:
            if only not in name:
                continue
            started = time.monotonic()
            try:
                check(world)
                passed += 1
                print(f"ok     {name} ({time.monotonic() - started:.1f} s)", flush=True)
            except Exception as error:  # A failed check never hides the next one.
                failed += 1
                print(f"FAILED {name}: {type(error).__name__}: {str(error)[:2000]}")
                for frame in traceback.extract_tb(error.__traceback__)[:FRAMES_MAX]:
                    print(f"         {os.path.basename(frame.filename)}:{frame.lineno} {frame.line}", flush=True)
            finally:
                world.tidy()
        if not only:
            failed += compare([name for name, _ in self._checks], expected)
        print(f"{passed} passed, {failed} failed", flush=True)
        return 1 if failed or not passed else 0


def compare(ran: list[str], expected: list[str]) -> int:
    """How many names the list and the script do not have in common, or have twice."""
    faults = [f"MISSING {name}" for name in expected if name not in ran]
    faults += [f"NOT IN THE LIST {name}" for name in ran if name not in expected]
    faults += [f"TWICE {name}" for name in sorted(set(ran)) if ran.count(name) > 1]
    for fault in faults:
        print(fault)
    return len(faults)


def equal(found: Any, expected: Any, what: str = "") -> None:
    """Fails with both values if they differ as JSON. True is not 1, and 1 is not 1.0; the order of members does not count."""
    if text(found) != text(expected):
        raise AssertionError(f"{what or 'the value'} is {found!r}, not {expected!r}")


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def holds(condition: Any, what: str) -> None:
    """Fails with an explanation."""
    if not condition:
        raise AssertionError(what)


def refused(status: int, action: Callable[[], Any], substatus: int | None = None) -> Any:
    """Runs what must be refused with this status and gives the error."""
    try:
        result = action()
    except Exception as error:
        found = getattr(error, "status_code", None)
        if found != status:
            raise AssertionError(f"refused with {found}, not {status}: {error}") from error
        if substatus is not None:
            equal(getattr(error, "sub_status", None), substatus, "the substatus")
        return error
    raise AssertionError(f"not refused with {status}, but answered {result!r}")


def main(checks: Checks, world: Any, expected: list[str]) -> None:
    """Runs a script's checks and ends the process."""
    sys.exit(checks.run(world, expected))
