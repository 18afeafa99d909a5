#!/usr/bin/env python3
"""Mirrors, changes and restores about 13,000 real documents, and compares every byte with what the emulator says.

usage: iso_codes.py PROGRAM DOCUMENTS

The emulator runs as a process of its own and is loaded over HTTP. What is in the mirror afterwards is read by
tests/acceptance/wire.py, which knows nothing of the program, and compared with the emulator's own history and with the bytes that
were sent. Time does not pass by waiting: the emulator's clocks are moved.
"""

import collections
import datetime
import json
import os
import re
import signal
import sys
import tempfile
import time
import traceback
import urllib.request
from pathlib import Path

from acceptance import wire
from acceptance.checks import DETAILS_MAX, Checks
from acceptance.compare import (
    compare_current,
    compare_report,
    compare_restored,
    compare_versions,
    stripped,
    text_of,
    work,
)
from acceptance.corpus import Corpus, change, load
from acceptance.program import Process, Product

DATABASE = "iso"
# Documents that are shown through the program, of all corpora together.
SHOWN = 30
# Between the changes and the instants that are restored, on the emulator's clocks.
QUIET_SECONDS = 30
DEMO_SECONDS_MIN = 25


def check_mirror(checks: Checks, cosmos: wire.Cosmos, blobs: wire.Blobs, product: Product, corpus: Corpus, reread: bool):
    """Holds everything in the mirror against everything the emulator knows. Without `reread`, contents that were read before
    are not read again."""
    live = corpus.live(cosmos)
    history = collections.defaultdict(list)
    for entry in cosmos.history(corpus.container):
        history[text_of(entry["partitionKey"][0]), entry["id"]].append(entry)
    versions = blobs.versions(product.blob_container, corpus.prefix)
    contents = read_contents(blobs, corpus, versions, reread)
    mirrored = collections.defaultdict(list)
    # Versions are named by the time at which they were written.
    for version in sorted(versions, key=lambda version: version.version):
        mirrored[version.document()].append(version)

    faults = compare_current(live, mirrored, contents)
    checks.that(f"{corpus.container}: the newest bytes of {len(live)} documents equal the container's", faults)
    faults = []
    for document in history.keys() | mirrored.keys():
        faults += compare_versions(corpus, document, history[document], mirrored[document], contents)
    gone = sum("etag" not in version.metadata for version in versions)
    what = f"{len(versions)} versions of {len(history)} documents, {gone} of them tombstones"
    checks.that(f"{corpus.container}: {what}, equal the emulator's history, each once and in order", faults)
    records = blobs.versions(product.blob_container, f"{corpus.container}/_mirror/")
    lost = [record.name for record in records if "/gaps/" in record.name or "/dead-letters/" in record.name]
    checks.that(f"{corpus.container}: no gap and no dead letter", lost if records else ["there are no records"])


def read_contents(blobs: wire.Blobs, corpus: Corpus, versions: list, reread: bool) -> dict:
    if reread:
        corpus.read.clear()
    unread = [version for version in versions if (version.name, version.version) not in corpus.read]
    for version, content in zip(unread, wire.each(blobs.content, unread)):
        corpus.read[version.name, version.version] = content
    return {version: corpus.read[version.name, version.version] for version in versions}


