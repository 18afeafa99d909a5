"""The change feed in both modes: where it starts, what it covers, its shapes, and where it goes on."""

import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

from azure.cosmos import ContainerProxy

from support.checks import Checks, equal, holds, refused
from support.cosmos import World, without_system

CHECKS = Checks()
ALL_VERSIONS = "AllVersionsAndDeletes"


def read(container: ContainerProxy, **options: Any) -> tuple[list[list[dict]], str]:
    """The pages of a feed until there is nothing new, and the continuation."""
    pages = [list(page) for page in container.query_items_change_feed(**options).by_page()]
    return [page for page in pages if page], container.client_connection.last_response_headers["etag"]


def drain(container: ContainerProxy, **options: Any) -> tuple[list[dict], str]:
    pages, token = read(container, **options)
    return [item for page in pages for item in page], token


def ids(items: list[dict]) -> list[str]:
    return [item["id"] for item in items]


@CHECKS.named("feed: from the beginning, of the whole container, in pages")
def beginning(world: World) -> None:
    container = world.seeded(50, 3)
    pages, token = read(container, start_time="Beginning", max_item_count=7)
    items = [item for page in pages for item in page]
    equal(sorted(item["n"] for item in items), list(range(50)))
    holds(len(pages) >= 8 and max(map(len, pages)) <= 7, f"the pages are small: {list(map(len, pages))}")
    for key in {item["pk"] for item in items}:
        of_key = [item["n"] for item in items if item["pk"] == key]
        equal(of_key, sorted(of_key), f"the order of {key}")
    equal(drain(container, continuation=token)[0], [])


@CHECKS.named("feed: goes on from a continuation, with a fresh client too")
def continuation(world: World) -> None:
    container = world.seeded(20, 2)
    items, token = drain(container, start_time="Beginning")
    equal(len(items), 20)
    container.upsert_item({"id": "d3", "pk": "p3", "n": -3})
    container.create_item({"id": "new", "pk": "p1", "n": 100})
    fresh = world.fresh(container)
    items, token = drain(fresh, continuation=token)
    equal(sorted(ids(items)), ["d3", "new"])
    equal(drain(container, continuation=token)[0], [])


@CHECKS.named("feed: from now")
def now(world: World) -> None:
    container = world.seeded(10, 2)
    items, token = drain(container, start_time="Now")
    equal(items, [])
    container.upsert_item({"id": "later", "pk": "p", "n": 1})
    equal(ids(drain(container, continuation=token)[0]), ["later"])


@CHECKS.named("feed: from a time")
def from_time(world: World) -> None:
    container = world.new_container()
    container.create_item({"id": "before", "pk": "p"})
    world.advance(100)
    middle = container.create_item({"id": "after", "pk": "p"})["_ts"]
    container.create_item({"id": "last", "pk": "q"})
    for offset, expected in ((-50, ["after", "last"]), (-200, ["before", "after", "last"]), (50, [])):
        start = datetime.fromtimestamp(middle, timezone.utc) + timedelta(seconds=offset)
        # The client's own continuation from a time cannot be read back: it writes milliseconds and reads seconds.
        equal(ids(drain(container, start_time=start)[0]), expected, f"the items from {offset} s on")


@CHECKS.named("feed: the latest version shows each item once, and no deletes")
def latest(world: World) -> None:
    container = world.new_container()
    for n in range(3):
        container.upsert_item({"id": "a", "pk": "p", "n": n})
    container.create_item({"id": "b", "pk": "p"})
    container.upsert_item({"id": "c", "pk": "p"})
    container.delete_item("b", "p")
    items, token = drain(container, start_time="Beginning")
    equal([(item["id"], item.get("n")) for item in items], [("a", 2), ("c", None)])
    container.upsert_item({"id": "a", "pk": "p", "n": 9})
    equal([(item["id"], item.get("n")) for item in drain(container, continuation=token)[0]], [("a", 9)])


