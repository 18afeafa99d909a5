// Containers, uploads, downloads, properties, metadata and conditions.

import assert from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { all, check, equal, refused, text } from "./blob_support.mjs";

const HEADERS = {
  blobContentType: "application/json",
  blobContentEncoding: "identity",
  blobContentLanguage: "de-CH",
  blobContentDisposition: 'attachment; filename="a.json"',
  blobCacheControl: "no-store, max-age=0",
};
const shown = (read) => [read.contentType, read.contentEncoding, read.contentLanguage, read.contentDisposition, read.cacheControl];

check("containers: create, read, metadata, conditions, delete", async (env) => {
  const client = env.service.getContainerClient(`lifecycle-${Date.now()}`);
  equal(await client.exists(), false);
  const created = await client.create({ metadata: { team: "blue" } });
  await refused(409, "ContainerAlreadyExists", () => client.create());
  equal((await client.createIfNotExists()).succeeded, false);
  const read = await client.getProperties();
  equal([read.etag, read.metadata, read.leaseState], [created.etag, { team: "blue" }, "available"]);
  const written = await client.setMetadata({ two: "2" });
  equal([(await client.getProperties()).metadata, (await client.getProperties()).etag], [{ two: "2" }, written.etag]);
  const later = new Date(Date.now() + 3_600_000);
  await refused(412, "ConditionNotMet", () => client.setMetadata({ x: "y" }, { conditions: { ifModifiedSince: later } }));
  await refused(412, "ConditionNotMet", () => client.delete({ conditions: { ifModifiedSince: later } }));
  await client.delete();
  equal(await client.exists(), false);
  await refused(404, "ContainerNotFound", () => client.getProperties());
  await refused(400, "InvalidResourceName", () => env.service.getContainerClient("Upper").create());
});

check("containers: listing", async (env) => {
  const prefix = `list-${Date.now()}-`;
  const names = [1, 2, 3, 4, 5].map((number) => `${prefix}${number}`);
  for (const name of names) await env.service.createContainer(name, { metadata: { name: name.replaceAll("-", "_") } });
  equal((await all(env.service.listContainers({ prefix }))).map((item) => item.name), names);
  const listed = await all(env.service.listContainers({ prefix, includeMetadata: true }));
  equal(listed.map((item) => item.metadata), names.map((name) => ({ name: name.replaceAll("-", "_") })));
  const pages = await all(env.service.listContainers({ prefix }).byPage({ maxPageSize: 2 }));
  equal(pages.map((page) => page.containerItems.length), [2, 2, 1]);
});

check("containers: access policies", async (env) => {
  const client = await env.container();
  const [startsOn, expiresOn] = [new Date("2026-01-02T03:04:05Z"), new Date("2028-01-02T03:04:05Z")];
  await client.setAccessPolicy(undefined, [{ id: "reader", accessPolicy: { startsOn, expiresOn, permissions: "rl" } }]);
  const read = await client.getAccessPolicy();
  equal(read.signedIdentifiers, [{ id: "reader", accessPolicy: { startsOn, expiresOn, permissions: "rl" } }]);
  equal(read.blobPublicAccess, undefined);
});

check("upload: one put, overwritten, conditional", async (env) => {
  const blob = (await env.container()).getBlockBlobClient("folder/ä ö&?#%20+.json");
  const data = randomBytes(10_000);
  const first = await blob.upload(data, data.length, { metadata: { op: "create" }, blobHTTPHeaders: HEADERS });
  assert(Buffer.from(first.contentMD5).equals(createHash("md5").update(data).digest()), "md5 of the answer");
  const read = await blob.getProperties();
  equal(shown(read), Object.values(HEADERS));
  equal([read.metadata, read.contentLength, read.blobType, read.etag], [{ op: "create" }, 10_000, "BlockBlob", first.etag]);
  equal([read.versionId, read.isCurrentVersion, read.accessTier], [first.versionId, true, "Hot"]);
  assert((await blob.downloadToBuffer()).equals(data), "other bytes");
  await refused(409, "BlobAlreadyExists", () => blob.upload("x", 1, { conditions: { ifNoneMatch: "*" } }));
  const second = await blob.upload("second", 6);
  assert(second.etag !== first.etag && second.versionId !== first.versionId, "the overwrite has the same id");
  equal([await text(blob), (await blob.getProperties()).metadata], ["second", {}]);
});

check("upload: blocks, in parallel, from a stream, and staged", async (env) => {
  const container = await env.container();
  const data = randomBytes(300_007);
  const blob = container.getBlockBlobClient("parallel");
  await blob.uploadData(data, { maxSingleShotSize: 1, blockSize: 16_384, concurrency: 4, metadata: { parts: "many" } });
  const blocks = await blob.getBlockList("all");
  equal([blocks.committedBlocks.length, (blocks.uncommittedBlocks ?? []).length], [19, 0]);
  assert((await blob.downloadToBuffer(0, undefined, { blockSize: 10_001, concurrency: 4 })).equals(data), "other bytes");
  equal((await blob.getProperties()).metadata, { parts: "many" });
  const streamed = container.getBlockBlobClient("stream");
  await streamed.uploadStream(Readable.from([data.subarray(0, 50_000), data.subarray(50_000)]), 32_768, 2);
  assert((await streamed.downloadToBuffer()).equals(data), "other bytes from the stream");
  const staged = container.getBlockBlobClient("staged");
  const id = (name) => Buffer.from(name).toString("base64");
  for (const name of ["a", "b", "c"]) await staged.stageBlock(id(name), name.repeat(10), 10);
  equal((await staged.getBlockList("uncommitted")).uncommittedBlocks.map((block) => block.name), ["a", "b", "c"].map(id));
  await staged.commitBlockList([id("c"), id("a")]);
  equal(await text(staged), "c".repeat(10) + "a".repeat(10));
  await refused(400, "InvalidBlockList", () => staged.commitBlockList([id("z")]));
});

