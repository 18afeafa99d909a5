"""Items one at a time and in batches: conditions, refusals, session tokens, throttling and expiry."""

import json

from azure.core import MatchConditions
from azure.cosmos import ContainerProxy, exceptions

from support.checks import Checks, equal, holds, refused
from support.cosmos import World, without_system

CHECKS = Checks()
ITEM_BYTES_MAX = 2 << 20


def sent_etag(action) -> dict:
    """Runs a write and gives its answer's headers."""
    headers: dict = {}
    action(lambda found, _: headers.update(found))
    return headers


@CHECKS.named("items: create, read, upsert, replace, delete")
def lifecycle(world: World) -> None:
    container = world.new_container()
    item = {"id": "1", "pk": "p", "n": 1}
    created = container.create_item(item)
    equal(without_system(created), item)
    equal(created["_self"].startswith("dbs/"), True)
    refused(409, lambda: container.create_item(item))
    equal(container.read_item("1", "p"), created)
    changed = container.upsert_item(item | {"n": 2})
    equal((changed["n"], changed["_rid"]), (2, created["_rid"]))
    holds(changed["_etag"] != created["_etag"], "another version has another entity tag")
    replaced = container.replace_item("1", item | {"n": 3})
    equal(container.read_item("1", "p"), replaced)
    equal(container.upsert_item({"id": "2", "pk": "p"})["id"], "2")
    refused(404, lambda: container.replace_item("3", {"id": "3", "pk": "p"}))
    container.delete_item("1", "p")
    refused(404, lambda: container.read_item("1", "p"))
    refused(404, lambda: container.delete_item("1", "p"))
    equal([change["op"] for change in world.history(container)], ["create", "replace", "replace", "create", "delete"])


@CHECKS.named("items: one id lives once under each partition key")
def same_ids(world: World) -> None:
    container = world.new_container()
    for key in ("a", "b", 1, 1.5, True, None):
        container.create_item({"id": "same", "pk": key, "text": repr(key)})
    for key in ("a", "b", 1, 1.5, True, None):
        equal(container.read_item("same", key)["text"], repr(key))
    container.delete_item("same", "a")
    equal(container.read_item("same", "b")["text"], "'b'")
    refused(404, lambda: container.read_item("same", "1"))


@CHECKS.named("items: writes without an answer's body still tell the entity tag")
def minimal(world: World) -> None:
    container = world.new_container()
    headers = sent_etag(lambda hook: container.create_item({"id": "1", "pk": "p"}, no_response=True, response_hook=hook))
    equal(headers["etag"], container.read_item("1", "p")["_etag"])


@CHECKS.named("items: If-Match and If-None-Match (412, 304)")
def conditions(world: World) -> None:
    container = world.new_container()
    first = container.create_item({"id": "1", "pk": "p", "n": 1})
    stale = {"etag": first["_etag"], "match_condition": MatchConditions.IfNotModified}
    second = container.replace_item("1", {"id": "1", "pk": "p", "n": 2}, **stale)
    refused(412, lambda: container.replace_item("1", {"id": "1", "pk": "p", "n": 3}, **stale))
    refused(412, lambda: container.upsert_item({"id": "1", "pk": "p", "n": 3}, **stale))
    refused(412, lambda: container.delete_item("1", "p", **stale))
    equal(container.read_item("1", "p"), second)
    known = {"if-none-match": second["_etag"], "x-ms-documentdb-partitionkey": '["p"]'}
    unchanged = world.send("GET", f"{world.docs(container)}/1", known)
    equal((unchanged.status, unchanged.body, unchanged.headers["etag"]), (304, b"", second["_etag"]))
    container.delete_item("1", "p", etag=second["_etag"], match_condition=MatchConditions.IfNotModified)
    refused(404, lambda: container.read_item("1", "p"))


