"""Queries: conditions, projections, orders, windows, counts and pages, over one partition key and over all ranges."""

from azure.cosmos import ContainerProxy
from azure.cosmos.exceptions import CosmosHttpResponseError

from support.checks import Checks, equal, holds, refused
from support.cosmos import World

CHECKS = Checks()
RANGES = 4
COUNT = 60
KEYS = 8


def everywhere(container: ContainerProxy, query: str, parameters: dict | None = None, **options) -> list:
    named = [{"name": name, "value": value} for name, value in (parameters or {}).items()]
    return list(container.query_items(query, named, enable_cross_partition_query=True, **options))


def numbers(rows: list) -> list:
    return sorted(row["n"] for row in rows)


class Seeded:
    """Containers that only readers use, made once."""

    container: ContainerProxy | None = None

    @classmethod
    def get(cls, world: World) -> ContainerProxy:
        if cls.container is None:
            cls.container = world.seeded(COUNT, RANGES, KEYS)
        return cls.container


@CHECKS.named("queries: everything, over all ranges and over one key")
def everything(world: World) -> None:
    container = Seeded.get(world)
    equal(numbers(everywhere(container, "SELECT * FROM c")), list(range(COUNT)))
    equal(numbers(container.read_all_items()), list(range(COUNT)))
    of_key = list(container.query_items("SELECT * FROM c", partition_key="p3"))
    equal(numbers(of_key), list(range(3, COUNT, KEYS)))
    equal({row["pk"] for row in of_key}, {"p3"})
    none = list(container.query_items("SELECT * FROM c", partition_key="none"))
    equal(none, [])


@CHECKS.named("queries: comparisons, AND, OR, NOT, IN, BETWEEN and parameters")
def conditions(world: World) -> None:
    container = Seeded.get(world)
    for where, expected in [
        ("c.n = 7", [7]),
        ("c.n < 3", [0, 1, 2]),
        ("c.n <= 2 AND c.n != 1", [0, 2]),
        ("c.n > 57", [58, 59]),
        ("c.n >= 58 OR c.id = 'd1'", [1, 58, 59]),
        ("NOT (c.n > 1)", [0, 1]),
        ("c.n IN (4, 5, 400)", [4, 5]),
        ("c.n BETWEEN 10 AND 12", [10, 11, 12]),
        ("c.n = @n AND c.pk = @key", [11]),
        ("c.n IN (@n, @other)", [11, 12]),
        ("ARRAY_CONTAINS(@list, c.n)", [1, 2]),
        ("c.pk = 'p0' AND (c.n = 8 OR c.n = 9)", [8]),
        ("c['n'] = 3", [3]),
        ("c.missing = 1", []),
        ("c.n = '7'", []),
        ("c.n % 20 = 0 AND c.n * 2 > 50 - 10", [40]),
    ]:
        parameters = {"@n": 11, "@other": 12, "@key": "p3", "@list": [1, 2, "3"]}
        equal(numbers(everywhere(container, f"SELECT * FROM c WHERE {where}", parameters)), expected, where)


@CHECKS.named("queries: STARTSWITH, CONTAINS, IS_DEFINED and other functions")
def functions(world: World) -> None:
    container = world.new_container()
    items = [
        {"id": "1", "pk": "a", "n": 1, "s": "Grüße", "o": {"x": None}},
        {"id": "2", "pk": "b", "n": 2, "s": "gruss", "l": [1, {"a": 2}]},
        {"id": "3", "pk": "c", "n": 3, "s": 5, "b": True},
    ]
    for item in items:
        container.create_item(item)
    for where, expected in [
        ("STARTSWITH(c.s, 'Gr')", [1]),
        ("STARTSWITH(c.s, 'gr', true)", [1, 2]),
        ("CONTAINS(c.s, 'üß')", [1]),
        ("ENDSWITH(c.s, 's')", [2]),
        ("IS_DEFINED(c.o.x)", [1]),
        ("NOT IS_DEFINED(c.s.x) AND IS_STRING(c.s)", [1, 2]),
        ("IS_NULL(c.o.x)", [1]),
        ("IS_NUMBER(c.s)", [3]),
        ("ARRAY_CONTAINS(c.l, {'a': 2})", [2]),
        ("c.l[1].a = 2", [2]),
        ("LOWER(c.s) = 'gruss'", [2]),
        ("LENGTH(c.s) = 5", [1, 2]),
        ("c.b", [3]),
        ("c.o = {'x': null}", [1]),
    ]:
        equal(numbers(everywhere(container, f"SELECT * FROM c WHERE {where}")), expected, where)


