// Versions, snapshots, soft delete and listings.

import assert from "node:assert";
import { BlobSASPermissions } from "@azure/storage-blob";
import { EVERYTHING, all, check, equal, refused, text } from "./blob_support.mjs";

const HISTORY = { includeSnapshots: true, includeVersions: true, includeDeleted: true };
const VERSIONS = 5_100;
const PUTS_AT_ONCE = 16;

/** What is listed: what the state is, whether it is soft-deleted, and its size, which tells states apart. */
async function shape(container, options = HISTORY) {
  const kind = (item) => (item.snapshot ? "snapshot" : item.isCurrentVersion || !item.versionId ? "base" : "version");
  return (await all(container.listBlobsFlat(options)))
    .map((item) => `${kind(item)} ${item.properties.contentLength}${item.deleted ? " deleted" : ""}`)
    .sort((a, b) => a.split(" ")[1] - b.split(" ")[1]);
}

// The table "Overwrite and delete": what is listed after an overwrite and then a delete, and after Undelete.
const TABLE = [
  [false, 0, ["base 2"], [], null],
  [false, 7, ["snapshot 1 deleted", "base 2"], ["snapshot 1 deleted", "base 2 deleted"], ["snapshot 1", "base 2"]],
  [true, 0, ["version 1", "base 2"], ["version 1", "version 2"], ["version 1", "version 2"]],
  [true, 7, ["version 1", "base 2"], ["version 1", "version 2"], ["version 1", "version 2"]],
];
for (const [versioning, softDeleteDays, overwritten, deleted, undeleted] of TABLE) {
  const name = `versioning ${versioning ? "on" : "off"}, soft delete ${softDeleteDays ? "on" : "off"}`;
  check(`${name}: overwrite, delete, undelete`, async (env) => {
    await env.storage({ versioning, softDeleteDays });
    const container = await env.container();
    const blob = container.getBlockBlobClient("a");
    const first = await blob.upload("1", 1);
    await blob.upload("22", 2);
    equal([Boolean(first.versionId), await text(blob)], [versioning, "22"]);
    equal(await shape(container), overwritten);
    await blob.delete();
    await refused(404, "BlobNotFound", () => blob.download());
    equal(await shape(container), deleted);
    equal(await shape(container, {}), []);
    if (undeleted) await blob.undelete();
    else await refused(404, "BlobNotFound", () => blob.undelete());
    if (undeleted) equal(await shape(container), undeleted);
    if (!versioning) return;
    // Deleting a version loses it, or soft-deletes it.
    const old = blob.withVersion(first.versionId);
    equal(await text(old), "1");
    await old.delete();
    await refused(404, "BlobNotFound", () => old.download());
    equal(await shape(container), softDeleteDays ? ["version 1 deleted", "version 2"] : ["version 2"]);
    await blob.undelete();
    equal(await shape(container), softDeleteDays ? ["version 1", "version 2"] : ["version 2"]);
  });
}

check("soft delete: past its retention a state is gone", async (env) => {
  await env.storage({ versioning: false, softDeleteDays: 2 });
  const container = await env.container();
  const blob = container.getBlockBlobClient("r");
  await blob.upload("1", 1);
  await blob.delete();
  const [item] = await all(container.listBlobsFlat(HISTORY));
  assert(item.deleted && item.properties.deletedOn && item.properties.remainingRetentionDays >= 1, "not soft-deleted");
  await env.advance(2 * 86_400 + 60);
  equal(await shape(container), []);
  await refused(404, "BlobNotFound", () => blob.undelete());
});

check("versions: promoted by copy", async (env) => {
  const container = await env.container();
  const blob = container.getBlockBlobClient("p");
  const first = await blob.upload("wanted", 6, { metadata: { m: "1" } });
  await blob.upload("unwanted", 8);
  await blob.delete();
  const poller = await blob.beginCopyFromURL(blob.withVersion(first.versionId).url);
  equal((await poller.pollUntilDone()).copyStatus, "success");
  equal([await text(blob), (await blob.getProperties()).metadata], ["wanted", { m: "1" }]);
  equal(await shape(container), ["version 6", "base 6", "version 8"]);
  await refused(403, "OperationNotAllowedOnRootBlob", async () => blob.withVersion((await blob.getProperties()).versionId).delete());
});

check("snapshots: taken, read, listed, deleted", async (env) => {
  await env.storage({ versioning: false, softDeleteDays: 0 });
  const container = await env.container();
  const blob = container.getBlockBlobClient("s");
  await blob.upload("first", 5, { metadata: { m: "1" } });
  const { snapshot } = await blob.createSnapshot({ metadata: { m: "2" } });
  await blob.upload("second", 6);
  const taken = blob.withSnapshot(snapshot);
  equal([await text(taken), (await taken.getProperties()).metadata], ["first", { m: "2" }]);
  equal(await shape(container), ["snapshot 5", "base 6"]);
  await refused(409, "SnapshotsPresent", () => blob.delete());
  await blob.delete({ deleteSnapshots: "only" });
  equal(await shape(container), ["base 6"]);
  await blob.createSnapshot();
  await blob.delete({ deleteSnapshots: "include" });
  equal(await shape(container), []);
});