@CHECKS.named("items: a document's numbers, unicode and order of properties survive")
def fidelity(world: World) -> None:
    container = world.new_container()
    body = (
        '{"z":1,"id":"1","pk":"p","a":{"y":[1.10,-0.0,1e300,5E-324,9007199254740993,0.1],"b":null},'
        '"ünï":"\\u00e9\\ud83d\\ude00é😀\\u0000\\u2028","":"empty name","nested":{"_ts":1,"id":2},"m":[[],{},"",true]}'
    )
    created = world.send("POST", world.docs(container), {"x-ms-documentdb-partitionkey": '["p"]'}, body.encode())
    equal(created.status, 201)
    read = world.send("GET", f"{world.docs(container)}/1", {"x-ms-documentdb-partitionkey": '["p"]'})
    holds(read.body.decode().startswith(body[:-1]), f"the text is kept: {read.body.decode()}")
    seen = container.read_item("1", "p")
    equal(list(without_system(seen)), list(json.loads(body)), "the order of the properties")
    equal(seen["a"]["y"], [1.1, -0.0, 1e300, 5e-324, 9007199254740993, 0.1])
    equal(seen["ünï"], "é😀é😀\0\u2028")


@CHECKS.named("items: ids of every kind")
def ids(world: World) -> None:
    container = world.new_container()
    for name in ("a b", "%20", "ü😀", "a+b=c&d", "x" * 1023, "'", '"', ";,:@$", "a.b-c_d~"):
        container.create_item({"id": name, "pk": "p"})
        equal(container.read_item(name, "p")["id"], name)
        container.delete_item(name, "p")
    key = {"x-ms-documentdb-partitionkey": '["p"]'}
    for bad in ("", "x" * 1024, "a/b", "a\\b"):
        body = json.dumps({"id": bad, "pk": "p"}).encode()
        equal(world.send("POST", world.docs(container), key, body).status, 400, f"the status for {bad[:9]!r}")
    for bad in ('{"pk":"p"}', '{"id":1,"pk":"p"}', '{"id":null,"pk":"p"}', "[]", "{", ""):
        equal(world.send("POST", world.docs(container), key, bad.encode()).status, 400, f"the status for {bad!r}")
    equal(container.create_item({"pk": "p"}, enable_automatic_id_generation=True)["pk"], "p")


@CHECKS.named("items: the partition key must be the document's")
def keys(world: World) -> None:
    container = world.new_container()
    for key, substatus in (('["q"]', "1001"), ('["p","q"]', None), ("p", None), (None, None)):
        headers = {"x-ms-documentdb-partitionkey": key} if key else {}
        answer = world.send("POST", world.docs(container), headers, b'{"id":"1","pk":"p"}')
        equal((answer.status, answer.headers.get("x-ms-substatus")), (400, substatus), f"the refusal of {key}")


@CHECKS.named("items: over 2 MB is refused with 413")
def size(world: World) -> None:
    container = world.new_container()
    frame = len('{"id":"1","pk":"p","text":""}')
    fits = {"id": "1", "pk": "p", "text": "x" * (ITEM_BYTES_MAX - frame - 8)}
    container.create_item(fits)
    equal(len(container.read_item("1", "p")["text"]), len(fits["text"]))
    refused(413, lambda: container.upsert_item(fits | {"text": "x" * ITEM_BYTES_MAX}))


@CHECKS.named("items: session tokens advance and let a fresh client read its writes")
def sessions(world: World) -> None:
    container = world.new_container()
    tokens = []
    for n in range(3):
        headers = sent_etag(lambda hook: container.upsert_item({"id": "1", "pk": "p", "n": n}, response_hook=hook))
        tokens.append(headers["x-ms-session-token"])
        holds(float(headers["x-ms-request-charge"]) > 0, "a write is charged")
        holds(headers["x-ms-activity-id"] and headers["lsn"], "the answer tells its activity and sequence number")
    numbers = [int(token.split("#")[1]) for token in tokens]
    equal(numbers, sorted(set(numbers)), "the numbers in the tokens")
    equal({token.split(":")[0] for token in tokens}, {"0"}, "the range in the tokens")
    fresh = world.fresh(container)
    equal(fresh.read_item("1", "p", session_token=tokens[-1])["n"], 2)
    fresh.upsert_item({"id": "2", "pk": "p"})
    holds(fresh.client_connection.session.session_container.rid_to_session_token, "the client keeps the token")


