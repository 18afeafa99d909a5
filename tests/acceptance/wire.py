"""Cosmos DB and Blob Storage over signed HTTP, with Python's standard library alone.

Shares nothing with the product: names, signatures and listings are written again from Microsoft's documentation ("Access
control on Azure Cosmos DB resources", "Authorize with Shared Key", "List Blobs"), so that a fault of the product's own reader
cannot hide one of its writer. Connections stay open, one for each thread.
"""

import base64
import concurrent.futures
import email.utils
import hashlib
import hmac
import http.client
import json
import re
import threading
import time
import urllib.parse
import xml.etree.ElementTree

# The public keys of Microsoft's emulators.
COSMOS_KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
BLOB_ACCOUNT = "devstoreaccount1"
BLOB_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

THREADS = 6
TIMEOUT_SECONDS = 60
# A server ends connections that are idle; one that was not used for so long is not used again.
IDLE_SECONDS_MAX = 5
LIST_ITEMS_MAX = 5_000
PAGE_ITEMS_MAX = 1_000

SIGNED_BLOB_HEADERS = 11
SYSTEM_PROPERTIES = re.compile(
    rb',"_rid":"[^"]*","_self":"[^"]*","_etag":"\\"[^"\\]*\\"","_attachments":"[^"]*","_ts":\d+\}$'
)


class Refused(Exception):
    """The service answered with a status that was not expected."""


class Service:
    """One HTTP endpoint."""

    def __init__(self, url: str, key: str):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.root = parts.hostname, parts.port, parts.path.rstrip("/")
        self.key = base64.b64decode(key)
        self.local = threading.local()

    def send(self, method: str, target: str, headers: dict, body: bytes = b"", expected: tuple = (200, 201, 204)):
        """Sends one request; gives headers and body of the answer."""
        connection, used = getattr(self.local, "connection", (None, 0))
        if time.monotonic() - used > IDLE_SECONDS_MAX:
            if connection is not None:
                connection.close()
            connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS)
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.local.connection = connection, time.monotonic()
        if answer.status not in expected:
            raise Refused(f"{method} {target}: {answer.status} {content[:500].decode(errors='replace')}")
        return answer.headers, content

    def signature(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self.key, text.encode(), "sha256")).decode()


def now() -> str:
    return email.utils.formatdate(usegmt=True)


def each(function, items) -> list:
    """Calls the function for every item, several at a time; results in the items' order."""
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, items))


class Cosmos(Service):
    """The document service, and the emulator's control requests on the same port."""

    def __init__(self, url: str):
        super().__init__(url, COSMOS_KEY)

    def request(self, method: str, kind: str, link: str, path: str, headers: dict, body: bytes = b""):
        """Signs and sends; `link` is the resource as the signature covers it, `path` as the URL has it."""
        date = now()
        signature = self.signature(f"{method.lower()}\n{kind}\n{link}\n{date.lower()}\n\n")
        token = urllib.parse.quote(f"type=master&ver=1.0&sig={signature}", safe="")
        return self.send(
            method, path, {"authorization": token, "x-ms-date": date, "x-ms-version": "2020-07-15"} | headers, body
        )

    def create_database(self, name: str):
        self.request("POST", "dbs", "", "/dbs", {}, json.dumps({"id": name}).encode())

    def create_container(self, database: str, name: str, key_path: str):
        properties = {"id": name, "partitionKey": {"paths": [key_path], "kind": "Hash", "version": 2}}
        link = f"dbs/{database}"
        self.request("POST", "colls", link, f"/{link}/colls", {}, json.dumps(properties).encode())

    def create(self, container: str, key: str, body: bytes) -> bytes:
        """Creates a document; gives it as the service holds it."""
        link = f"dbs/{container.replace('/', '/colls/')}"
        return self.request("POST", "docs", link, f"/{link}/docs", partition_key(key), body)[1]

    def replace(self, container: str, key: str, id: str, body: bytes) -> bytes:
        return self.request("PUT", "docs", *item(container, id), partition_key(key), body)[1]

    def delete(self, container: str, key: str, id: str):
        self.request("DELETE", "docs", *item(container, id), partition_key(key))

    def documents(self, container: str) -> list:
        """All documents of the container, each as the bytes in which the service sends it."""
        link = f"dbs/{container.replace('/', '/colls/')}"
        texts, continuation = [], {}
        while True:
            headers = {"x-ms-max-item-count": str(PAGE_ITEMS_MAX)} | continuation
            answered, body = self.request("GET", "docs", link, f"/{link}/docs", headers)
            texts += [text.encode() for text in elements(body.decode(), "Documents")]
            if not answered["x-ms-continuation"]:
                return texts
            continuation = {"x-ms-continuation": answered["x-ms-continuation"]}

    def history(self, container: str) -> list:
        """Every change the emulator committed, oldest first; each with its document's text as in the answer."""
        database, name = container.split("/")
        query = urllib.parse.urlencode({"database": database, "container": name})
        body = self.send("GET", f"/_emulator/history?{query}", {})[1].decode()
        changes = []
        # Only line feeds end a line; str.splitlines would cut documents at other separators of Unicode.
        for line in body.split("\n")[:-1]:
            change = json.loads(line)
            change["text"] = line[line.index(',"document":') + len(',"document":') : -1].encode()
            changes.append(change)
        return changes

    def advance(self, seconds: int):
        """Moves the clocks of both services."""
        self.send("POST", "/_emulator/clock", {}, json.dumps({"advanceSeconds": seconds}).encode())

    def time(self) -> int:
        """The service's time in seconds since 1970."""
        answered, _ = self.request("GET", "", "", "/", {})
        return int(email.utils.parsedate_to_datetime(answered["date"]).timestamp())


