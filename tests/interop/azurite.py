"""The emulator's blob endpoint beside Azurite: python azurite.py COSMOS_URL BLOB_URL AZURITE_URL [--rows]

Sends the same signed requests to both and compares status, headers and parsed body. What must differ (times, ETags, ids) is replaced
by its kind first. Every difference must have a row in docs/emulator-azurite.md, and every row a difference; `--rows` prints rows for
the differences that have none. The last line counts; exit 1 if something is unexplained. Both servers must be fresh.
"""

import base64
import fnmatch
import hashlib
import hmac
import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree

from azurite_more import READ, REQUESTS
from blob_wire import ACCOUNT, KEY, REST_VERSION, Wire

TABLE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "emulator-azurite.md"
# How the connection is run, and what every answer has of its own.
IGNORED = {"date", "server", "x-ms-request-id", "connection", "keep-alive", "transfer-encoding", "x-powered-by"}
OPAQUE = {"Marker", "NextMarker", "MessageDetails", "Reason", "AuthenticationErrorDetail"}
REQUESTS_MIN = 120
# Azurite answers with its newest version whatever is asked for, so that is asked for.
AZURITE_VERSION = "2026-06-06"

KINDS = [
    (re.compile(r'^"?0x[0-9A-Fa-f]+"?$'), lambda text: '"<etag>"' if text.startswith('"') else "<etag>"),
    (re.compile(r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$"), lambda text: "<date>"),
    (re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,7}Z$"), lambda text: "<id>"),
    (re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"), lambda text: "<uuid>"),
]


def sas(parameters, request, root):
    """The query of a shared access signature: an account's if it names services, else a service's."""
    value = {"sv": REST_VERSION} | parameters
    if "ss" in value:
        lines = [ACCOUNT, *(value.get(name, "") for name in ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses")), ""]
    else:
        container, _, blob = request.path[1:].partition("/")
        resource = f"/blob/{ACCOUNT}/{container}" + (f"/{blob}" if value["sr"] == "b" else "")
        names = ("sp", "st", "se", resource, "si", "sip", "spr", "sv", "sr", "", "ses", "rscc", "rscd", "rsce", "rscl", "rsct")
        lines = [name if name == resource else value.get(name, "") for name in names]
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256)).decode()
    return {"sig": signature} | value


class Server:
    """One of the two, with what it answered before."""

    def __init__(self, url):
        url = url.rstrip("/")
        self.url = url if url.endswith("/" + ACCOUNT) else f"{url}/{ACCOUNT}"
        self.wire = Wire(self.url)
        self.wrong = Wire(self.url, base64.b64encode(b"wrong" * 13).decode())
        # A source of a copy, with a signature to read it.
        source = urllib.parse.urlencode(sas(READ, None, ""), quote_via=urllib.parse.quote)
        self.kept = {"endpoint": self.url, "source": f"{self.url}/first/a?{source}"}

    def fill(self, text):
        return re.sub(r"\{([a-z0-9-]+)\}", lambda match: self.kept.get(match[1], match[1]), text)

    def answer(self, request):
        """Status, error code, headers and body as a flat dictionary of texts."""
        query = {name: self.fill(value) for name, value in request.query.items()}
        headers = {name: self.fill(value) for name, value in request.headers.items()}
        headers["x-ms-client-request-id"] = "same-for-both"
        headers.setdefault("x-ms-version", AZURITE_VERSION)
        wire = self.wrong if request.sign == "wrong" else self.wire
        if isinstance(request.sign, dict):
            query |= sas(request.sign, request, self.wire.root)
        status, headers, body = wire.send(
            request.method, request.path, query, headers, request.body, signed=request.sign in ("key", "wrong")
        )
        for name, header in request.keep.items():
            self.kept[name] = headers.get(header, "")
        if marker := re.search(rb"<NextMarker>([^<]+)</NextMarker>", body):
            self.kept["marker"] = marker[1].decode()
        facts = {"status": str(status)}
        is_xml = headers.get("content-type", "").startswith("application/xml") and body.strip()
        for name, value in headers.items():
            # The length of a document says nothing beside its content.
            if name not in IGNORED and not (name == "content-length" and is_xml):
                facts[f"header {name}"] = self.kind(value)
        if is_xml:
            flatten(xml.etree.ElementTree.fromstring(body.decode("utf-8-sig")), "body ", facts, self.kind)
        elif body:
            facts["body"] = body.decode(errors="backslashreplace")
        return facts

    def kind(self, text):
        text = text.replace(self.url, "<endpoint>")
        for pattern, name in KINDS:
            if pattern.match(text):
                return name(text)
        return re.sub(r"^(<endpoint>[^?]*\?).*", r"\1<query>", text)


def flatten(element, path, facts, kind):
    """Every element with text or without children, named by its path; siblings of one name are told apart by Name or number."""
    path += element.tag
    for name, value in element.attrib.items():
        facts[f"{path}@{name}"] = kind(value)
    children = list(element)
    if element.tag == "Error":
        # Messages are for people: wording may differ.
        children = [child for child in children if child.tag != "Message"]
        facts[path + "/Message"] = "<text>" if element.findtext("Message") else "<none>"
    if not children:
        text = kind((element.text or "").strip())
        # Texts for people, and a marker, which only its own server reads.
        facts[path] = f"<{element.tag}>" if text and element.tag in OPAQUE else text
    labels = labelled(children)
    if len(children) > 1 and {child.tag for child in children} <= {"Blob", "BlobPrefix"}:
        facts[path + " order"] = " ".join(labels)
    for child, label in zip(children, labels):
        facts_of_child = {}
        flatten(child, "", facts_of_child, kind)
        many = sum(other.tag == child.tag for other in children) > 1
        for name, value in facts_of_child.items():
            tail = name[len(child.tag) :]
            facts[f"{path}/{child.tag}" + (f"[{label}]" if many else "") + tail] = value


def labelled(children):
    """What tells siblings apart: a name, with a mark for a snapshot, or their number."""
    labels = []
    for child in children:
        label = child.findtext("Name") or child.findtext("Key") or child.tag
        label += "@snapshot" if child.findtext("Snapshot") else ""
        labels.append(label if label not in labels else f"{label} {len(labels)}")
    return labels


def differences(ours, theirs, requests):
    """Request, field, value here, value there."""
    found = []
    for request in requests:
        here, there = ours.answer(request), theirs.answer(request)
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                found.append((request.name, name.replace("|", "/"), cell(here.get(name)), cell(there.get(name))))
    return found


def cell(value):
    """A value as it stands in the table."""
    if value is None:
        return "absent"
    value = " ".join(value.split()).replace("|", "/")[:400]
    return f"`{value}`" if value else "empty"


def rows():
    """The rows of the table: patterns for request, field and both values, and the explanation."""
    table = []
    for line in TABLE.read_text().splitlines():
        cells = [text.strip() for text in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5 and cells[0] != "request" and not set(cells[0]) <= {"-", ":"}:
            table.append(cells)
    return table


def matches(pattern, text):
    # Only `*` is special; brackets stand for themselves.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def compare(found, table):
    """Differences without a row, rows without a difference, rows that name no page, and requests that differ in their own way."""
    used, unexplained, special = set(), [], set()
    for difference in found:
        fitting = [number for number, row in enumerate(table) if all(matches(row[i], difference[i]) for i in range(4))]
        used.update(fitting[:1])
        if not fitting:
            unexplained.append(difference)
        elif table[fitting[0]][0] != "*":
            special.add(difference[0])
    stale = [row for number, row in enumerate(table) if number not in used]
    return unexplained, stale, [row for row in table if '"' not in row[4]], special


def main():
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    if len(arguments) != 3:
        sys.exit("usage: azurite.py COSMOS_URL BLOB_URL AZURITE_URL [--rows]")
    # Azurite has neither versions nor soft delete.
    body = json.dumps({"versioning": False, "softDeleteDays": 0}).encode()
    urllib.request.urlopen(urllib.request.Request(arguments[0].rstrip("/") + "/_emulator/storage", body, method="POST"), timeout=30)
    names = [request.name for request in REQUESTS]
    assert len(names) == len(set(names)) and len(names) >= REQUESTS_MIN, "names must differ, and there must be enough of them"
    found = differences(Server(arguments[1]), Server(arguments[2]), REQUESTS)
    unexplained, stale, unreasoned, special = compare(found, rows())
    for difference in unexplained:
        print(("| " + " | ".join(difference) + " |  |") if "--rows" in sys.argv else f"no row for {difference}")
    for row in stale:
        print(f"no difference for the row {row}")
    for row in unreasoned:
        print(f"no page named in the row {row}")
    print(f"{len(found)} differences, {len(rows())} rows, {len(names) - len(special)} requests alike but for rows that hold for all")
    failed = len(unexplained) + len(stale) + len(unreasoned)
    print(f"{len(names) - len({difference[0] for difference in unexplained})} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