@CHECKS.named("items: many are read at once")
def read_many(world: World) -> None:
    container = world.seeded(40, 3)
    wanted = [(f"d{n}", f"p{n % 8}") for n in range(0, 40, 3)] + [("missing", "p0")]
    found = container.read_items(wanted)
    equal(sorted(item["id"] for item in found), sorted(name for name, _ in wanted if name != "missing"))


@CHECKS.named("items: 429 is retried by the client and then succeeds")
def throttling(world: World) -> None:
    container = world.new_container()
    world.faults({"operation": "item-write", "status": 429, "substatus": 3200, "retryAfterMs": 20, "count": 2})
    equal(container.create_item({"id": "1", "pk": "p"})["id"], "1")
    counters = json.dumps(world.control("GET", "counters"))
    holds("429" in counters, f"the refusals are counted: {counters}")
    world.faults({"operation": "item-read", "status": 429, "retryAfterMs": 1})
    impatient = world.fresh(container, retry_total=2, retry_throttle_total=2)
    refused(429, lambda: impatient.read_item("1", "p"))


@CHECKS.named("items: time to live, of the container and of the item")
def expiry(world: World) -> None:
    container = world.new_container(default_ttl=100)
    for name, ttl in (("short", 10), ("default", None), ("forever", -1)):
        container.create_item({"id": name, "pk": "p"} | ({"ttl": ttl} if ttl else {}))
    without = world.new_container()
    without.create_item({"id": "1", "pk": "p", "ttl": 1})

    def left() -> list[str]:
        return sorted(item["id"] for item in container.query_items("SELECT c.id FROM c", partition_key="p"))

    world.advance(11)
    equal(left(), ["default", "forever"])
    refused(404, lambda: container.read_item("short", "p"))
    container.create_item({"id": "short", "pk": "p"})
    world.advance(95)
    equal(left(), ["forever", "short"])
    equal([item["id"] for item in without.read_all_items()], ["1"])
    equal([(line["op"], line["id"]) for line in world.history(container)][3], ("expire", "short"))


def operations() -> list[tuple]:
    return [
        ("create", ({"id": "new", "pk": "p", "n": 1},)),
        ("upsert", ({"id": "old", "pk": "p", "n": 2},)),
        ("replace", ("old", {"id": "old", "pk": "p", "n": 3})),
        ("read", ("old",)),
        ("delete", ("gone",)),
    ]


def batched(world: World) -> ContainerProxy:
    container = world.new_container()
    for name in ("old", "gone"):
        container.create_item({"id": name, "pk": "p", "n": 0})
    return container


@CHECKS.named("batches: all operations, in one transaction")
def batch(world: World) -> None:
    container = batched(world)
    results = container.execute_item_batch(operations(), "p")
    equal([result["statusCode"] for result in results], [201, 200, 200, 200, 204])
    equal(results[3]["resourceBody"]["n"], 3)
    equal(results[0]["eTag"], container.read_item("new", "p")["_etag"])
    equal(container.read_item("old", "p")["n"], 3)
    refused(404, lambda: container.read_item("gone", "p"))
    changes = world.history(container)[2:]
    equal([change["op"] for change in changes], ["create", "replace", "replace", "delete"])
    equal(len({change["lsn"] for change in changes}), 1, "the number of transactions")