def item(container: str, id: str) -> tuple:
    """The resource type's link and path: `container` is `database/container`."""
    link = f"dbs/{container.replace('/', '/colls/')}/docs/"
    return link + id, f"/{link}{urllib.parse.quote(id, safe='')}"


def partition_key(key: str) -> dict:
    return {"x-ms-documentdb-partitionkey": json.dumps([key]), "content-type": "application/json"}


def elements(text: str, name: str) -> list:
    """The elements of the array `name` of a JSON object, each as its own text."""
    decoder = json.JSONDecoder()
    at = text.index("[", text.index(json.dumps(name))) + 1
    found = []
    while True:
        while text[at] in " \t\r\n,":
            at += 1
        if text[at] == "]":
            return found
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end])
        at = end


def without_system_properties(document: bytes) -> bytes:
    """What a client sent, from what the service made of it: five properties at the end."""
    return SYSTEM_PROPERTIES.sub(b"}", document)


class Blobs(Service):
    """The blob service."""

    def __init__(self, url: str):
        super().__init__(url, BLOB_KEY)

    def get(self, path: str, query: dict):
        headers = {"x-ms-date": now(), "x-ms-version": "2021-12-02"}
        path = f"{self.root}/{urllib.parse.quote(path)}"
        text = "GET" + "\n" * (SIGNED_BLOB_HEADERS + 1)
        text += "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        text += f"/{BLOB_ACCOUNT}{path}"
        text += "".join(f"\n{name}:{query[name]}" for name in sorted(query))
        headers["authorization"] = f"SharedKey {BLOB_ACCOUNT}:{self.signature(text)}"
        return self.send("GET", f"{path}?{urllib.parse.urlencode(query)}", headers)

    def versions(self, container: str, prefix: str) -> list:
        """Every version under a prefix, with metadata, in the order of names and versions."""
        query = {"restype": "container", "comp": "list", "include": "metadata,versions", "prefix": prefix}
        query["maxresults"] = str(LIST_ITEMS_MAX)
        found = []
        while True:
            page = xml.etree.ElementTree.fromstring(self.get(container, query)[1])
            found += [Version(container, blob) for blob in page.iter("Blob")]
            query["marker"] = page.findtext("NextMarker")
            if not query["marker"]:
                return found

    def content(self, version: "Version") -> bytes:
        return self.get(f"{version.container}/{version.name}", {"versionid": version.version})[1]


class Version:
    """One version of a blob, as a listing tells it."""

    def __init__(self, container: str, blob):
        name = blob.find("Name")
        self.container = container
        self.name = urllib.parse.unquote(name.text) if name.get("Encoded") == "true" else name.text
        self.version = blob.findtext("VersionId")
        self.current = blob.findtext("IsCurrentVersion") == "true"
        self.length = int(blob.findtext("Properties/Content-Length"))
        self.metadata = {field.tag.lower(): field.text or "" for field in blob.find("Metadata")}

    def document(self) -> tuple:
        """Partition key, as JSON text, and id."""
        return decoded(self.metadata["pk"]), decoded(self.metadata["id"])

    def identity(self) -> str:
        """What tells this version of its document from every other."""
        fields = self.metadata
        return fields["etag"] if "etag" in fields else f"del:{fields['lineage']}:{fields['lsn']}"


def decoded(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def component(text: str) -> str:
    """One component of a blob's name, for texts that are neither empty, nor made of dots, nor longer than 200 encoded."""
    encoded = "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 or byte in b"-_." else f"~{byte:02X}" for byte in text.encode()
    )
    return encoded[:-1] + "~2E" if encoded.endswith(".") else encoded