@CHECKS.named("queries: projections and SELECT VALUE")
def projections(world: World) -> None:
    container = Seeded.get(world)
    for select, expected in [
        ("SELECT c.n, c.pk FROM c", {"n": 5, "pk": "p5"}),
        ("SELECT c.n AS number, c.id name FROM c", {"number": 5, "name": "d5"}),
        ("SELECT r.n FROM root r", {"n": 5}),
        ("SELECT VALUE c.n FROM c", 5),
        ("SELECT VALUE {'a': c.n, 'b': [c.pk, c.missing]} FROM c", {"a": 5, "b": ["p5"]}),
        ("SELECT c.missing FROM c", {}),
    ]:
        alias = "r" if "root" in select else "c"
        equal(everywhere(container, f"{select} WHERE {alias}.n = 5"), [expected], select)


@CHECKS.named("queries: ORDER BY one path, over all ranges")
def order(world: World) -> None:
    container = Seeded.get(world)
    for direction, expected in (("", list(range(COUNT))), (" DESC", list(range(COUNT - 1, -1, -1)))):
        for page in (None, 7):
            rows = everywhere(container, f"SELECT * FROM c ORDER BY c.n{direction}", max_item_count=page)
            equal([row["n"] for row in rows], expected, f"the order{direction} in pages of {page}")
    rows = everywhere(container, "SELECT VALUE c.n FROM c WHERE c.n > 50 ORDER BY c.id DESC")
    equal(rows, list(range(COUNT - 1, 50, -1)))
    tied = everywhere(container, "SELECT c.pk, c.n FROM c ORDER BY c.pk", max_item_count=5)
    equal([row["pk"] for row in tied], sorted(f"p{n % KEYS}" for n in range(COUNT)))
    equal(numbers(tied), list(range(COUNT)))


@CHECKS.named("queries: ORDER BY values of every type")
def order_of_types(world: World) -> None:
    container = world.new_container()
    values = [None, False, True, -1.5, 0, 7, "", "A", "a", "ä"]
    for index, value in enumerate(values):
        container.create_item({"id": f"{index}", "pk": f"{index % 3}", "v": value})
    equal(everywhere(container, "SELECT VALUE c.v FROM c ORDER BY c.v"), values)
    equal(everywhere(container, "SELECT VALUE c.v FROM c ORDER BY c.v DESC"), values[::-1])


@CHECKS.named("queries: TOP, OFFSET and LIMIT")
def windows(world: World) -> None:
    container = Seeded.get(world)
    equal(len(everywhere(container, "SELECT TOP 5 * FROM c")), 5)
    equal(everywhere(container, "SELECT TOP 3 VALUE c.n FROM c ORDER BY c.n DESC"), [59, 58, 57])
    equal(everywhere(container, "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 10 LIMIT 4"), [10, 11, 12, 13])
    equal(everywhere(container, "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 58 LIMIT 4"), [58, 59])
    equal(len(set(everywhere(container, "SELECT VALUE c.n FROM c OFFSET 10 LIMIT 20"))), 20)
    equal(len(everywhere(container, "SELECT VALUE c.n FROM c OFFSET 55 LIMIT 20")), 5)
    one = container.query_items("SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 1 LIMIT 2", partition_key="p1")
    equal(list(one), [9, 17])