@CHECKS.named("batches: a failure rolls back, the others get 424")
def rollback(world: World) -> None:
    container = batched(world)
    failing = {
        409: ("create", ({"id": "old", "pk": "p"},)),
        404: ("replace", ("none", {"id": "none", "pk": "p"})),
        412: ("replace", ("old", {"id": "old", "pk": "p"}), {"if_match_etag": '"stale"'}),
    }
    for status, operation in failing.items():
        try:
            container.execute_item_batch([*operations()[:2], operation, operations()[4]], "p")
            raise AssertionError(f"the batch with {operation} passed")
        except exceptions.CosmosBatchOperationError as error:
            equal([result["statusCode"] for result in error.operation_responses], [424, 424, status, 424])
            equal((error.error_index, error.status_code), (2, status))
    equal(sorted((item["id"], item["n"]) for item in container.read_all_items()), [("gone", 0), ("old", 0)])
    equal(len(world.history(container)), 2, "the number of changes")


@CHECKS.named("batches: at most a hundred operations, of one partition key")
def batch_limits(world: World) -> None:
    container = batched(world)
    many = [("create", ({"id": f"{n}", "pk": "p"},)) for n in range(101)]
    equal(len(container.execute_item_batch(many[:100], "p")), 100)
    refused(400, lambda: container.execute_item_batch(many, "q"))
    refused(400, lambda: container.execute_item_batch([("create", ({"id": "x", "pk": "q"},))], "p"))
    hierarchical = world.new_container(["/a", "/b"])
    hierarchical.execute_item_batch([("create", ({"id": "1", "a": "x", "b": 1},))], ["x", 1])
    equal(hierarchical.read_item("1", ["x", 1])["b"], 1)


@CHECKS.named("patches: add, set, replace, remove, incr and move, under a condition")
def patch(world: World) -> None:
    container = world.new_container()
    before = container.create_item({"z": 1, "id": "1", "pk": "p", "n": 7, "l": [1, 2], "o": {"old": "x", "gone": None}})
    operations = [
        {"op": "add", "path": "/l/1", "value": 9},
        {"op": "set", "path": "/new", "value": {"a": 0.5}},
        {"op": "replace", "path": "/z", "value": "é😀"},
        {"op": "remove", "path": "/o/gone"},
        {"op": "incr", "path": "/n", "value": 5},
        {"op": "move", "from": "/o/old", "path": "/o/moved"},
    ]
    patched = container.patch_item("1", "p", operations, filter_predicate="from c where c.n = 7")
    expected = {"z": "é😀", "id": "1", "pk": "p", "n": 12, "l": [1, 9, 2], "o": {"moved": "x"}, "new": {"a": 0.5}}
    equal(without_system(patched), expected)
    equal(list(without_system(patched)), list(expected), "the order of the properties")
    equal(container.read_item("1", "p"), patched)
    refused(412, lambda: container.patch_item("1", "p", operations, filter_predicate="from c where c.n = 7"))
    stale = {"etag": before["_etag"], "match_condition": MatchConditions.IfNotModified}
    refused(412, lambda: container.patch_item("1", "p", operations, **stale))
    refused(404, lambda: container.patch_item("none", "p", operations))
    equal([change["op"] for change in world.history(container)], ["create", "replace"])


@CHECKS.named("patches: all operations or none, and not of the key")
def patch_refused(world: World) -> None:
    container = world.new_container()
    created = container.create_item({"id": "1", "pk": "p", "n": 1, "l": []})
    first = {"op": "incr", "path": "/n", "value": 1}
    for operation in [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "add", "path": "/none/deeper", "value": 1},
        {"op": "add", "path": "/l/3", "value": 1},
        {"op": "incr", "path": "/l", "value": 1},
        {"op": "set", "path": "/pk", "value": "q"},
        {"op": "set", "path": "/id", "value": "2"},
        {"op": "set", "path": "/_ts", "value": 2},
    ]:
        refused(400, lambda: container.patch_item("1", "p", [first, operation]))
    equal(container.read_item("1", "p"), created)
    results = container.execute_item_batch([("patch", ("1", [first])), ("patch", ("1", [first]))], "p")
    equal([result["resourceBody"]["n"] for result in results], [2, 3])
