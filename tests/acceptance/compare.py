"""What is otherwise than it should be. Everything is read already; nothing here asks a server."""

import collections
import json

from . import wire
from .corpus import Corpus


def text_of(key: str) -> str:
    """A partition key as the mirror's metadata spells it."""
    return json.dumps([key], ensure_ascii=False, separators=(",", ":"))


def compare_current(live: dict, mirrored: dict, contents: dict) -> list:
    """The faults of the newest versions: `live` is what the container holds, `mirrored` the versions of each document."""
    faults = [] if live else ["the container is empty"]
    for (key, id), text in live.items():
        newest = [version for version in mirrored.get((text_of(key), id), []) if version.current]
        if len(newest) != 1:
            faults.append(f"{key!r} {id!r}: {len(newest)} current versions")
        elif contents[newest[0]] != text:
            faults.append(f"{key!r} {id!r}: {contents[newest[0]]!r}, not {text!r}")
    there = {(text_of(key), id) for key, id in live}
    for document, versions in mirrored.items():
        if document not in there and contents[versions[-1]] != b"":
            faults.append(f"{document!r} is in the mirror and not in the container")
    return faults


def compare_versions(corpus: Corpus, document: tuple, history: list, versions: list, contents: dict) -> list:
    """The faults of one document's versions, against the emulator's history of it."""
    faults = []
    if len(history) != len(versions):
        faults.append(f"{document!r}: {len(versions)} versions, not {len(history)}")
    key, id = json.loads(document[0])[0], document[1]
    name = f"{corpus.prefix}{wire.component(key)}/{wire.component(id)}.json"
    before = None
    for at, (entry, version) in enumerate(zip(history, versions)):
        fields, content = version.metadata, contents[version]
        removes = entry["op"] in ("delete", "expire")
        # The feed of all versions begins behind what the first run found; that is marked as found.
        operations = (entry["op"], "backfill") if at == 0 else (entry["op"],)
        told = {
            "blob name": (version.name, name),
            "etag": (fields.get("etag"), None if removes else entry["etag"]),
            "lsn": (fields.get("lsn"), str(entry["lsn"])),
            "ts": (fields["ts"], str(entry["ts"])),
            "prev": (fields.get("prev"), before),
            "sha256": (fields["sha256"], wire.sha256(content)),
            "length": (version.length, len(content)),
            # A line of the history has spaces where the document has line breaks.
            "text": (content.replace(b"\n", b" "), b"" if removes else entry["text"]),
        }
        if not removes and entry["etag"] in corpus.written:
            told["bytes"] = (content, corpus.written[entry["etag"]])
        faults += [f"{document!r} {entry['op']}: {what} {a!r}, not {b!r}" for what, (a, b) in told.items() if a != b]
        if fields["op"] not in operations:
            faults.append(f"{document!r}: operation {fields['op']}, not {entry['op']}")
        before = version.identity()
    return faults


def stripped(documents: dict) -> dict:
    """Documents as a client would send them."""
    return {document: wire.without_system_properties(text) for document, text in documents.items()}


def work(before: dict, wanted: dict) -> collections.Counter:
    """What a restore has to do to make one state from another."""
    both = before.keys() & wanted.keys()
    different = sum(before[document] != wanted[document] for document in both)
    return collections.Counter(
        create=len(wanted.keys() - before.keys()),
        replace=different,
        delete=len(before.keys() - wanted.keys()),
        unchanged=len(both) - different,
    )


def compare_report(report: dict, expected: collections.Counter) -> list:
    """What a restore says it did, against what it had to do."""
    counted = collections.Counter(report["applied"] | {"unchanged": report["unchanged"]})
    faults = [] if counted == expected else [f"the report counts {dict(counted)}, not {dict(expected)}"]
    for count in ("conflicts", "failed", "extra", "uncertain", "unknown", "damaged", "different"):
        if report[count] != 0:
            faults.append(f"the report counts {report[count]} as {count}")
    return faults


def compare_restored(live: dict, wanted: dict) -> list:
    """What is in the container otherwise than it was; both without the service's properties."""
    faults = [f"{document!r} is extra" for document in live.keys() - wanted.keys()]
    faults += [f"{document!r} is missing" for document in wanted.keys() - live.keys()]
    for document in live.keys() & wanted.keys():
        if live[document] != wanted[document]:
            faults.append(f"{document!r}: {live[document]!r}, not {wanted[document]!r}")
    return faults