check("download: ranges and checksums", async (env) => {
  const blob = (await env.container()).getBlockBlobClient("ranges");
  const data = randomBytes(1_024);
  await blob.upload(data, data.length);
  assert((await blob.downloadToBuffer(10, 20)).equals(data.subarray(10, 30)), "other bytes");
  const part = await blob.download(1_000, 500, { rangeGetContentMD5: true });
  equal([part.contentLength, part.contentRange], [24, "bytes 1000-1023/1024"]);
  assert(Buffer.from(part.contentMD5).equals(createHash("md5").update(data.subarray(1_000)).digest()), "md5 of the range");
  const crc = await blob.download(0, 4, { rangeGetContentCrc64: true });
  assert(crc.contentCrc64?.length === 8, "no crc of the range");
  await refused(416, "InvalidRange", () => blob.download(1_024, 1));
  await refused(400, "Md5Mismatch", () => blob.upload("x", 1, { blobHTTPHeaders: { blobContentMD5: createHash("md5").update("y").digest() } }));
});

check("properties and metadata: set, replaced, limited", async (env) => {
  const blob = (await env.container()).getBlockBlobClient("p");
  const written = await blob.upload("{}", 2, { metadata: { keep: "me" } });
  await blob.setHTTPHeaders(HEADERS);
  let read = await blob.getProperties();
  equal([shown(read), read.metadata, read.versionId], [Object.values(HEADERS), { keep: "me" }, written.versionId]);
  const changed = await blob.setMetadata({ one: "1", CamelCase: "Value" });
  read = await blob.getProperties();
  const lower = Object.fromEntries(Object.entries(read.metadata).map(([name, value]) => [name.toLowerCase(), value]));
  equal([lower, read.versionId, read.etag], [{ one: "1", camelcase: "Value" }, changed.versionId, changed.etag]);
  await refused(400, "InvalidMetadata", () => blob.setMetadata({ "a-b": "x" }));
  await refused(400, "MetadataTooLarge", () => blob.setMetadata({ a: "x".repeat(8_200) }));
  await blob.setMetadata();
  equal((await blob.getProperties()).metadata, {});
});

const OPERATIONS = {
  put: (blob, conditions) => blob.upload("new", 3, { conditions }),
  get: (blob, conditions) => blob.download(0, undefined, { conditions }),
  head: (blob, conditions) => blob.getProperties({ conditions }),
  metadata: (blob, conditions) => blob.setMetadata({ a: "b" }, { conditions }),
  properties: (blob, conditions) => blob.setHTTPHeaders({ blobContentType: "a/b" }, { conditions }),
  snapshot: (blob, conditions) => blob.createSnapshot({ conditions }),
  delete: (blob, conditions) => blob.delete({ conditions, deleteSnapshots: "include" }),
};
const OTHER_ETAG = '"0x8DEADBEEFDEADBE"';

for (const [operation, act] of Object.entries(OPERATIONS)) {
  check(`conditions: ${operation}`, async (env) => {
    const container = await env.container();
    const reading = ["get", "head"].includes(operation);
    for (let number = 0; ; number++) {
      const blob = container.getBlockBlobClient(`b${number}`);
      await blob.upload("old", 3, { tags: { stage: "raw", count: "10" } });
      const { etag, lastModified } = await blob.getProperties();
      const before = new Date(lastModified.getTime() - 3_600_000);
      // Condition, whether it holds, and whether its failure is "not modified" for a read.
      const [conditions, met, notModified] = [
        [{ ifMatch: etag }, true], [{ ifMatch: OTHER_ETAG }, false], [{ ifMatch: "*" }, true],
        [{ ifNoneMatch: OTHER_ETAG }, true], [{ ifNoneMatch: etag }, false, true],
        [{ ifModifiedSince: before }, true], [{ ifModifiedSince: lastModified }, false, true],
        [{ ifUnmodifiedSince: lastModified }, true], [{ ifUnmodifiedSince: before }, false],
        [{ tagConditions: `"stage" = 'raw' AND "count" <> '9'` }, true], [{ tagConditions: `"stage" = 'done'` }, false],
      ][number] ?? [];
      if (!conditions) return;
      if (met) await act(blob, conditions);
      else {
        await refused(reading && notModified ? 304 : 412, reading ? undefined : "ConditionNotMet", () => act(blob, conditions));
        equal((await blob.getProperties()).etag, etag);
      }
    }
  });
}
