// Items one at a time, in batches and in bulk: conditions, refusals, session tokens, throttling and expiry.

import { Checks, equal, holds, refused } from "./support/checks.mjs";
import { withoutSystem } from "./support/cosmos.mjs";

export const checks = new Checks();

checks.named("items: create, read, upsert, replace, delete", async (world) => {
  const container = await world.newContainer();
  const sent = { id: "1", pk: "p", n: 1 };
  const created = await container.items.create(sent);
  equal([created.statusCode, withoutSystem(created.resource)], [201, sent]);
  await refused(409, () => container.items.create(sent));
  const item = container.item("1", "p");
  equal((await item.read()).resource, created.resource);
  equal((await container.items.upsert({ ...sent, n: 2 })).statusCode, 200);
  equal((await item.replace({ ...sent, n: 3 })).resource.n, 3);
  equal((await container.items.upsert({ id: "2", pk: "p" })).statusCode, 201);
  await refused(404, () => container.item("3", "p").replace({ id: "3", pk: "p" }));
  await item.delete();
  equal((await item.read()).statusCode, 404);
  await refused(404, () => item.delete());
  const changes = await world.history(container);
  equal(changes.map((change) => change.op), ["create", "replace", "replace", "create", "delete"]);
});

checks.named("items: If-Match and If-None-Match (412, 304)", async (world) => {
  const container = await world.newContainer();
  const first = (await container.items.create({ id: "1", pk: "p", n: 1 })).resource;
  const stale = { accessCondition: { type: "IfMatch", condition: first._etag } };
  const item = container.item("1", "p");
  const second = (await item.replace({ id: "1", pk: "p", n: 2 }, stale)).resource;
  await refused(412, () => item.replace({ id: "1", pk: "p", n: 3 }, stale));
  await refused(412, () => container.items.upsert({ id: "1", pk: "p", n: 3 }, stale));
  await refused(412, () => item.delete(stale));
  const known = { accessCondition: { type: "IfNoneMatch", condition: second._etag } };
  equal((await item.read(known)).statusCode, 304);
  await item.delete({ accessCondition: { type: "IfMatch", condition: second._etag } });
});

checks.named("items: a document's numbers, unicode and order of properties survive", async (world) => {
  const container = await world.newContainer();
  const sent = { z: 1, id: "1", pk: "p", a: { y: [1.1, 1e300, 5e-324, 0.1], b: null }, "ü": "é😀\u0000\u2028", "": [[], {}] };
  await container.items.create(sent);
  const { resource } = await container.item("1", "p").read();
  equal(JSON.stringify(withoutSystem(resource)), JSON.stringify(sent), "the text");
});

checks.named("items: ids of every kind", async (world) => {
  const container = await world.newContainer();
  for (const id of ["a b", "%20", "ü😀", "a+b=c&d", "x".repeat(1023), "'", '"', ";,:@$", "a.b-c_d~"]) {
    await container.items.create({ id, pk: "p" });
    equal((await container.item(id, "p").read()).resource?.id, id);
    await container.item(id, "p").delete();
  }
  await refused(400, () => container.items.create({ id: "x".repeat(1024), pk: "p" }));
});

checks.named("items: over 2 MB is refused with 413", async (world) => {
  const container = await world.newContainer();
  await refused(413, () => container.items.create({ id: "1", pk: "p", text: "x".repeat(2 << 20) }));
});

checks.named("items: session tokens advance and let a fresh client read its writes", async (world) => {
  const container = await world.newContainer();
  const tokens = [];
  for (let n = 0; n < 3; n += 1) {
    const { headers, requestCharge } = await container.items.upsert({ id: "1", pk: "p", n });
    tokens.push(headers["x-ms-session-token"]);
    holds(requestCharge > 0 && headers["x-ms-activity-id"], "a write is charged and has an activity");
  }
  const numbers = tokens.map((token) => Number(token.split("#")[1]));
  holds(numbers[0] < numbers[1] && numbers[1] < numbers[2], `the numbers in the tokens grow: ${numbers}`);
  const fresh = world.fresh(container);
  equal((await fresh.item("1", "p").read({ sessionToken: tokens[2] })).resource.n, 2);
});

checks.named("items: 429 is retried by the client and then succeeds", async (world) => {
  const container = await world.newContainer();
  await world.faults({ operation: "item-write", status: 429, substatus: 3200, retryAfterMs: 20, count: 2 });
  const { diagnostics, statusCode } = await container.items.create({ id: "1", pk: "p" });
  equal(statusCode, 201);
  equal(diagnostics.clientSideRequestStatistics.retryDiagnostics.failedAttempts.map((attempt) => attempt.statusCode), [429, 429]);
  await world.faults({ operation: "item-read", status: 429, retryAfterMs: 1 });
  const retryOptions = { maxRetryAttemptCount: 1, fixedRetryIntervalInMilliseconds: 1, maxWaitTimeInSeconds: 1 };
  const impatient = world.fresh(container, { connectionPolicy: { retryOptions } });
  await refused(429, () => impatient.item("1", "p").read());
});

