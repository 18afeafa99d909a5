// Queries: conditions, projections, orders, windows, counts and pages, over one partition key and over all ranges.

import { Checks, equal, holds, refused } from "./support/checks.mjs";

export const checks = new Checks();
const RANGES = 4;
const COUNT = 60;
const KEYS = 8;

let shared;

/** A container that only readers use, made once. */
async function seeded(world) {
  shared ??= await world.seeded(COUNT, RANGES, KEYS);
  return shared;
}

async function rows(container, query, parameters = {}, options = {}) {
  const named = Object.entries(parameters).map(([name, value]) => ({ name, value }));
  return (await container.items.query({ query, parameters: named }, options).fetchAll()).resources;
}

const numbers = (found) => found.map((row) => row.n).sort((left, right) => left - right);
const upTo = (count) => Array.from({ length: count }, (_, n) => n);

checks.named("queries: everything, over all ranges and over one key", async (world) => {
  const container = await seeded(world);
  equal(numbers(await rows(container, "SELECT * FROM c")), upTo(COUNT));
  equal(numbers((await container.items.readAll().fetchAll()).resources), upTo(COUNT));
  const ofKey = await rows(container, "SELECT * FROM c", {}, { partitionKey: "p3" });
  equal(numbers(ofKey), upTo(COUNT).filter((n) => n % KEYS === 3));
  equal(await rows(container, "SELECT * FROM c", {}, { partitionKey: "none" }), []);
});

checks.named("queries: comparisons, AND, OR, NOT, IN, BETWEEN and parameters", async (world) => {
  const container = await seeded(world);
  const parameters = { "@n": 11, "@other": 12, "@key": "p3", "@null": null };
  for (const [where, expected] of [
    ["c.n = 7", [7]],
    ["c.n < 3", [0, 1, 2]],
    ["c.n <= 2 AND c.n != 1", [0, 2]],
    ["c.n >= 58 OR c.id = 'd1'", [1, 58, 59]],
    ["NOT (c.n > 1)", [0, 1]],
    ["c.n IN (4, 5, 400)", [4, 5]],
    ["c.n BETWEEN 10 AND 12", [10, 11, 12]],
    ["c.n = @n AND c.pk = @key", [11]],
    ["c.n IN (@n, @other) AND c.missing != @null", []],
    ["c.n > 58 AND @null = null", [59]],
  ]) {
    equal(numbers(await rows(container, `SELECT * FROM c WHERE ${where}`, parameters)), expected, where);
  }
});

checks.named("queries: projections and SELECT VALUE", async (world) => {
  const container = await seeded(world);
  for (const [select, expected] of [
    ["SELECT c.n, c.pk FROM c", { n: 5, pk: "p5" }],
    ["SELECT c.n AS number, c.id name FROM c", { number: 5, name: "d5" }],
    ["SELECT VALUE c.n FROM c", 5],
    ["SELECT VALUE {'a': c.n, 'b': [c.pk, c.missing]} FROM c", { a: 5, b: ["p5"] }],
  ]) {
    equal(await rows(container, `${select} WHERE c.n = 5`), [expected], select);
  }
});

checks.named("queries: ORDER BY one path, over all ranges", async (world) => {
  const container = await seeded(world);
  for (const maxItemCount of [undefined, 7]) {
    const up = await rows(container, "SELECT * FROM c ORDER BY c.n", {}, { maxItemCount });
    equal(up.map((row) => row.n), upTo(COUNT));
    const down = await rows(container, "SELECT VALUE c.n FROM c ORDER BY c.n DESC", {}, { maxItemCount });
    equal(down, upTo(COUNT).reverse());
  }
  const tied = await rows(container, "SELECT c.pk, c.n FROM c ORDER BY c.pk", {}, { maxItemCount: 5 });
  equal(tied.map((row) => row.pk), upTo(COUNT).map((n) => `p${n % KEYS}`).sort());
  equal(numbers(tied), upTo(COUNT));
});

checks.named("queries: ORDER BY values of every type", async (world) => {
  const container = await world.newContainer();
  const values = [null, false, true, -1.5, 0, 7, "", "A", "a", "ä"];
  for (const [index, v] of values.entries()) {
    await container.items.create({ id: `${index}`, pk: `${index % 3}`, v });
  }
  equal(await rows(container, "SELECT VALUE c.v FROM c ORDER BY c.v"), values);
  equal(await rows(container, "SELECT VALUE c.v FROM c ORDER BY c.v DESC"), values.reverse());
});

