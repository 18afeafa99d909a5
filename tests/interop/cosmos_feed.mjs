// The change feed in both modes: where it starts, what it covers, its shapes, and where it goes on.

import { ChangeFeedMode, ChangeFeedPolicy, ChangeFeedRetentionTimeSpan, ChangeFeedStartFrom } from "@azure/cosmos";
import { Checks, equal, holds, refused } from "./support/checks.mjs";
import { withoutSystem } from "./support/cosmos.mjs";

export const checks = new Checks();

const ALL_VERSIONS = { changeFeedMode: ChangeFeedMode.AllVersionsAndDeletes };

/** The pages of a feed until there is nothing new, and the continuation. */
async function read(container, changeFeedStartFrom, options = {}, after = async () => {}) {
  const iterator = container.items.getChangeFeedIterator({ changeFeedStartFrom, ...options });
  const pages = [];
  for (;;) {
    const page = await iterator.readNext();
    if (page.statusCode === 304) return [pages, page.continuationToken];
    pages.push(page.result);
    await after(pages.length);
  }
}

async function drain(container, start, options = {}, after = undefined) {
  const [pages, token] = await read(container, start, options, after);
  return [pages.flat(), token];
}

const from = (token) => ChangeFeedStartFrom.Continuation(token);
const ids = (items) => items.map((item) => item.id);
const upTo = (count) => Array.from({ length: count }, (_, n) => n);

/** Every item once, and in order for each key. */
function inOrder(items, expected) {
  const numbers = items.map((item) => item.n);
  equal([...numbers].sort((left, right) => left - right), expected, "the items");
  for (const key of new Set(items.map((item) => item.pk))) {
    const ofKey = items.filter((item) => item.pk === key).map((item) => item.n);
    equal(ofKey, [...ofKey].sort((left, right) => left - right), `the order of ${key}`);
  }
}

checks.named("feed: from the beginning, of the whole container, in pages", async (world) => {
  const container = await world.seeded(50, 3);
  const [pages, token] = await read(container, ChangeFeedStartFrom.Beginning(), { maxItemCount: 7 });
  holds(pages.length >= 8 && pages.every((page) => page.length <= 7), "the pages are small");
  inOrder(pages.flat(), upTo(50));
  equal((await drain(container, from(token)))[0], []);
});

checks.named("feed: goes on from a continuation, with a fresh client too", async (world) => {
  const container = await world.seeded(20, 2);
  const [items, token] = await drain(container, ChangeFeedStartFrom.Beginning());
  equal(items.length, 20);
  await container.items.upsert({ id: "d3", pk: "p3", n: -3 });
  await container.items.create({ id: "new", pk: "p1", n: 100 });
  const [more, last] = await drain(world.fresh(container), from(token));
  equal(ids(more).sort(), ["d3", "new"]);
  equal((await drain(container, from(last)))[0], []);
});

checks.named("feed: from now", async (world) => {
  const container = await world.seeded(10, 2);
  const [items, token] = await drain(container, ChangeFeedStartFrom.Now());
  equal(items, []);
  await container.items.upsert({ id: "later", pk: "p", n: 1 });
  equal(ids((await drain(container, from(token)))[0]), ["later"]);
});

checks.named("feed: from a time", async (world) => {
  const container = await world.newContainer();
  await container.items.create({ id: "before", pk: "p" });
  await world.advance(100);
  const middle = (await container.items.create({ id: "after", pk: "p" })).resource._ts;
  await container.items.create({ id: "last", pk: "q" });
  for (const [offset, expected] of [
    [-50, ["after", "last"]],
    [-200, ["before", "after", "last"]],
    [50, []],
  ]) {
    const start = ChangeFeedStartFrom.Time(new Date((middle + offset) * 1000));
    const [items, token] = await drain(container, start);
    equal(ids(items), expected, `the items from ${offset} s on`);
    equal((await drain(container, from(token)))[0], []);
  }
});

checks.named("feed: the latest version shows each item once, and no deletes", async (world) => {
  const container = await world.newContainer();
  for (const n of upTo(3)) await container.items.upsert({ id: "a", pk: "p", n });
  await container.items.create({ id: "b", pk: "p" });
  await container.item("b", "p").delete();
  const [items] = await drain(container, ChangeFeedStartFrom.Beginning());
  equal(items.map((item) => [item.id, item.n]), [["a", 2]]);
});