checks.named("items: time to live, of the container and of the item", async (world) => {
  const container = await world.newContainer(["/pk"], { defaultTtl: 100 });
  await container.items.create({ id: "short", pk: "p", ttl: 10 });
  await container.items.create({ id: "default", pk: "p" });
  await container.items.create({ id: "forever", pk: "p", ttl: -1 });
  const left = async () => (await container.items.query("SELECT VALUE c.id FROM c ORDER BY c.id").fetchAll()).resources;
  await world.advance(11);
  equal(await left(), ["default", "forever"]);
  equal((await container.item("short", "p").read()).statusCode, 404);
  await world.advance(95);
  equal(await left(), ["forever"]);
});

const operations = [
  { operationType: "Create", resourceBody: { id: "new", pk: "p", n: 1 } },
  { operationType: "Upsert", resourceBody: { id: "old", pk: "p", n: 2 } },
  { operationType: "Replace", id: "old", resourceBody: { id: "old", pk: "p", n: 3 } },
  { operationType: "Read", id: "old" },
  { operationType: "Delete", id: "gone" },
];

async function batched(world) {
  const container = await world.newContainer();
  for (const id of ["old", "gone"]) {
    await container.items.create({ id, pk: "p", n: 0 });
  }
  return container;
}

checks.named("batches: all operations, in one transaction", async (world) => {
  const container = await batched(world);
  const { code, result } = await container.items.batch(operations, "p");
  equal([code, result.map((one) => one.statusCode)], [200, [201, 200, 200, 200, 204]]);
  equal(result[3].resourceBody.n, 3);
  equal((await container.item("old", "p").read()).resource.n, 3);
  const changes = (await world.history(container)).slice(2);
  equal(changes.map((change) => change.op), ["create", "replace", "replace", "delete"]);
  equal(new Set(changes.map((change) => change.lsn)).size, 1, "the number of transactions");
});

checks.named("batches: a failure rolls back, the others get 424", async (world) => {
  const container = await batched(world);
  const failing = [
    [409, { operationType: "Create", resourceBody: { id: "old", pk: "p" } }],
    [404, { operationType: "Replace", id: "none", resourceBody: { id: "none", pk: "p" } }],
    [412, { operationType: "Replace", id: "old", ifMatch: '"stale"', resourceBody: { id: "old", pk: "p" } }],
  ];
  for (const [status, operation] of failing) {
    const { code, result } = await container.items.batch([operations[0], operation, operations[4]], "p");
    equal([code, result.map((one) => one.statusCode)], [207, [424, status, 424]]);
  }
  equal((await world.history(container)).length, 2, "the number of changes");
});

/** Operations on several partition keys, one of which fails. */
function mixed(count) {
  const creates = Array.from({ length: count }, (_, n) => ({
    operationType: "Create",
    partitionKey: `p${n % 8}`,
    resourceBody: { id: `b${n}`, pk: `p${n % 8}`, n },
  }));
  return [...creates, { operationType: "Create", partitionKey: "p1", resourceBody: { id: "d1", pk: "p1" } }];
}

checks.named("bulk: operations on many keys, each on its own", async (world) => {
  const container = await world.seeded(16, 3);
  const results = await container.items.bulk([
    ...mixed(20),
    { operationType: "Read", id: "d2", partitionKey: "p2" },
    { operationType: "Delete", id: "d3", partitionKey: "p3" },
    { operationType: "Upsert", partitionKey: "p4", resourceBody: { id: "d4", pk: "p4", n: -4 } },
    { operationType: "Replace", id: "d5", partitionKey: "p5", resourceBody: { id: "d5", pk: "p5", n: -5 } },
    { operationType: "Replace", id: "d6", ifMatch: '"stale"', partitionKey: "p6", resourceBody: { id: "d6", pk: "p6" } },
    { operationType: "Delete", id: "none", partitionKey: "p7" },
  ]);
  const created = Array(20).fill(201);
  equal(results.map((result) => result.statusCode), [...created, 409, 200, 204, 200, 200, 412, 404]);
  equal(results[21].resourceBody.id, "d2");
  holds(results[0].eTag && results[0].requestCharge > 0, "each result has its entity tag and charge");
  const { resources } = await container.items.query("SELECT VALUE c.n FROM c WHERE STARTSWITH(c.id, 'b')").fetchAll();
  equal(resources.sort((left, right) => left - right), Array.from({ length: 20 }, (_, n) => n));
  equal((await container.item("d3", "p3").read()).statusCode, 404);
  equal((await container.item("d5", "p5").read()).resource.n, -5);
});

