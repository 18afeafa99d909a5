"""The daemon with Azurite as its target, by snapshots: every change is there once and in order although the daemon is killed, and a restore
brings an earlier state back.

Arguments: the binary, the emulator's Cosmos endpoint, Azurite's blob endpoint (an account URL), a folder for files.
What must hold is read from the emulator's own history; the mirror is read by the program's commands.
"""

import itertools
import json
import pathlib
import subprocess
import sys
import time
import urllib.request

BINARY, COSMOS, BLOB, FOLDER = sys.argv[1], sys.argv[2].rstrip("/"), sys.argv[3], pathlib.Path(sys.argv[4])
DATABASE, CONTAINER = "shop", "orders"
DOCUMENTS, KEYS, ROUNDS = 24, 6, 4
WAIT_SECONDS_MAX = 30

CONFIGURATION = f"""
[source]
endpoint = "{COSMOS}/"
poll_interval = "10ms"
poll_interval_idle_max = "100ms"
staleness_margin = "0s"

[[containers]]
database = "{DATABASE}"
container = "{CONTAINER}"

[leases]
expiration = "6s"
renew_interval = "1s"
acquire_interval = "1s"

[target]
endpoint = "{BLOB}"
container = "daemon"
history = "snapshots"

[admin]
listen = "127.0.0.1:0"
"""


def control(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{COSMOS}/_emulator/{path}", data=data) as answer:
        return answer.read().decode()


def history():
    """The committed changes of each document, in order."""
    changes = {}
    for line in control(f"history?database={DATABASE}&container={CONTAINER}").splitlines():
        change = json.loads(line)
        changes.setdefault((change["id"], json.dumps(change["partitionKey"])), []).append(change)
    return changes


def live():
    """The documents that exist, as their client sent them."""
    newest = {name: changes[-1].get("document") for name, changes in history().items()}
    plain = lambda document: {key: value for key, value in document.items() if not key.startswith("_")}
    return {name: plain(document) for name, document in newest.items() if document}


def command(*arguments, output=True):
    done = subprocess.run(
        [BINARY, "-c", FOLDER / "cosmirror.toml", *arguments], capture_output=True, text=True, check=False, cwd=FOLDER
    )
    if done.returncode != 0:
        sys.exit(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if output else None


def write(sizes=itertools.count(300)):
    """Writes every document once more, each time of another size; those that are there are replaced."""
    size = next(sizes)
    control("seed", {"database": DATABASE, "container": CONTAINER, "count": DOCUMENTS, "keys": KEYS, "bytes": size})


def stored(document):
    identifier, key = document
    shown = command("-o", "json", "history", "--pk-json", key, "--", identifier)
    return [(version["op"], version["etag"]) for version in shown["versions"]]


def killed_while_it_writes():
    """A daemon dies somewhere in the midst of what was just written."""
    with open(FOLDER / "log", "w", encoding="utf-8") as log:
        daemon = subprocess.Popen(
            [BINARY, "-c", FOLDER / "cosmirror.toml", "--log-format", "text", "run"], stderr=log, cwd=FOLDER
        )
        try:
            deadline = time.monotonic() + WAIT_SECONDS_MAX
            while "following" not in (FOLDER / "log").read_text(encoding="utf-8"):
                if daemon.poll() is not None or time.monotonic() > deadline:
                    sys.exit("the daemon does not follow: " + (FOLDER / "log").read_text(encoding="utf-8"))
                time.sleep(0.05)
            write()
        finally:
            daemon.kill()
            daemon.wait()
    control("clock", {"service": "cosmos", "advanceSeconds": 40})


def compare(first):
    """Each document has the versions that the source's history says, from the one that the backfill found on."""
    for name, changes in history().items():
        expected = [change["etag"] for change in changes[first:]]
        found = stored(name)
        if [etag for _, etag in found] != expected:
            sys.exit(f"{name}: {found} instead of {expected}")


def main():
    (FOLDER / "cosmirror.toml").write_text(CONFIGURATION, encoding="utf-8")
    write()
    command("run", "--once", output=False)
    for _ in range(ROUNDS):
        killed_while_it_writes()
        command("run", "--once", output=False)
    compare(0)
    counts = command("-o", "json", "verify", "--mode", "full")
    if counts["equal"] != DOCUMENTS or counts["documents"] != DOCUMENTS:
        sys.exit(f"verify: {counts}")
    before = live()
    control("clock", {"service": "cosmos", "advanceSeconds": 10})
    command("run", "--once", output=False)
    at = command("-o", "json", "status")["containers"][0]["restorable_until"]
    control("clock", {"service": "cosmos", "advanceSeconds": 5})
    write()
    command("run", "--once", output=False)
    if live() == before:
        sys.exit("nothing was changed behind the instant")
    command("restore", "--all", "--at", at, "--yes", output=False)
    if live() != before:
        sys.exit("the restore did not bring back what was there")
    versions = sum(len(changes) for changes in history().values())
    print(f"a daemon with Azurite: {versions} changes of {DOCUMENTS} documents, {ROUNDS} kills, a restore")


main()