checks.named("feed: the flat shape is the document with its sequence number", async (world) => {
  const container = await world.newContainer();
  const sent = { z: 1.5, id: "1", pk: "p", "ü": "é😀", a: { y: [1, {}] } };
  await container.items.create(sent);
  const [[item]] = await drain(container, ChangeFeedStartFrom.Beginning());
  const { _lsn: lsn, ...document } = withoutSystem(item);
  equal(JSON.stringify(document), JSON.stringify(sent));
  equal(lsn, (await world.history(container))[0].lsn);
});

checks.named("feed: of one feed range", async (world) => {
  const container = await world.seeded(40, 4);
  const found = [];
  for (const range of await container.getFeedRanges()) {
    const [items, token] = await drain(container, ChangeFeedStartFrom.Beginning(range), { maxItemCount: 3 });
    holds(items.length > 0, "each range has items");
    found.push(...items);
    equal((await drain(container, from(token)))[0], []);
  }
  inOrder(found, upTo(40));
});

checks.named("feed: of one partition key", async (world) => {
  const container = await world.seeded(40, 3);
  const [items, token] = await drain(container, ChangeFeedStartFrom.Beginning("p3"), { maxItemCount: 2 });
  equal(ids(items), ["d3", "d11", "d19", "d27", "d35"]);
  await container.items.upsert({ id: "other", pk: "p4" });
  await container.items.upsert({ id: "mine", pk: "p3" });
  equal(ids((await drain(container, from(token)))[0]), ["mine"]);
});

checks.named("feed: of a hierarchical key and of its prefixes", async (world) => {
  const container = await world.newContainer(["/a", "/b", "/c"]);
  for (const n of upTo(12)) await container.items.create({ id: `${n}`, a: `a${n % 2}`, b: `b${n % 3}`, c: n });
  for (const [key, expected] of [
    [["a0"], ["0", "2", "4", "6", "8", "10"]],
    [["a1", "b0"], ["3", "9"]],
    [["a1", "b0", 9], ["9"]],
  ]) {
    equal(ids((await drain(container, ChangeFeedStartFrom.Beginning(key)))[0]), expected, `the items of ${key}`);
  }
});

checks.named("feed: a batch is never split over pages", async (world) => {
  const container = await world.newContainer();
  for (const start of [0, 5, 10]) {
    const creates = upTo(5).map((n) => ({ operationType: "Create", resourceBody: { id: `${start + n}`, pk: "p" } }));
    await container.items.batch(creates, "p");
  }
  const [pages] = await read(container, ChangeFeedStartFrom.Beginning(), { maxItemCount: 2 });
  equal(pages.map((page) => page.length), [5, 5, 5]);
});

checks.named("feed: the older iterator of the client", async (world) => {
  const container = await world.seeded(20, 2);
  const old = container.items.changeFeed("p1", { startFromBeginning: true, maxItemCount: 2 });
  const found = [];
  while (old.hasMoreResults) {
    const page = await old.fetchNext();
    if (page.count === 0) break;
    found.push(...page.result);
  }
  equal(ids(found), ["d1", "d9", "d17"]);
});

checks.named("all versions: every version and delete, with the sequence number before", async (world) => {
  const changeFeedPolicy = new ChangeFeedPolicy(ChangeFeedRetentionTimeSpan.fromMinutes(5));
  const container = await world.newContainer(["/pk"], { changeFeedPolicy });
  const [none, token] = await drain(container, ChangeFeedStartFrom.Now(), ALL_VERSIONS);
  equal(none, []);
  const created = (await container.items.create({ id: "1", pk: "p", n: 1 })).resource;
  const replaced = (await container.items.upsert({ id: "1", pk: "p", n: 2 })).resource;
  await container.item("1", "p").delete();
  const [items, after] = await drain(container, from(token), { ...ALL_VERSIONS, maxItemCount: 1 });
  equal(items.map((item) => item.metadata.operationType), ["create", "replace", "delete"]);
  equal(items.map((item) => item.current), [created, replaced, {}]);
  const lsns = items.map((item) => item.metadata.lsn);
  equal(items.map((item) => item.metadata.previousImageLSN), [undefined, lsns[0], lsns[1]]);
  equal([items[2].metadata.id, items[2].metadata.partitionKey], ["1", { pk: "p" }]);
  equal((await drain(container, from(after), ALL_VERSIONS))[0], []);
});