checks.named("bulk: it stops at the first failure of a range if asked to", async (world) => {
  const container = await world.seeded(8, 1);
  const [first, second] = mixed(2);
  const failing = mixed(0)[0];
  const results = await container.items.bulk([first, failing, second], { continueOnError: false });
  equal(results.map((result) => result.statusCode), [201, 409, 424]);
  equal((await container.item("b0", "p0").read()).statusCode, 200);
  equal((await container.item("b1", "p1").read()).statusCode, 404);
});

checks.named("bulk: a split between two requests", async (world) => {
  const container = await world.seeded(8, 1);
  await container.items.bulk(mixed(1).slice(0, 1));
  await world.split(container, "0");
  const results = await container.items.bulk(mixed(16).slice(1));
  equal(results.map((result) => result.statusCode), [...Array(15).fill(201), 409]);
  const { resources } = await world.fresh(container).items.query("SELECT VALUE COUNT(1) FROM c").fetchAll();
  equal(resources, [24]);
});

checks.named("bulk: hierarchical keys and a hundred operations", async (world) => {
  const container = await world.newContainer(["/a", "/b"]);
  const creates = Array.from({ length: 100 }, (_, n) => ({
    operationType: "Create",
    resourceBody: { id: `${n}`, a: `a${n % 3}`, b: n },
  }));
  const results = await container.items.bulk(creates);
  equal(new Set(results.map((result) => result.statusCode)), new Set([201]));
  const read = await container.items.bulk([{ operationType: "Read", id: "7", partitionKey: ["a1", 7] }]);
  equal(withoutSystem(read[0].resourceBody), { id: "7", a: "a1", b: 7 });
});

checks.named("bulk: the client's own batching of many operations, with a throttled one", async (world) => {
  const container = await world.seeded(8, 3);
  await world.faults({ operation: "item-write", status: 429, retryAfterMs: 5, count: 1 });
  const results = await container.items.executeBulkOperations(mixed(250));
  equal(results.slice(0, 250).map((result) => result.response?.statusCode), Array(250).fill(201));
  equal(Number(results[250].error.code), 409);
  const { resources } = await container.items.query("SELECT VALUE COUNT(1) FROM c").fetchAll();
  equal(resources, [258]);
});

checks.named("patches: add, set, replace, remove, incr and move, under a condition", async (world) => {
  const container = await world.newContainer();
  await container.items.create({ z: 1, id: "1", pk: "p", n: 7, l: [1, 2], o: { old: "x", gone: null } });
  const operations = [
    { op: "add", path: "/l/1", value: 9 },
    { op: "set", path: "/new", value: { a: 0.5 } },
    { op: "replace", path: "/z", value: "é😀" },
    { op: "remove", path: "/o/gone" },
    { op: "incr", path: "/n", value: 5 },
    { op: "move", from: "/o/old", path: "/o/moved" },
  ];
  const item = container.item("1", "p");
  const { resource } = await item.patch({ condition: "from c where c.n = 7", operations });
  const expected = { z: "é😀", id: "1", pk: "p", n: 12, l: [1, 9, 2], o: { moved: "x" }, new: { a: 0.5 } };
  equal(JSON.stringify(withoutSystem(resource)), JSON.stringify(expected), "the text");
  await refused(412, () => item.patch({ condition: "from c where c.n = 7", operations }));
  await refused(404, () => container.item("none", "p").patch(operations));
});

checks.named("patches: all operations or none, and not of the key", async (world) => {
  const container = await world.newContainer();
  const created = (await container.items.create({ id: "1", pk: "p", n: 1 })).resource;
  const first = { op: "incr", path: "/n", value: 1 };
  for (const operation of [
    { op: "remove", path: "/none" },
    { op: "set", path: "/pk", value: "q" },
    { op: "set", path: "/id", value: "2" },
  ]) {
    await refused(400, () => container.item("1", "p").patch([first, operation]));
  }
  equal((await container.item("1", "p").read()).resource, created);
  // Made anew each time, because the client writes into what it is given.
  const patch = () => ({ operationType: "Patch", id: "1", partitionKey: "p", resourceBody: { operations: [first] } });
  const { result } = await container.items.batch([patch(), patch()], "p");
  equal(result.map((one) => one.resourceBody.n), [2, 3]);
  equal((await container.items.bulk([patch()]))[0].resourceBody.n, 4);
});