check("listing: each include and all together", async (env) => {
  const container = await env.container();
  const blob = container.getBlockBlobClient("b");
  await blob.upload("1", 1, { metadata: { k: "v" }, tags: { t: "1" } });
  await blob.createSnapshot();
  await blob.upload("22", 2, { metadata: { k: "w" }, tags: { t: "2" } });
  await (await container.getBlobClient("c").beginCopyFromURL(blob.url)).pollUntilDone();
  await container.getBlockBlobClient("d").upload("x", 1);
  await container.getBlobClient("d").delete();
  const list = (options) => all(container.listBlobsFlat(options));
  const plain = await list({});
  const extra = (item) => item.metadata ?? item.tags ?? item.snapshot;
  equal(plain.map((item) => [item.name, extra(item)]), [["b", undefined], ["c", undefined]]);
  equal((await list({ includeMetadata: true })).map((item) => item.metadata), [{ k: "w" }, { k: "w" }]);
  equal((await list({ includeTags: true }))[0].tags, { t: "2" });
  equal((await list({ includeSnapshots: true })).map((item) => Boolean(item.snapshot)), [true, false, false]);
  equal((await list({ includeCopy: true }))[1].properties.copyStatus, "success");
  equal((await list({ includeVersions: true })).map((item) => item.name), ["b", "b", "b", "c", "d"]);
  const gone = (await list({ includeDeletedWithVersions: true })).find((item) => item.name === "d");
  equal(gone.hasVersionsOnly, true);
  const everything = await list(EVERYTHING);
  const key = (item) => [item.name, item.versionId, item.snapshot, item.isCurrentVersion, item.metadata, item.tags];
  const pages = await all(container.listBlobsFlat(EVERYTHING).byPage({ maxPageSize: 1 }));
  equal(pages.flatMap((page) => page.segment.blobItems).map(key), everything.map(key));
  equal(everything.filter((item) => item.isCurrentVersion).map((item) => item.name), ["b", "c"]);
});

check("listing: walk by delimiter, pages, names", async (env) => {
  const container = await env.container();
  const written = ["root", "x/1", "x/2", "x/y/1", "x/y/z/1", "w/1", "z ä&<>'\"%25+"];
  for (const name of written) await container.getBlockBlobClient(name).upload(name, Buffer.byteLength(name));
  const descend = async (prefix) => {
    const found = [];
    for await (const item of container.listBlobsByHierarchy("/", { prefix })) {
      found.push(...(item.kind === "prefix" ? await descend(item.name) : [item.name]));
    }
    return found;
  };
  equal((await descend("")).sort(), [...written].sort());
  equal((await all(container.listBlobsByHierarchy("/"))).map((item) => item.name).sort(), ["root", "w/", "x/", "z ä&<>'\"%25+"]);
  for (const name of written) equal(await text(container.getBlobClient(name)), name);
  const pages = container.listBlobsFlat().byPage({ maxPageSize: 3 });
  const first = (await pages.next()).value;
  const rest = await all(container.listBlobsFlat().byPage({ continuationToken: first.continuationToken }));
  equal([...first.segment.blobItems, ...rest.flatMap((page) => page.segment.blobItems)].map((item) => item.name), [...written].sort());
});

check("listing: more versions of one blob than a page holds", async (env) => {
  const container = await env.container();
  const blob = container.getBlockBlobClient("many");
  // A signature made once, and no SDK around each of the thousands of puts.
  const url = await blob.generateSasUrl({ permissions: BlobSASPermissions.parse("w"), expiresOn: new Date(Date.now() + 3_600_000) });
  const ids = new Set();
  let left = VERSIONS;
  const work = async () => {
    while (left-- > 0) {
      const answer = await fetch(url, { method: "PUT", headers: { "x-ms-blob-type": "BlockBlob" }, body: "x" });
      await answer.arrayBuffer();
      equal(answer.status, 201);
      ids.add(answer.headers.get("x-ms-version-id"));
    }
  };
  await Promise.all(Array.from({ length: PUTS_AT_ONCE }, work));
  equal(ids.size, VERSIONS);
  const pages = await all(container.listBlobsFlat({ includeVersions: true }).byPage());
  equal(pages.map((page) => page.segment.blobItems.length), [5_000, VERSIONS - 5_000]);
  const listed = pages.flatMap((page) => page.segment.blobItems).map((item) => item.versionId);
  equal(listed, [...ids].sort());
});