@CHECKS.named("queries: SELECT VALUE COUNT(1), over all ranges and over one key")
def count(world: World) -> None:
    container = Seeded.get(world)
    equal(everywhere(container, "SELECT VALUE COUNT(1) FROM c"), [COUNT])
    equal(everywhere(container, "SELECT VALUE COUNT(1) FROM c WHERE c.n > 57"), [2])
    equal(everywhere(container, "SELECT VALUE COUNT(c.missing) FROM c"), [0])
    equal(list(container.query_items("SELECT VALUE COUNT(1) FROM c", partition_key="p0")), [8])


@CHECKS.named("queries: pages go on from their continuation, with a fresh client too")
def paging(world: World) -> None:
    container = Seeded.get(world)
    for key in (None, "p1"):
        scope = {"partition_key": key} if key else {"enable_cross_partition_query": True}
        found, token = [], None
        while True:
            fresh = world.fresh(container)
            pages = fresh.query_items("SELECT * FROM c", max_item_count=5, **scope).by_page(token)
            page = list(next(pages))
            holds(len(page) <= 5, "a page is not longer than asked for")
            found += page
            token = pages.continuation_token
            if not token:
                break
        equal(numbers(found), list(range(COUNT)) if key is None else list(range(1, COUNT, KEYS)))


@CHECKS.named("queries: writes between pages neither repeat nor skip what stays")
def changing(world: World) -> None:
    container = world.seeded(30, 1)
    pages = container.query_items("SELECT * FROM c", max_item_count=10, enable_cross_partition_query=True).by_page()
    found = list(next(pages))
    container.delete_item("d0", "p0")
    container.upsert_item({"id": "d5", "pk": "p5", "n": 5})
    for page in pages:
        found += list(page)
    equal(numbers(found), list(range(30)))


@CHECKS.named("queries: of one feed range")
def feed_ranges(world: World) -> None:
    container = Seeded.get(world)
    ranges = list(container.read_feed_ranges())
    equal(len(ranges), RANGES)
    parts = [list(container.query_items("SELECT * FROM c", feed_range=part)) for part in ranges]
    equal(numbers([row for part in parts for row in part]), list(range(COUNT)))
    holds(all(part for part in parts), "each range has rows")
    key = container.feed_range_from_partition_key("p2")
    equal({row["pk"] for row in container.query_items("SELECT * FROM c", feed_range=key)}, {"p2"})


@CHECKS.named("queries: a prefix of a hierarchical key")
def prefixes(world: World) -> None:
    container = world.new_container(["/a", "/b", "/c"])
    for n in range(12):
        container.create_item({"id": f"{n}", "a": f"a{n % 2}", "b": f"b{n % 3}", "c": n, "n": n})
    query = "SELECT * FROM c"
    equal(numbers(container.query_items(query, partition_key=["a0"])), [0, 2, 4, 6, 8, 10])
    equal(numbers(container.query_items(query, partition_key=["a0", "b0"])), [0, 6])
    equal(numbers(container.query_items(query, partition_key=["a0", "b0", 6])), [6])
    ordered = container.query_items("SELECT VALUE c.n FROM c ORDER BY c.n DESC", partition_key=["a1"])
    equal(list(ordered), [11, 9, 7, 5, 3, 1])


@CHECKS.named("queries: charges, counts and refusals are told")
def answers(world: World) -> None:
    container = Seeded.get(world)
    seen: list[dict] = []
    hook = lambda headers, _: seen.append(dict(headers))
    list(container.query_items("SELECT * FROM c", partition_key="p1", response_hook=hook))
    holds(float(seen[0]["x-ms-request-charge"]) > 0, "a query is charged")
    equal(seen[0]["x-ms-item-count"], "8")
    for query, status in [("SELEKT * FROM c", 400), ("SELECT * FROM c WHERE x.a = 1", 400), ("SELECT * FROM c WHERE", 400)]:
        refused(status, lambda: everywhere(container, query))
    error = refused(501, lambda: everywhere(container, "SELECT * FROM c JOIN t IN c.tags"))
    holds(isinstance(error, CosmosHttpResponseError) and "JOIN" in str(error), f"the refusal names JOIN: {error}")
    refused(404, lambda: everywhere(world.database.get_container_client("missing"), "SELECT * FROM c"))
