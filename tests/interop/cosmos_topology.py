"""Splits and merges under way: feeds, queries and batches that go on over them, and what the feed no longer keeps."""

from azure.cosmos import ContainerProxy

from cosmos_feed import ALL_VERSIONS, drain, ids
from support.checks import Checks, equal, holds, refused
from support.cosmos import World

CHECKS = Checks()
FEED = {"a-im": "Incremental Feed"}
RANGE = "x-ms-documentdb-partitionkeyrangeid"


def ranges(world: World, container: ContainerProxy) -> list[dict]:
    return world.send("GET", f"/dbs/{world.database.id}/colls/{container.id}/pkranges").json()["PartitionKeyRanges"]


def in_order(items: list[dict], expected: list[int]) -> None:
    """Every item once, and in order for each partition key."""
    equal(sorted(item["n"] for item in items), expected, "the items")
    for key in {item["pk"] for item in items}:
        of_key = [item["n"] for item in items if item["pk"] == key]
        equal(of_key, sorted(of_key), f"the order of {key}")


@CHECKS.named("topology: a split in the middle of a feed")
def split_in_feed(world: World) -> None:
    container = world.seeded(60, 2)
    pages = container.query_items_change_feed(start_time="Beginning", max_item_count=4).by_page()
    splits = ["0", "1", "2"]
    found: list[dict] = []
    for number, page in enumerate(pages):
        found += list(page)
        if number % 3 == 1 and splits:
            world.split(container, splits.pop(0))
    in_order(found, list(range(60)))
    token = container.client_connection.last_response_headers["etag"]
    container.create_item({"id": "new", "pk": "p1", "n": 60})
    equal(ids(drain(world.fresh(container), continuation=token)[0]), ["new"])


@CHECKS.named("topology: a continuation from before a split, and one from before a merge")
def old_continuation(world: World) -> None:
    # One after the other: where a range was split and a part of it merged, this client reads more than its share.
    for change in (lambda: world.split(container, "0"), lambda: world.merge(container, ["0", "1"])):
        container = world.seeded(40, 2)
        # One page of each range: this client does not read back a continuation in which a range has no place yet.
        pages = container.query_items_change_feed(start_time="Beginning", max_item_count=5).by_page()
        first = [*next(pages), *next(pages)]
        token = container.client_connection.last_response_headers["etag"]
        change()
        container.upsert_item({"id": "new", "pk": "p3", "n": 40})
        for reader in (container, world.fresh(container)):
            rest, _ = drain(reader, continuation=token, max_item_count=5)
            in_order(first + rest, list(range(41)))


@CHECKS.named("topology: a merge in the middle of a feed")
def merge_in_feed(world: World) -> None:
    container = world.seeded(60, 4)
    pages = container.query_items_change_feed(start_time="Beginning", max_item_count=4).by_page()
    merges = [["0", "1"], ["2", "3"]]
    found: list[dict] = []
    for number, page in enumerate(pages):
        found += list(page)
        if number % 4 == 1 and merges:
            world.merge(container, merges.pop(0))
    in_order(found, list(range(60)))


@CHECKS.named("topology: all versions over a split, of the container and of one key")
def all_versions(world: World) -> None:
    container = world.seeded(16, 1)
    token = drain(container, mode=ALL_VERSIONS, start_time="Now")[1]
    of_key = drain(container, mode=ALL_VERSIONS, partition_key="p1", start_time="Now")[1]
    for base in (100, 200):
        for n in range(16):
            container.upsert_item({"id": f"d{n}", "pk": f"p{n % 8}", "n": base + n})
        if base == 100:
            world.split(container, "0")
    container.delete_item("d1", "p1")
    items, _ = drain(world.fresh(container), continuation=token, max_item_count=5)
    changed = [item["current"] for item in items if item["metadata"]["operationType"] != "delete"]
    in_order(changed, [*range(100, 116), *range(200, 216)])
    mine = drain(container, continuation=of_key)[0]
    equal([item["current"].get("n") for item in mine], [101, 109, 201, 209, None])


@CHECKS.named("topology: a split in the middle of a query")
def split_in_query(world: World) -> None:
    container = world.seeded(40, 2)
    pages = container.query_items("SELECT * FROM c", max_item_count=3, enable_cross_partition_query=True).by_page()
    found = list(next(pages))
    world.split(container, "0")
    world.split(container, "1")
    found += [row for page in pages for row in page]
    equal(sorted(row["n"] for row in found), list(range(40)))


@CHECKS.named("topology: splits and merges between the pages of a resumed query")
def resumed_query(world: World) -> None:
    container = world.seeded(40, 2)
    changes = [lambda: world.split(container, "0"), lambda: world.merge(container, ["3", "1"])]
    found, token = [], None
    while True:
        query = world.fresh(container).query_items("SELECT * FROM c", max_item_count=6, enable_cross_partition_query=True)
        pages = query.by_page(token)
        found += list(next(pages))
        token = pages.continuation_token
        if not token:
            break
        if changes:
            changes.pop(0)()
    equal(sorted(row["n"] for row in found), list(range(40)))


