"""Counts and prints what holds and what does not."""

import time

DETAILS_MAX = 5


class Checks:
    """The checks of one run; each is printed with the time since the one before."""

    def __init__(self):
        self.passed = self.failed = 0
        self.since = time.monotonic()

    def that(self, what: str, faults: list):
        """One check: it fails if there are faults, of which the first few are shown."""
        passed, self.since = time.monotonic() - self.since, time.monotonic()
        self.failed += bool(faults)
        self.passed += not faults
        print(f"{'FAIL' if faults else 'ok  '} {passed:6.1f} s  {what}", flush=True)
        for fault in faults[:DETAILS_MAX]:
            print(f"       {fault}", flush=True)
        if len(faults) > DETAILS_MAX:
            print(f"       and {len(faults) - DETAILS_MAX} more", flush=True)

    def note(self, what: str):
        """Work that was done on the way."""
        passed, self.since = time.monotonic() - self.since, time.monotonic()
        print(f"     {passed:6.1f} s  {what}", flush=True)
