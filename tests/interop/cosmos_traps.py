"""What no SDK shows: requests written by hand for the corners that clients of other languages rely on."""

from support.checks import Checks, equal, holds
from support.cosmos import DATE, World, sign_link

CHECKS = Checks()
FEED = {"a-im": "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid": "0"}
KEY = {"x-ms-documentdb-partitionkey": '["p"]'}


@CHECKS.named("by hand: an empty x-ms-start-epk is the beginning")
def empty_start(world: World) -> None:
    container = world.seeded(20, 2)
    (first, _) = world.send("GET", f"/dbs/{world.database.id}/colls/{container.id}/pkranges").json()["PartitionKeyRanges"]
    equal(first["minInclusive"], "")
    whole = world.send("GET", world.docs(container), FEED).json()
    bounds = {"x-ms-start-epk": "", "x-ms-end-epk": first["maxExclusive"], "x-ms-read-key-type": "EffectivePartitionKeyRange"}
    equal(world.send("GET", world.docs(container), FEED | bounds).json(), whole)
    half = bounds | {"x-ms-end-epk": "10"}
    found = world.send("GET", world.docs(container), FEED | half)
    holds(found.status == 304 or len(found.json()["Documents"]) < len(whole["Documents"]), "half a range has fewer items")


@CHECKS.named("by hand: partition key ranges are read until 304, signed by name or by resource id")
def ranges(world: World) -> None:
    container = world.seeded(0, 3)
    path = f"/dbs/{world.database.id}/colls/{container.id}/pkranges"
    plain = world.send("GET", path)
    listed = plain.json()["PartitionKeyRanges"]
    equal([part["id"] for part in listed], ["0", "1", "2"])
    equal([part["parents"] for part in listed], [[], [], []])
    equal((listed[0]["minInclusive"], listed[-1]["maxExclusive"]), ("", "FF"))
    equal([part["maxExclusive"] for part in listed[:-1]], [part["minInclusive"] for part in listed[1:]])
    first = world.send("GET", path, {"a-im": "Incremental Feed"})
    equal(first.json(), plain.json())
    again = world.send("GET", path, {"a-im": "Incremental Feed", "if-none-match": first.headers["etag"]})
    equal((again.status, again.body, again.headers["etag"]), (304, b"", first.headers["etag"]))
    described = container.read()
    rid = {"authorization": sign_link("GET", "pkranges", described["_rid"].lower()), "x-ms-date": DATE}
    by_rid = f"/{described['_self'].strip('/')}/pkranges"
    equal(world.raw("GET", by_rid, rid).json(), plain.json())


@CHECKS.named("by hand: a slash at the end of a path changes nothing")
def slash(world: World) -> None:
    container = world.new_container()
    path = world.docs(container)
    equal(world.send("POST", f"{path}/", KEY, b'{"id":"1","pk":"p"}').status, 201)
    equal(world.send("GET", f"{path}/1/", KEY).json(), world.send("GET", f"{path}/1", KEY).json())
    for above in ("/", "/dbs/", f"/dbs/{world.database.id}/", f"/dbs/{world.database.id}/colls/{container.id}/pkranges/"):
        equal(world.send("GET", above).status, 200, f"the status of {above}")


@CHECKS.named("by hand: a binary body is refused with the way to turn it off")
def binary(world: World) -> None:
    container = world.new_container()
    for verb, path in (("POST", ""), ("PUT", "/1")):
        answer = world.send(verb, world.docs(container) + path, KEY, b"\x80\xe2\x12\x81i\x84id")
        equal(answer.status, 400)
        message = answer.json()["message"]
        holds("binary" in message and "BinaryEncodingOptions" in message, f"the message helps: {message}")


@CHECKS.named("by hand: refusals of the signature have a code and a message")
def unsigned(world: World) -> None:
    for headers in ({}, {"authorization": "garbage", "x-ms-date": DATE}, {"authorization": sign_link("GET", "dbs", "", "d3Jvbmc=")}):
        answer = world.raw("GET", "/dbs", headers)
        equal((answer.status, answer.json()["code"]), (401, "Unauthorized"))
        holds(answer.json()["message"], "there is a message")


@CHECKS.named("by hand: flags and preferences in any case")
def flags(world: World) -> None:
    container = world.new_container()
    for flag, status in (("True", 201), ("true", 200), ("TRUE", 200)):
        upsert = KEY | {"x-ms-documentdb-is-upsert": flag}
        equal(world.send("POST", world.docs(container), upsert, b'{"id":"1","pk":"p"}').status, status)
    minimal = world.send("PUT", f"{world.docs(container)}/1", KEY | {"Prefer": "return=minimal"}, b'{"id":"1","pk":"p"}')
    equal((minimal.status, minimal.body), (200, b""))
    holds(minimal.headers["etag"].startswith('"'), "the entity tag is there without a body")


@CHECKS.named("by hand: an unknown range is gone, a stale resource id is told apart")
def gone(world: World) -> None:
    container = world.new_container()
    unknown = FEED | {"x-ms-documentdb-partitionkeyrangeid": "7"}
    answer = world.send("GET", world.docs(container), unknown)
    equal((answer.status, answer.headers["x-ms-substatus"]), (410, "1002"))
    stale = {"x-ms-cosmos-intended-collection-rid": "AAAAAYAAAAE="}
    answer = world.send("GET", world.docs(container), FEED | stale)
    equal((answer.status, answer.headers["x-ms-substatus"]), (400, "1024"))
