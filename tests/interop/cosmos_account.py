"""The account, its databases and containers."""

from azure.cosmos import CosmosClient, PartitionKey, exceptions

from support.checks import Checks, equal, holds, refused
from support.cosmos import KEY, World

CHECKS = Checks()
WRONG_KEY = "d3Jvbmcga2V5"


@CHECKS.named("account: it is read and points back at its address")
def account(world: World) -> None:
    properties = world.client.get_database_account()
    equal(properties.ConsistencyPolicy["defaultConsistencyLevel"], "Session")
    equal([place["databaseAccountEndpoint"] for place in properties.WritableLocations], [world.endpoint])


@CHECKS.named("account: a wrong key is refused with 401 and a message")
def wrong_key(world: World) -> None:
    error = refused(401, lambda: list(CosmosClient(world.endpoint, WRONG_KEY).list_databases()))
    holds("authorization token" in str(error), f"the message explains: {error}")


@CHECKS.named("databases: create, read, list, query, if-not-exists, delete")
def databases(world: World) -> None:
    name = world.new_name("database")
    created = world.client.create_database(name)
    equal(created.read()["id"], name)
    refused(409, lambda: world.client.create_database(name))
    world.client.create_database_if_not_exists(name)
    holds(name in [found["id"] for found in world.client.list_databases()], "it is listed")
    query = "SELECT * FROM root r WHERE r.id = @id"
    parameters = [{"name": "@id", "value": name}]
    equal([found["id"] for found in world.client.query_databases(query, parameters)], [name])
    world.client.delete_database(name)
    refused(404, created.read)
    refused(404, lambda: world.client.delete_database(name))
    other = world.new_name("database")
    world.client.create_database_if_not_exists(other)
    equal(world.client.get_database_client(other).read()["id"], other)
    world.client.delete_database(other)


@CHECKS.named("containers: create, read, list, query, replace, if-not-exists, delete")
def containers(world: World) -> None:
    name = world.new_name("container")
    database = world.database
    key = PartitionKey(path="/pk")
    created = database.create_container(name, partition_key=key, default_ttl=100)
    described = created.read()
    equal((described["id"], described["defaultTtl"]), (name, 100))
    equal(described["partitionKey"], {"paths": ["/pk"], "kind": "Hash", "version": 2})
    refused(409, lambda: database.create_container(name, partition_key=key))
    again = database.create_container_if_not_exists(name, partition_key=key)
    equal(again.read()["_rid"], described["_rid"])
    holds(name in [found["id"] for found in database.list_containers()], "it is listed")
    found = database.query_containers("SELECT * FROM c WHERE c.id = @id", [{"name": "@id", "value": name}])
    equal([container["_rid"] for container in found], [described["_rid"]])
    replaced = database.replace_container(created, partition_key=key, default_ttl=5).read()
    equal((replaced["defaultTtl"], replaced["_rid"]), (5, described["_rid"]))
    holds(replaced["_etag"] != described["_etag"], "a replaced container has another entity tag")
    refused(400, lambda: database.replace_container(created, partition_key=PartitionKey(path="/other")))
    database.delete_container(name)
    refused(404, created.read)
    refused(404, lambda: created.create_item({"id": "1", "pk": "p"}))


@CHECKS.named("containers: a list comes in pages")
def pages(world: World) -> None:
    database = world.client.create_database(world.new_name("database"))
    names = [f"c{n}" for n in range(7)]
    for name in names:
        database.create_container(name, partition_key=PartitionKey(path="/pk"))
    found = [[container["id"] for container in page] for page in database.list_containers(max_item_count=3).by_page()]
    equal(found, [names[:3], names[3:6], names[6:]])
    world.client.delete_database(database)


@CHECKS.named("containers: what is in a missing database is missing")
def missing_database(world: World) -> None:
    missing = world.client.get_database_client("missing")
    refused(404, lambda: missing.create_container("c", partition_key=PartitionKey(path="/pk")))
    refused(404, lambda: list(missing.list_containers()))
    try:
        missing.get_container_client("c").read()
        raise AssertionError("a container of no database is read")
    except exceptions.CosmosResourceNotFoundError as error:
        holds(error.message, "the refusal has a message")