@CHECKS.named("feed: the flat shape is the document with its sequence number")
def flat(world: World) -> None:
    container = world.new_container()
    sent = {"z": 1.5, "id": "1", "pk": "p", "ü": "é😀", "a": {"y": [1, {}]}}
    created = container.create_item(sent)
    (item,) = drain(container, start_time="Beginning")[0]
    equal(list(item), [*created, "_lsn"], "the order of the properties")
    equal(without_system(item), sent | {"_lsn": item["_lsn"]})
    equal(item["_lsn"], world.history(container)[0]["lsn"])


@CHECKS.named("feed: of one feed range")
def feed_ranges(world: World) -> None:
    container = world.seeded(40, 4)
    found: list[str] = []
    for part in container.read_feed_ranges():
        items, token = drain(container, feed_range=part, start_time="Beginning", max_item_count=3)
        holds(items, "each range has items")
        found += ids(items)
        equal(drain(container, continuation=token)[0], [])
    equal(sorted(found), sorted(f"d{n}" for n in range(40)))


@CHECKS.named("feed: of one partition key")
def partition_key(world: World) -> None:
    container = world.seeded(40, 3)
    items, token = drain(container, partition_key="p3", start_time="Beginning", max_item_count=2)
    equal(ids(items), [f"d{n}" for n in range(3, 40, 8)])
    container.upsert_item({"id": "other", "pk": "p4"})
    container.upsert_item({"id": "mine", "pk": "p3"})
    equal(ids(drain(container, continuation=token)[0]), ["mine"])


@CHECKS.named("feed: of a hierarchical key and of its prefixes")
def prefix(world: World) -> None:
    container = world.new_container(["/a", "/b", "/c"])
    for n in range(12):
        container.create_item({"id": f"{n}", "a": f"a{n % 2}", "b": f"b{n % 3}", "c": n})
    for key, expected in (
        (["a0"], ["0", "2", "4", "6", "8", "10"]),
        (["a1", "b0"], ["3", "9"]),
        (["a1", "b0", 9], ["9"]),
        (["none"], []),
    ):
        equal(ids(drain(container, partition_key=key, start_time="Beginning")[0]), expected, f"the items of {key}")
    token = drain(container, partition_key=["a0"], start_time="Now")[1]
    container.create_item({"id": "in", "a": "a0", "b": "b", "c": 0})
    container.create_item({"id": "out", "a": "a1", "b": "b", "c": 0})
    equal(ids(drain(container, continuation=token)[0]), ["in"])


@CHECKS.named("feed: a batch is never split over pages")
def batches(world: World) -> None:
    container = world.new_container()
    for start in range(0, 20, 5):
        writes = [("create", ({"id": f"{n}", "pk": "p"},)) for n in range(start, start + 5)]
        container.execute_item_batch(writes, "p")
    pages, _ = read(container, start_time="Beginning", max_item_count=2)
    equal([len(page) for page in pages], [5, 5, 5, 5])
    equal([len({item["_lsn"] for item in page}) for page in pages], [1, 1, 1, 1])


@CHECKS.named("all versions: every version and delete, with the sequence number before")
def all_versions(world: World) -> None:
    container = world.new_container()
    items, token = drain(container, mode=ALL_VERSIONS, start_time="Now")
    equal(items, [])
    written = [
        container.create_item({"id": "1", "pk": "p", "n": 1}),
        container.upsert_item({"id": "1", "pk": "p", "n": 2}),
        container.replace_item("1", {"id": "1", "pk": "p", "n": 3}),
    ]
    container.delete_item("1", "p")
    container.create_item({"id": "1", "pk": "p", "n": 4})
    items, after = drain(container, continuation=token, max_item_count=2)
    kinds = [item["metadata"]["operationType"] for item in items]
    equal(kinds, ["create", "replace", "replace", "delete", "create"])
    equal([item["current"] for item in items[:3]], written)
    equal(items[3]["current"], {})
    removed = items[3]["metadata"]
    equal((removed["id"], removed["partitionKey"]), ("1", {"pk": "p"}))
    lsns = [item["metadata"]["lsn"] for item in items]
    equal(lsns, sorted(set(lsns)))
    previous = [item["metadata"].get("previousImageLSN") for item in items]
    equal(previous, [None, *lsns[:3], None])
    history = world.history(container)
    equal([(change["op"], change["lsn"]) for change in history], list(zip(kinds, lsns)))
    holds(all(isinstance(item["metadata"]["crts"], int) for item in items), "commit times are whole seconds")
    equal(drain(container, continuation=after)[0], [])
    equal(len(drain(container, continuation=token)[0]), 5, "the changes read once more")