checks.named("all versions: an expired item is a delete that says so", async (world) => {
  const container = await world.newContainer(["/a", "/b"], { defaultTtl: 60 });
  const [, token] = await drain(container, ChangeFeedStartFrom.Now(), ALL_VERSIONS);
  await container.items.create({ id: "1", a: "x", b: 7 });
  await world.advance(61);
  const [[, removed]] = await drain(container, from(token), ALL_VERSIONS);
  const { operationType, timeToLiveExpired, id, partitionKey } = removed.metadata;
  equal([operationType, timeToLiveExpired, id, partitionKey], ["delete", true, "1", { a: "x", b: 7 }]);
});

checks.named("all versions: of one key and of one range", async (world) => {
  const container = await world.seeded(8, 4);
  const [, ofKey] = await drain(container, ChangeFeedStartFrom.Now("p1"), ALL_VERSIONS);
  const tokens = [];
  for (const range of await container.getFeedRanges()) {
    tokens.push((await drain(container, ChangeFeedStartFrom.Now(range), ALL_VERSIONS))[1]);
  }
  for (const n of upTo(8)) await container.item(`d${n}`, `p${n}`).delete();
  equal((await drain(container, from(ofKey), ALL_VERSIONS))[0].map((item) => item.metadata.id), ["d1"]);
  const found = [];
  for (const token of tokens) found.push(...(await drain(container, from(token), ALL_VERSIONS))[0]);
  equal(found.map((item) => item.metadata.id).sort(), upTo(8).map((n) => `d${n}`));
});

checks.named("all versions: no start but now, and only if the account has them", async (world) => {
  const container = await world.newContainer();
  await container.items.create({ id: "1", pk: "p" });
  await world.control("POST", "account", { allVersions: false });
  await refused(400, () => drain(container, ChangeFeedStartFrom.Now(), ALL_VERSIONS));
});

checks.named("topology: a split in the middle of a feed", async (world) => {
  const container = await world.seeded(60, 2);
  const splits = ["0", "1", "2"];
  const options = { maxItemCount: 4 };
  const [items, token] = await drain(container, ChangeFeedStartFrom.Beginning(), options, async (page) => {
    if (page % 3 === 1 && splits.length > 0) await world.split(container, splits.shift());
  });
  inOrder(items, upTo(60));
  await container.items.create({ id: "new", pk: "p1", n: 60 });
  equal(ids((await drain(world.fresh(container), from(token)))[0]), ["new"]);
});

checks.named("topology: a continuation from before splits and merges", async (world) => {
  const container = await world.seeded(40, 2);
  const iterator = container.items.getChangeFeedIterator({
    changeFeedStartFrom: ChangeFeedStartFrom.Beginning(),
    maxItemCount: 5,
  });
  const first = await iterator.readNext();
  await world.split(container, "0");
  await world.merge(container, ["3", "1"]);
  await container.items.upsert({ id: "new", pk: "p3", n: 40 });
  const fresh = world.fresh(container);
  const [items] = await drain(fresh, from(first.continuationToken), { maxItemCount: 5 });
  inOrder([...first.result, ...items], upTo(41));
});

checks.named("topology: a merge in the middle of a feed", async (world) => {
  const container = await world.seeded(60, 4);
  const merges = [["0", "1"], ["2", "3"]];
  const [items] = await drain(container, ChangeFeedStartFrom.Beginning(), { maxItemCount: 4 }, async (page) => {
    if (page % 4 === 1 && merges.length > 0) await world.merge(container, merges.shift());
  });
  inOrder(items, upTo(60));
});

checks.named("topology: all versions over a split, of the container and of one key", async (world) => {
  const container = await world.seeded(16, 1);
  const [, token] = await drain(container, ChangeFeedStartFrom.Now(), ALL_VERSIONS);
  const [, ofKey] = await drain(container, ChangeFeedStartFrom.Now("p1"), ALL_VERSIONS);
  const rewrite = async (base) => {
    for (const n of upTo(16)) await container.items.upsert({ id: `d${n}`, pk: `p${n % 8}`, n: base + n });
  };
  await rewrite(100);
  await world.split(container, "0");
  await rewrite(200);
  await container.item("d1", "p1").delete();
  const [items] = await drain(world.fresh(container), from(token), { ...ALL_VERSIONS, maxItemCount: 5 });
  const changed = items.filter((item) => item.metadata.operationType !== "delete").map((item) => item.current);
  inOrder(changed, [...upTo(16).map((n) => 100 + n), ...upTo(16).map((n) => 200 + n)]);
  const [mine] = await drain(container, from(ofKey), ALL_VERSIONS);
  equal(mine.map((item) => item.current.n), [101, 109, 201, 209, undefined]);
});
