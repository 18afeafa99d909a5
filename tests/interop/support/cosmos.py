"""The emulator as the checks see it: Microsoft's client, requests signed by hand, and control requests."""

import base64
import hashlib
import hmac
import http.client
import itertools
import json
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy, PartitionKey

# The key of Microsoft's own emulator, which is public.
KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
DATE = "Fri, 20 Nov 2026 18:46:23 GMT"
TIMEOUT_SECONDS = 30


@dataclass
class Answer:
    """An answer without an SDK's help."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def sign(verb: str, segments: list[str], key: str = KEY) -> str:
    """The authorization header: "Access control on Azure Cosmos DB resources" of the REST reference."""
    if len(segments) % 2 == 0:
        kind, link = (segments[-2], "/".join(segments)) if segments else ("", "")
    else:
        kind, link = segments[-1], "/".join(segments[:-1])
    return sign_link(verb, kind, link, key)


def sign_link(verb: str, kind: str, link: str, key: str = KEY) -> str:
    """The same with the resource given, for clients that sign resource ids."""
    text = f"{verb.lower()}\n{kind}\n{link}\n{DATE.lower()}\n\n"
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return quote(f"type=master&ver=1.0&sig={base64.b64encode(digest).decode()}", safe="")


class World:
    """The running emulator."""

    def __init__(self, cosmos: str) -> None:
        self.endpoint = cosmos
        self._address = urlsplit(cosmos).netloc
        self._run = uuid.uuid4().hex[:6]
        self._numbers = itertools.count(1)
        self.client = self.new_client()
        self._database: DatabaseProxy | None = None

    def new_client(self, **options: Any) -> CosmosClient:
        """A client without anything that another one learned."""
        return CosmosClient(self.endpoint, KEY, **options)

    @property
    def database(self) -> DatabaseProxy:
        """The database of checks that need no own one."""
        if self._database is None:
            self._database = self.client.create_database(f"python-{self._run}")
        return self._database

    def new_name(self, prefix: str = "c") -> str:
        """A name that nothing had before."""
        return f"{prefix}{next(self._numbers)}-{self._run}"

    def new_container(self, paths: str | list[str] = "/pk", **options: Any) -> ContainerProxy:
        """A container of its own for a check; several paths make a hierarchical key."""
        if isinstance(paths, str):
            key = PartitionKey(path=paths)
        else:
            key = PartitionKey(path=paths, kind="MultiHash")
        return self.database.create_container(self.new_name(), partition_key=key, **options)

    def seeded(self, count: int, ranges: int, keys: int = 8, size: int = 200) -> ContainerProxy:
        """A container with documents d0… over keys p0… in several ranges."""
        name = self.new_name()
        self.control(
            "POST",
            "seed",
            {"database": self.database.id, "container": name, "partitionKey": "/pk", "count": count, "bytes": size}
            | {"keys": keys, "partitions": ranges},
        )
        return self.database.get_container_client(name)

    def fresh(self, container: ContainerProxy, **options: Any) -> ContainerProxy:
        """The same container through a client that knows nothing yet."""
        return self.new_client(**options).get_database_client(self.database.id).get_container_client(container.id)

    def control(self, verb: str, name: str, body: Any = None) -> Any:
        """A control request, which must succeed."""
        answer = self.raw(verb, f"/_emulator/{name}", {}, json.dumps(body).encode() if body is not None else b"")
        if answer.status != 200:
            raise AssertionError(f"{name} answered {answer.status}: {answer.body!r}")
        return answer.json() if answer.headers.get("content-type") == "application/json" else answer.body.decode()

    def history(self, container: ContainerProxy) -> list[dict]:
        """Every committed change of a container."""
        lines = self.control("GET", f"history?database={quote(self.database.id)}&container={quote(container.id)}")
        return [json.loads(line) for line in lines.splitlines()]

    def split(self, container: ContainerProxy, range_id: str) -> None:
        self.control("POST", "split", {"database": self.database.id, "container": container.id, "range": range_id})

    def merge(self, container: ContainerProxy, range_ids: list[str]) -> None:
        self.control("POST", "merge", {"database": self.database.id, "container": container.id, "ranges": range_ids})

    def faults(self, *rules: dict) -> None:
        self.control("POST", "faults", {"rules": [{"service": "cosmos"} | rule for rule in rules]})

    def advance(self, seconds: float) -> None:
        """Moves the time of the documents forward."""
        self.control("POST", "clock", {"service": "cosmos", "advanceSeconds": seconds})

    def tidy(self) -> None:
        """Leaves nothing of a check's own that could disturb the next one."""
        self.control("DELETE", "faults")
        self.control("POST", "account", {"allVersions": True})

    def send(self, verb: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
        """A request signed by hand. The path is given decoded; a slash at its end is kept."""
        segments = [segment for segment in path.split("/") if segment]
        signed = {"authorization": sign(verb, segments), "x-ms-date": DATE, "x-ms-version": "2020-07-15"}
        return self.raw(verb, quote(path), signed | (headers or {}), body)

    def raw(self, verb: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """A request as it is given."""
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(verb, target, body, headers)
            response = connection.getresponse()
            answered = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, answered, response.read())
        finally:
            connection.close()

    def docs(self, container: ContainerProxy) -> str:
        """The path of a container's documents."""
        return f"/dbs/{self.database.id}/colls/{container.id}/docs"


def without_system(document: dict) -> dict:
    """A document without the service's properties, in its own order."""
    return {name: value for name, value in document.items() if name not in ("_rid", "_self", "_etag", "_attachments", "_ts")}