@CHECKS.named("all versions: an expired item is a delete that says so")
def expired(world: World) -> None:
    container = world.new_container(["/a", "/b"], default_ttl=60)
    token = drain(container, mode=ALL_VERSIONS, start_time="Now")[1]
    container.create_item({"id": "1", "a": "x", "b": 7})
    world.advance(61)
    created, removed = drain(container, continuation=token)[0]
    metadata = removed["metadata"]
    equal((metadata["operationType"], metadata["timeToLiveExpired"]), ("delete", True))
    equal((metadata["id"], metadata["partitionKey"]), ("1", {"a": "x", "b": 7}))
    equal(metadata["previousImageLSN"], created["metadata"]["lsn"])


@CHECKS.named("all versions: of one key and of one range")
def all_versions_scoped(world: World) -> None:
    container = world.seeded(8, 4)
    of_key = drain(container, mode=ALL_VERSIONS, partition_key="p1", start_time="Now")[1]
    parts = list(container.read_feed_ranges())
    tokens = [drain(container, mode=ALL_VERSIONS, feed_range=part, start_time="Now")[1] for part in parts]
    for n in range(8):
        container.delete_item(f"d{n}", f"p{n}")
    equal([item["metadata"]["id"] for item in drain(container, continuation=of_key)[0]], ["d1"])
    found = [item["metadata"]["id"] for token in tokens for item in drain(container, continuation=token)[0]]
    equal(sorted(found), [f"d{n}" for n in range(8)])


@CHECKS.named("all versions: no start but now, and only if the account has them")
def all_versions_refused(world: World) -> None:
    container = world.new_container()
    container.create_item({"id": "1", "pk": "p"})
    headers = {"a-im": "Full-Fidelity Feed", "x-ms-documentdb-partitionkeyrangeid": "0"}
    path = world.docs(container)
    equal(world.send("GET", path, headers).status, 400)
    date = format_datetime(datetime.now(timezone.utc), usegmt=True)
    equal(world.send("GET", path, headers | {"if-modified-since": date}).status, 400)
    world.control("POST", "account", {"allVersions": False})
    error = refused(400, lambda: drain(container, mode=ALL_VERSIONS, start_time="Now"))
    holds("not enabled" in str(error), f"the refusal says why: {error}")


@CHECKS.named("feed: a page by hand, in the envelope, and 304 with its continuation")
def by_hand(world: World) -> None:
    container = world.new_container()
    created = container.create_item({"id": "1", "pk": "p"})
    headers = {"a-im": "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid": "0"}
    enveloped = headers | {"x-ms-cosmos-changefeed-wire-format-version": "2021-09-15"}
    page = world.send("GET", world.docs(container), enveloped)
    equal(page.status, 200)
    (change,) = page.json()["Documents"]
    equal(change["current"], created)
    equal((change["metadata"]["lsn"], change["metadata"]["crts"]), (1, created["_ts"]))
    etag = page.headers["etag"]
    equal(json.loads(etag), "1", "the continuation, a quoted sequence number")
    unchanged = world.send("GET", world.docs(container), headers | {"if-none-match": etag})
    equal((unchanged.status, unchanged.body, unchanged.headers["etag"]), (304, b"", etag))
    start = world.send("GET", world.docs(container), headers | {"if-none-match": "*"})
    equal((start.status, start.headers["etag"]), (304, etag))
    equal(world.send("GET", world.docs(container), headers | {"if-none-match": '"x"'}).status, 400)