checks.named("queries: TOP, OFFSET and LIMIT", async (world) => {
  const container = await seeded(world);
  equal((await rows(container, "SELECT TOP 5 * FROM c")).length, 5);
  equal(await rows(container, "SELECT TOP 3 VALUE c.n FROM c ORDER BY c.n DESC"), [59, 58, 57]);
  equal(await rows(container, "SELECT VALUE c.n FROM c ORDER BY c.n OFFSET 10 LIMIT 4"), [10, 11, 12, 13]);
  equal(new Set(await rows(container, "SELECT VALUE c.n FROM c OFFSET 10 LIMIT 20")).size, 20);
  equal((await rows(container, "SELECT VALUE c.n FROM c OFFSET 55 LIMIT 20")).length, 5);
});

checks.named("queries: SELECT VALUE COUNT(1), over all ranges and over one key", async (world) => {
  const container = await seeded(world);
  equal(await rows(container, "SELECT VALUE COUNT(1) FROM c"), [COUNT]);
  equal(await rows(container, "SELECT VALUE COUNT(1) FROM c WHERE c.n > 57"), [2]);
  equal(await rows(container, "SELECT VALUE COUNT(1) FROM c", {}, { partitionKey: "p0" }), [8]);
});

/** Reads a query page by page, each with a client that knows only the continuation. */
async function resumed(world, container, query, options, after = async () => {}) {
  const found = [];
  let continuationToken;
  do {
    const fresh = world.fresh(container).items.query(query, { ...options, continuationToken });
    const page = await fresh.fetchNext();
    found.push(...page.resources);
    continuationToken = page.continuationToken;
    await after(found.length);
  } while (continuationToken);
  return found;
}

checks.named("queries: pages go on from their continuation, with a fresh client too", async (world) => {
  const container = await seeded(world);
  const query = "SELECT * FROM c";
  const ofKey = await resumed(world, container, query, { maxItemCount: 3, partitionKey: "p1" });
  equal(numbers(ofKey), upTo(COUNT).filter((n) => n % KEYS === 1));
  const control = { enableQueryControl: true, maxItemCount: 7 };
  equal(numbers(await resumed(world, container, query, control)), upTo(COUNT));
  const ordered = await resumed(world, container, "SELECT * FROM c ORDER BY c.n DESC", control);
  equal(ordered.map((row) => row.n), upTo(COUNT).reverse());
});

checks.named("queries: a prefix of a hierarchical key", async (world) => {
  const container = await world.newContainer(["/a", "/b", "/c"]);
  for (const n of upTo(12)) {
    await container.items.create({ id: `${n}`, a: `a${n % 2}`, b: `b${n % 3}`, c: n, n });
  }
  const of = async (partitionKey) => numbers(await rows(container, "SELECT * FROM c", {}, { partitionKey }));
  equal(await of(["a0"]), [0, 2, 4, 6, 8, 10]);
  equal(await of(["a0", "b0"]), [0, 6]);
  equal(await of(["a0", "b0", 6]), [6]);
});

checks.named("queries: charges, counts and refusals are told", async (world) => {
  const container = await seeded(world);
  const page = await container.items.query("SELECT * FROM c", { partitionKey: "p1" }).fetchNext();
  holds(page.requestCharge > 0, "a query is charged");
  await refused(400, () => rows(container, "SELEKT * FROM c"));
  await refused(400, () => rows(container, "SELECT * FROM c WHERE x.a = 1"));
  const error = await refused(501, () => rows(container, "SELECT * FROM c JOIN t IN c.tags"));
  holds(JSON.stringify(error.body ?? error.message).includes("JOIN"), "the refusal names JOIN");
});

checks.named("topology: a split in the middle of a query", async (world) => {
  // Not in order: then this client asks the range that is gone over and over (4.10.1, bufferMore keeps the refusal).
  const container = await world.seeded(40, 2);
  const pages = container.items.query("SELECT * FROM c", { maxItemCount: 3 });
  const found = [...(await pages.fetchNext()).resources];
  await world.split(container, "0");
  await world.split(container, "1");
  while (pages.hasMoreResults()) {
    found.push(...((await pages.fetchNext()).resources ?? []));
  }
  equal(numbers(found), upTo(40));
});

checks.named("topology: splits between the pages of a resumed query", async (world) => {
  for (const query of ["SELECT * FROM c", "SELECT * FROM c ORDER BY c.n"]) {
    const container = await world.seeded(40, 2);
    const splits = ["0", "1"];
    const found = await resumed(world, container, query, { enableQueryControl: true, maxItemCount: 6 }, async () => {
      if (splits.length > 0) await world.split(container, splits.shift());
    });
    equal(numbers(found), upTo(40), query);
  }
});