def check_show(checks: Checks, cosmos: wire.Cosmos, product: Product, corpora: list, instant: str):
    """The oddest documents through the program: as they are, and as they were before the changes."""
    faults, shown = [], 0
    for corpus in corpora:
        live = corpus.live(cosmos)
        sample = [document for document in corpus.oddest() if document in live][: SHOWN // 4]
        created = sorted(live.keys() - corpus.loaded.keys(), key=lambda document: document[1], reverse=True)
        sample += created[: SHOWN // len(corpora) - len(sample)]
        shown += len(sample)
        for key, id in sample:
            arguments = ["show", id, "--pk", key, "--source", corpus.container, "--raw"]
            newest = product.run(*arguments)
            if newest != live[key, id]:
                faults.append(f"{key!r} {id!r}: {newest!r}, not {live[key, id]!r}")
            if (key, id) not in corpus.loaded:
                continue
            earlier = wire.without_system_properties(product.run(*arguments, "--at", instant))
            if earlier != corpus.loaded[key, id]:
                faults.append(f"{key!r} {id!r} at {instant}: {earlier!r}, not {corpus.loaded[key, id]!r}")
    checks.that(f"show --raw gives the bytes of {shown} of the oddest documents, now and then", faults)


def check_origin(checks: Checks, product: Product, corpus: Corpus, report: dict):
    """Of a document that was replaced the last version is the restore's, all others are the feed's."""
    key, id = max(corpus.replaced)
    arguments = ["history", id, "--pk", key, "--source", corpus.container, "-o", "json"]
    versions = json.loads(product.run(*arguments))["versions"]
    origins = [version["origin"] for version in versions]
    wanted = ["feed"] * (len(versions) - 1) + [report["restore"]]
    checks.that(f"{corpus.container}: history names the restore", [] if origins == wanted else [f"{id}: {origins}"])


def check_demo(checks: Checks, program: str, directory: Path, file: Path, count: int, limit: int):
    """The documents through `demo`: its metrics must count every one before its `limit` in seconds; then it is told to end."""
    command = [program, "demo", "--documents", str(file), "--id", "alpha_3", "--pk", "scope"]
    command += ["--seconds", str(limit)]
    environment = os.environ | {"TMPDIR": str(directory)}
    written, seconds, started = 0, None, time.monotonic()
    with Process(command, environment) as demo:
        url = demo.wait_for(re.compile(r"Health and metrics +(\S+)"))
        demo.drain()
        while demo.running():
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    metrics = answer.read().decode()
            except OSError:
                # It may have ended in between, or not serve yet.
                metrics = ""
            for number in re.findall(r"^cosmirror_versions_written_total\{.*\} (\d+)$", metrics, re.MULTILINE):
                written = int(number)
                if written >= count and seconds is None:
                    seconds = time.monotonic() - started
                    demo.process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        code = demo.process.returncode
    faults = [] if written == count else [f"cosmirror_versions_written_total is {written}"]
    faults += [] if code == 0 else [f"exit code {code}"]
    after = "" if seconds is None else f", after {seconds:.1f} s"
    checks.that(f"demo: the metrics count {count} documents as written{after}", faults)


def instant(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quiet_instant(cosmos: wire.Cosmos) -> str:
    """An instant with half a minute without changes before and behind it."""
    cosmos.advance(QUIET_SECONDS)
    between = cosmos.time()
    cosmos.advance(QUIET_SECONDS)
    return instant(between)


def acceptance(checks: Checks, product: Product, cosmos: wire.Cosmos, blobs: wire.Blobs, corpora: list) -> float:
    """Everything but the demonstration; gives the seconds that mirroring all documents took."""

    def mirror(what: str, reread: bool = True) -> float:
        started = time.monotonic()
        product.run("run", "--once")
        seconds = time.monotonic() - started
        checks.note(f"mirrored {what}")
        for corpus in corpora:
            check_mirror(checks, cosmos, blobs, product, corpus, reread)
        return seconds

    cosmos.create_database(DATABASE)
    for corpus in corpora:
        load(cosmos, corpus)
        checks.note(f"loaded {len(corpus.loaded)} documents into {corpus.container}")
    seconds = mirror("what was loaded")

    first = quiet_instant(cosmos)
    for corpus in corpora:
        done = change(cosmos, corpus)
        checks.note(f"changed {corpus.container}: {', '.join(f'{count} {what}' for what, count in done.items())}")
    second = quiet_instant(cosmos)
    mirror("the changes")
    check_show(checks, cosmos, product, corpora, first)

    changed = {corpus: stripped(corpus.live(cosmos)) for corpus in corpora}
    reports = {}
    for corpus in corpora:
        reports[corpus] = product.restore(first, corpus.container)
        faults = compare_report(reports[corpus], work(changed[corpus], corpus.loaded))
        faults += compare_restored(stripped(corpus.live(cosmos)), corpus.loaded)
        checks.that(f"{corpus.container}: restored what was loaded: {counts(reports[corpus])}", faults)
    mirror("what the restores wrote", reread=False)
    for corpus in corpora:
        check_origin(checks, product, corpus, reports[corpus])
    report = product.restore(second)
    expected = sum((work(corpus.loaded, changed[corpus]) for corpus in corpora), collections.Counter())
    faults = compare_report(report, expected)
    for corpus in corpora:
        faults += compare_restored(stripped(corpus.live(cosmos)), changed[corpus])
    checks.that(f"both restored, at once, to what they were changed to: {counts(report)}", faults)
    return seconds


def counts(report: dict) -> str:
    parts = report["applied"] | {"unchanged": report["unchanged"]}
    return ", ".join(f"{what} {count}" for what, count in parts.items())


def main() -> int:
    program, documents = sys.argv[1], Path(sys.argv[2])
    # The servers end with their blocks, for which the interpreter must get there.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    languages = documents / "iso_639-3.json"
    corpora = [
        Corpus(f"{DATABASE}/languages", languages, "639-3", "alpha_3", "scope", 0),
        # Every third document with escapes instead of characters: both spellings must come through as they are.
        Corpus(f"{DATABASE}/subdivisions", documents / "iso_3166-2.json", "3166-2", "code", "type", 3),
    ]
    checks, began = Checks(), time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="cosmirror-iso-codes-") as directory:
            command = [program, "-o", "json", "emulator", "--cosmos", "127.0.0.1:0", "--blob", "127.0.0.1:0"]
            with Process(command, dict(os.environ)) as emulator:
                urls = json.loads(emulator.wait_for(re.compile(r"^(\{.*\})$")))
                sources = [corpus.container for corpus in corpora]
                product = Product(program, Path(directory), urls["cosmos"], urls["blob"], sources)
                cosmos, blobs = wire.Cosmos(urls["cosmos"]), wire.Blobs(urls["blob"])
                mirroring = acceptance(checks, product, cosmos, blobs, corpora)
            # A slow or busy machine gets more time, by what it needed before; the demonstration ends as soon as all are written.
            limit = max(DEMO_SECONDS_MIN, round(8 * mirroring))
            check_demo(checks, program, Path(directory), languages, len(corpora[0].loaded), limit)
    except Exception:
        checks.that("the run came to its end", traceback.format_exc().splitlines()[-DETAILS_MAX:])
    print(f"{checks.passed} passed, {checks.failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if checks.failed or not checks.passed else 0


if __name__ == "__main__":
    sys.exit(main())
