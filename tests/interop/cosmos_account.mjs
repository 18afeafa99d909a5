// The account, its databases and containers.

import { CosmosClient } from "@azure/cosmos";
import { Checks, equal, holds, refused } from "./support/checks.mjs";

export const checks = new Checks();

checks.named("account: it is read and points back at its address", async (world) => {
  const { resource } = await world.client.getDatabaseAccount();
  equal(resource.consistencyPolicy, "Session");
  equal(resource.writableLocations.map((place) => place.databaseAccountEndpoint), [world.endpoint]);
});

checks.named("account: a wrong key is refused with 401 and a message", async (world) => {
  const client = new CosmosClient({ endpoint: world.endpoint, key: "d3Jvbmcga2V5" });
  const error = await refused(401, () => client.databases.readAll().fetchAll());
  holds(error.message.includes("authorization token"), `the message explains: ${error.message}`);
});

checks.named("databases: create, read, list, query, if-not-exists, delete", async (world) => {
  const id = world.newName("database");
  const { database } = await world.client.databases.create({ id });
  equal((await database.read()).resource.id, id);
  await refused(409, () => world.client.databases.create({ id }));
  equal((await world.client.databases.createIfNotExists({ id })).statusCode, 200);
  const listed = await world.client.databases.readAll().fetchAll();
  holds(listed.resources.some((found) => found.id === id), "it is listed");
  const query = { query: "SELECT * FROM root r WHERE r.id = @id", parameters: [{ name: "@id", value: id }] };
  equal((await world.client.databases.query(query).fetchAll()).resources.map((found) => found.id), [id]);
  await database.delete();
  await refused(404, () => database.read());
  equal((await world.client.databases.createIfNotExists({ id })).statusCode, 201);
  await database.delete();
});

checks.named("containers: create, read, list, query, replace, if-not-exists, delete", async (world) => {
  const id = world.newName("container");
  const { containers } = await world.database();
  const { container, resource } = await containers.create({ id, partitionKey: { paths: ["/pk"] }, defaultTtl: 100 });
  equal([resource.id, resource.defaultTtl], [id, 100]);
  await refused(409, () => containers.create({ id, partitionKey: { paths: ["/pk"] } }));
  const again = await containers.createIfNotExists({ id, partitionKey: { paths: ["/pk"] } });
  equal(again.resource._rid, resource._rid);
  holds((await containers.readAll().fetchAll()).resources.some((found) => found.id === id), "it is listed");
  const query = { query: "SELECT * FROM c WHERE c.id = @id", parameters: [{ name: "@id", value: id }] };
  equal((await containers.query(query).fetchAll()).resources.map((found) => found._rid), [resource._rid]);
  const replaced = await container.replace({ ...resource, defaultTtl: 5 });
  equal([replaced.resource.defaultTtl, replaced.resource._rid], [5, resource._rid]);
  await refused(400, () => container.replace({ id, partitionKey: { paths: ["/other"] } }));
  await container.delete();
  await refused(404, () => container.read());
});

checks.named("containers: a list comes in pages", async (world) => {
  const { database } = await world.client.databases.create({ id: world.newName("database") });
  const names = Array.from({ length: 5 }, (_, n) => `c${n}`);
  for (const id of names) await database.containers.create({ id, partitionKey: { paths: ["/pk"] } });
  const listed = database.containers.readAll({ maxItemCount: 2 });
  const found = [];
  while (listed.hasMoreResults()) {
    const { resources } = await listed.fetchNext();
    found.push((resources ?? []).map((container) => container.id));
  }
  equal(found, [names.slice(0, 2), names.slice(2, 4), names.slice(4)]);
  await database.delete();
});

checks.named("containers: a recreated container is another one", async (world) => {
  const container = await world.newContainer();
  await container.items.create({ id: "1", pk: "p" });
  const rid = (await container.read()).resource._rid;
  await container.delete();
  const { containers } = await world.database();
  const { resource } = await containers.create({ id: container.id, partitionKey: { paths: ["/pk"] } });
  holds(resource._rid !== rid, "resource ids are not used again");
  const fresh = world.fresh(container);
  equal((await fresh.items.readAll().fetchAll()).resources, []);
});

checks.named("containers: hierarchical keys of one to three levels, and hash V1", async (world) => {
  const { containers } = await world.database();
  for (const paths of [["/a"], ["/a", "/b"], ["/a", "/b", "/c"]]) {
    const partitionKey = { paths, kind: "MultiHash", version: 2 };
    const { container, resource } = await containers.create({ id: world.newName(), partitionKey });
    equal(resource.partitionKey, partitionKey);
    await container.items.create({ id: "1", a: "x", b: "y", c: "z" });
    const key = ["x", "y", "z"].slice(0, paths.length);
    equal((await container.item("1", key).read()).resource.c, "z", `the item of ${paths}`);
    equal((await container.item("1", [...key.slice(0, -1), "other"]).read()).statusCode, 404);
  }
  const old = await world.newContainer();
  equal((await old.read()).resource.partitionKey, { paths: ["/pk"], kind: "Hash" }, "a definition without a version");
  for (const [index, key] of ["short", "long".repeat(60), 7, -0.5, true, null].entries()) {
    await old.items.create({ id: `${index}`, pk: key });
    equal((await old.item(`${index}`, key).read()).resource.pk, key, "the key");
    const ranges = await old.items.query("SELECT * FROM c", { partitionKey: key }).fetchAll();
    equal(ranges.resources.length, 1, `the items of ${key}`);
  }
});

checks.named("containers: nested, quoted and absent partition keys", async (world) => {
  const nested = await world.newContainer(["/outer/inner"]);
  await nested.items.create({ id: "1", outer: { inner: "x" } });
  equal((await nested.item("1", "x").read()).resource.outer, { inner: "x" });
  await nested.items.create({ id: "2", outer: 5 });
  equal((await nested.item("2", undefined).read()).resource.outer, 5);
  await nested.items.create({ id: "3", outer: { inner: null } });
  equal((await nested.item("3", null).read()).resource.id, "3");
});

checks.named("containers: change feed policy and unknown properties are kept", async (world) => {
  const policy = { retentionDuration: 10 };
  const unknown = { b: 1, a: [1.5] };
  const container = await world.newContainer(["/pk"], { changeFeedPolicy: policy, x: unknown });
  const { resource } = await container.read();
  equal([resource.changeFeedPolicy, resource.x], [policy, unknown]);
});
