"""What the blob checks share: the registry of checks, clients of a fresh container, and the emulator's control port.

A check is a function with a name. It gets an `Env` and raises when the service is not what it should be. The names that
must have run are listed once more in blob.py, so that a check that is lost in a refactoring fails the run.
"""

import itertools
import json
import time
import traceback
import urllib.request

from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from blob_wire import ACCOUNT, KEY

STORAGE_DEFAULT = {"versioning": True, "softDeleteDays": 7, "hierarchicalNamespace": False}
EVERY_INCLUDE = [
    "snapshots", "metadata", "copy", "deleted", "deletedwithversions",
    "tags", "versions", "immutabilitypolicy", "legalhold", "uncommittedblobs",
]  # fmt: skip

CHECKS = {}


def check(name):
    """Registers a check under its name."""

    def register(function):
        assert name not in CHECKS, f"two checks are called {name!r}"
        CHECKS[name] = function
        return function

    return register


def equal(actual, expected, what="value"):
    """Both sides in the message, which a bare assert would not show."""
    if actual != expected:
        raise AssertionError(f"{what}: got {actual!r}, expected {expected!r}")


def holds(condition, what):
    if not condition:
        raise AssertionError(what)


def refused(status, code, function, *args, **kwargs):
    """The call must be refused with this status and error code; `code` None: any code."""
    try:
        result = function(*args, **kwargs)
    except HttpResponseError as error:
        # Some operations of the SDK leave `error_code` unset.
        got = error.response.headers.get("x-ms-error-code")
        if error.status_code != status or (code is not None and got != code):
            raise AssertionError(f"refused with {error.status_code} {got}, expected {status} {code}: {error.message}") from error
        return error
    raise AssertionError(f"not refused, expected {status} {code}; answered {result!r}")


class Env:
    """The endpoints under test."""

    def __init__(self, cosmos_url, blob_url):
        self.cosmos_url = cosmos_url.rstrip("/")
        self.blob_url = blob_url.rstrip("/")
        # The address may be given with or without the account.
        if not self.blob_url.endswith("/" + ACCOUNT):
            self.blob_url += "/" + ACCOUNT
        self.serial = itertools.count()
        self.service = self.client()

    def client(self, credential=KEY, **options):
        # Retries would only hide refusals and cost time.
        options.setdefault("retry_total", 0)
        if credential == KEY:
            credential = {"account_name": ACCOUNT, "account_key": KEY}
        return BlobServiceClient(self.blob_url, credential=credential, **options)

    def container(self, **options):
        """A container of its own for each check."""
        client = self.service.get_container_client(f"check-{next(self.serial):04d}-{time.time_ns() // 1000 % 10**9}")
        client.create_container(**options)
        return client

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.cosmos_url}/_emulator/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")

    def storage(self, **settings):
        return self.control("POST", "storage", settings)

    def advance(self, seconds):
        self.control("POST", "clock", {"service": "blob", "advanceSeconds": seconds})

    def reset(self):
        """Every check starts with the same account, clock and absence of faults."""
        self.storage(**STORAGE_DEFAULT)
        self.control("POST", "clock", {"service": "blob", "offsetSeconds": 0})
        self.control("DELETE", "faults")


def brief(error):
    """The message without what the SDK repeats."""
    text = str(error).split("\nContent:")[0]
    return " | ".join(line for line in text.splitlines() if not line.startswith(("RequestId:", "Time:")))[:600]


def run(env, names):
    """Runs every check, then compares what ran with the list of names. Returns passed and failed."""
    passed, failed = 0, 0
    for name, function in CHECKS.items():
        started = time.monotonic()
        try:
            env.reset()
            function(env)
            passed += 1
            print(f"ok   {name} ({time.monotonic() - started:.2f} s)")
        except Exception as error:  # A check may fail in any way; the others go on.
            failed += 1
            place = traceback.extract_tb(error.__traceback__)
            lines = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in place if "interop" in frame.filename]
            print(f"FAIL {name}: {type(error).__name__}: {brief(error)} [{' '.join(lines[1:])}]")
    env.reset()
    for name in [name for name in names if name not in CHECKS]:
        failed += 1
        print(f"FAIL {name}: the check is listed but did not run")
    for name in [name for name in CHECKS if name not in names]:
        failed += 1
        print(f"FAIL {name}: the check ran but is not listed")
    return passed, failed