@CHECKS.named("containers: a recreated container is another one")
def recreated(world: World) -> None:
    container = world.new_container()
    container.create_item({"id": "1", "pk": "p"})
    rid = container.read()["_rid"]
    world.database.delete_container(container.id)
    again = world.database.create_container(container.id, partition_key=PartitionKey(path="/pk"))
    holds(again.read()["_rid"] != rid, "resource ids are not used again")
    # The client's session is the old container's, of which the new one has not seen the last write.
    fresh = world.fresh(container)
    equal(list(fresh.read_all_items()), [])
    fresh.create_item({"id": "2", "pk": "p"})
    equal([item["id"] for item in fresh.read_all_items()], ["2"])


@CHECKS.named("containers: hierarchical keys of one to three levels, and hash V1")
def key_kinds(world: World) -> None:
    for paths in (["/a"], ["/a", "/b"], ["/a", "/b", "/c"]):
        container = world.new_container(paths)
        equal(container.read()["partitionKey"], {"paths": paths, "kind": "MultiHash", "version": 2})
        item = {"id": "1", "a": "x", "b": "y", "c": "z"}
        container.create_item(item)
        key = [item[path[1:]] for path in paths]
        equal(container.read_item("1", partition_key=key)["c"], "z", f"the item of {paths}")
        refused(404, lambda: container.read_item("1", partition_key=key[:-1] + ["other"]))
    old = world.database.create_container(world.new_name(), partition_key=PartitionKey(path="/pk", version=1))
    equal(old.read()["partitionKey"], {"paths": ["/pk"], "kind": "Hash", "version": 1})
    for key in ("short", "long" * 60, 7, -0.5, True, None):
        old.create_item({"id": f"{key}"[:50], "pk": key})
        equal(old.read_item(f"{key}"[:50], partition_key=key)["pk"], key, "the key")


@CHECKS.named("containers: nested, quoted and absent partition keys")
def key_paths(world: World) -> None:
    nested = world.new_container("/outer/inner")
    nested.create_item({"id": "1", "outer": {"inner": "x"}})
    equal(nested.read_item("1", partition_key="x")["outer"], {"inner": "x"})
    nested.create_item({"id": "2", "outer": 5})
    equal([item["id"] for item in nested.query_items("SELECT * FROM c", partition_key="x")], ["1"])
    from azure.cosmos.partition_key import NonePartitionKeyValue, NullPartitionKeyValue

    equal(nested.read_item("2", partition_key=NonePartitionKeyValue)["outer"], 5)
    nested.create_item({"id": "3", "outer": {"inner": None}})
    equal(nested.read_item("3", partition_key=NullPartitionKeyValue)["id"], "3")
    refused(404, lambda: nested.read_item("3", partition_key=NonePartitionKeyValue))
    quoted = world.new_container('/"a b"/"c-d"')
    quoted.create_item({"id": "1", "a b": {"c-d": "x"}})
    equal(quoted.read_item("1", partition_key="x")["id"], "1")


@CHECKS.named("containers: change feed policy and unknown properties are kept")
def properties(world: World) -> None:
    policy = {"retentionDuration": 10}
    container = world.new_container(change_feed_policy=policy)
    equal(container.read()["changeFeedPolicy"], policy)
    body = b'{"id":"%s","partitionKey":{"paths":["/pk"]},"x":{"b":1,"a":[1.50]},"uniqueKeyPolicy":{"uniqueKeys":[]}}'
    name = world.new_name()
    created = world.send("POST", f"/dbs/{world.database.id}/colls", body=body % name.encode())
    equal(created.status, 201)
    read = world.database.get_container_client(name).read()
    equal((read["x"], read["uniqueKeyPolicy"]), ({"b": 1, "a": [1.5]}, {"uniqueKeys": []}))
    equal(read["partitionKey"], {"paths": ["/pk"], "kind": "Hash"})
    with CosmosClient(world.endpoint, KEY) as other:
        equal(other.get_database_client(world.database.id).get_container_client(name).read()["_rid"], read["_rid"])