@CHECKS.named("topology: a split in the middle of an ordered query")
def split_in_order(world: World) -> None:
    container = world.seeded(40, 2)
    query = "SELECT * FROM c ORDER BY c.n"
    rows = container.query_items(query, max_item_count=3, enable_cross_partition_query=True)
    found = [next(rows)["n"] for _ in range(4)]
    world.split(container, "0")
    found += [row["n"] for row in rows]
    # After 410 this client reads the children from their beginning: no row is missing, but some come again.
    equal(sorted(set(found)), list(range(40)))
    again = container.query_items(query, max_item_count=3, enable_cross_partition_query=True)
    equal([row["n"] for row in again], list(range(40)))


@CHECKS.named("topology: writes and reads after a split and a merge")
def writes(world: World) -> None:
    container = world.seeded(16, 2)
    world.split(container, "0")
    for n in range(16):
        equal(container.read_item(f"d{n}", f"p{n % 8}")["n"], n)
        container.upsert_item({"id": f"d{n}", "pk": f"p{n % 8}", "n": -n})
    equal(len(list(container.read_feed_ranges(force_refresh=True))), 3)
    world.merge(container, ["2", "3"])
    equal(len(list(container.read_feed_ranges(force_refresh=True))), 2)
    results = container.execute_item_batch([("read", ("d1",)), ("delete", ("d1",))], "p1")
    equal([result["statusCode"] for result in results], [200, 204])
    equal(sorted(item["n"] for item in container.read_all_items()), sorted(-n for n in range(16) if n != 1))


@CHECKS.named("by hand: a child takes its parent's entity tag, a merged range with bounds too")
def parents_tag(world: World) -> None:
    container = world.seeded(30, 1)
    path = world.docs(container)
    page = world.send("GET", path, FEED | {RANGE: "0", "x-ms-max-item-count": "10"})
    found, tag = page.json()["Documents"], page.headers["etag"]
    before = ranges(world, container)
    world.split(container, "0")
    children = ranges(world, container)
    equal([child["parents"] for child in children], [["0"], ["0"]])
    gone = world.send("GET", path, FEED | {RANGE: "0", "if-none-match": tag})
    equal((gone.status, gone.headers["x-ms-substatus"]), (410, "1002"))
    for child in children:
        rest = world.send("GET", path, FEED | {RANGE: child["id"], "if-none-match": tag})
        found += rest.json()["Documents"] if rest.status == 200 else []
    in_order(found, list(range(30)))
    world.merge(container, [child["id"] for child in children])
    (merged,) = ranges(world, container)
    equal((merged["minInclusive"], merged["maxExclusive"]), (before[0]["minInclusive"], before[0]["maxExclusive"]))
    found = page.json()["Documents"]
    for child in children:
        bounds = {"x-ms-start-epk": child["minInclusive"], "x-ms-end-epk": child["maxExclusive"]}
        bounds |= {"x-ms-read-key-type": "EffectivePartitionKeyRange"}
        rest = world.send("GET", path, FEED | bounds | {RANGE: merged["id"], "if-none-match": tag})
        found += rest.json()["Documents"] if rest.status == 200 else []
    in_order(found, list(range(30)))


@CHECKS.named("by hand: the ranges' entity tag changes with a split")
def ranges_tag(world: World) -> None:
    container = world.seeded(0, 1)
    path = f"/dbs/{world.database.id}/colls/{container.id}/pkranges"
    tag = world.send("GET", path, FEED).headers["etag"]
    equal(world.send("GET", path, FEED | {"if-none-match": tag}).status, 304)
    world.split(container, "0")
    changed = world.send("GET", path, FEED | {"if-none-match": tag})
    equal((changed.status, len(changed.json()["PartitionKeyRanges"])), (200, 2))
    equal(world.send("GET", path, FEED | {"if-none-match": changed.headers["etag"]}).status, 304)


@CHECKS.named("all versions: a continuation from before the retention is refused")
def retention(world: World) -> None:
    container = world.new_container()
    world.control("POST", "retention", {"database": world.database.id, "container": container.id, "seconds": 600})
    token = drain(container, mode=ALL_VERSIONS, start_time="Now")[1]
    container.create_item({"id": "1", "pk": "p"})
    world.advance(300)
    equal(len(drain(container, continuation=token)[0]), 1, "the changes within the retention")
    world.advance(400)
    container.create_item({"id": "2", "pk": "p"})
    error = refused(400, lambda: drain(container, continuation=token))
    holds(str(error), "the refusal has a message")
    equal(ids(drain(container, start_time="Beginning")[0]), ["1", "2"], "the latest versions, which are always kept")


@CHECKS.named("by hand: a page without items and not 304 is not the end")
def empty_page(world: World) -> None:
    container = world.seeded(10, 1)
    quirk = {"database": world.database.id, "container": container.id, "emptyPageEvery": 2}
    world.control("POST", "feed", quirk)
    found, tag, empty = [], None, 0
    for _ in range(50):
        headers = FEED | {RANGE: "0", "x-ms-max-item-count": "2"} | ({"if-none-match": tag} if tag else {})
        page = world.send("GET", world.docs(container), headers)
        if page.status == 304:
            break
        empty += not page.json()["Documents"]
        found += page.json()["Documents"]
        tag = page.headers["etag"]
    in_order(found, list(range(10)))
    holds(empty > 0, "some pages are empty")
