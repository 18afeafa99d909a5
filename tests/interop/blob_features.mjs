// Copies, tags, tiers, leases, protection, service properties and account information.

import assert from "node:assert";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { BlobSASPermissions } from "@azure/storage-blob";
import { all, check, equal, refused, text } from "./blob_support.mjs";

const HOUR = 3_600_000;
const signed = (blob) => blob.generateSasUrl({ permissions: BlobSASPermissions.parse("r"), expiresOn: new Date(Date.now() + HOUR) });
// The headers have whole seconds.
const inDays = (days) => new Date(Math.floor(Date.now() / 1000) * 1000 + days * 24 * HOUR);

check("copy: within the account, conditions, abort", async (env) => {
  const container = await env.container();
  const [source, target] = ["source ä", "target"].map((name) => container.getBlockBlobClient(name));
  const { etag } = await source.upload("data", 4, { metadata: { from: "source" } });
  const answer = await (await target.beginCopyFromURL(source.url)).pollUntilDone();
  const read = await target.getProperties();
  equal([read.copyId, read.copyStatus, read.copyProgress, read.copySource], [answer.copyId, "success", "4/4", source.url]);
  equal([await text(target), read.metadata], ["data", { from: "source" }]);
  await (await target.beginCopyFromURL(source.url, { metadata: { own: "1" }, tags: { a: "b" } })).pollUntilDone();
  equal([(await target.getProperties()).metadata, (await target.getTags()).tags], [{ own: "1" }, { a: "b" }]);
  const copy = (sourceConditions, conditions) => target.beginCopyFromURL(source.url, { sourceConditions, conditions });
  await refused(412, undefined, () => copy({ ifMatch: '"0x1"' }));
  await refused(412, undefined, () => copy({ ifNoneMatch: etag }));
  await refused(409, "BlobAlreadyExists", () => copy({}, { ifNoneMatch: "*" }));
  await refused(404, undefined, () => target.beginCopyFromURL(container.getBlobClient("none").url));
  await refused(409, "NoPendingCopyOperation", () => target.abortCopyFromURL(answer.copyId));
});

check("copy: at once, from a URL, block by block", async (env) => {
  const container = await env.container();
  const source = container.getBlockBlobClient("source");
  const data = randomBytes(3_000);
  await source.upload(data, data.length, { metadata: { m: "1" } });
  const url = await signed(source);
  const [atOnce, fromUrl, blocks] = ["at-once", "from-url", "blocks"].map((name) => container.getBlockBlobClient(name));
  equal((await atOnce.syncCopyFromURL(url)).copyStatus, "success");
  equal((await atOnce.getProperties()).metadata, { m: "1" });
  await fromUrl.syncUploadFromURL(url, { metadata: { own: "2" } });
  equal((await fromUrl.getProperties()).metadata, { own: "2" });
  const ids = [0, 1, 2].map((number) => Buffer.from(String(number)).toString("base64"));
  for (const [number, id] of ids.entries()) await blocks.stageBlockFromURL(id, url, number * 1_000, 1_000);
  await blocks.commitBlockList(ids);
  for (const blob of [atOnce, fromUrl, blocks]) assert((await blob.downloadToBuffer()).equals(data), `other bytes in ${blob.name}`);
});

check("tags: set, read, listed, found, limited", async (env) => {
  const container = await env.container();
  const blob = container.getBlockBlobClient("t");
  const mark = container.containerName.replaceAll("-", "");
  const first = await blob.upload("x", 1, { tags: { mark, "a b": "c/d:e=f+g-h._" } });
  equal((await blob.getTags()).tags, { mark, "a b": "c/d:e=f+g-h._" });
  equal((await blob.getProperties()).tagCount, 2);
  await blob.setTags({ mark, state: "done" });
  equal([(await blob.getTags()).tags, (await blob.getProperties()).versionId], [{ mark, state: "done" }, first.versionId]);
  const query = `"mark" = '${mark}' AND "state" >= 'd'`;
  equal((await all(env.service.findBlobsByTags(query))).map((item) => [item.containerName, item.name]), [[container.containerName, "t"]]);
  equal((await all(container.findBlobsByTags(`"state" = 'other'`))).length, 0);
  await refused(400, undefined, () => blob.setTags(Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`k${n}`, "x"]))));
  await blob.upload("y", 1);
  equal([(await blob.getTags()).tags, (await blob.withVersion(first.versionId).getTags()).tags], [{}, { mark, state: "done" }]);
});

check("tiers: set, shown, archived", async (env) => {
  const blob = (await env.container()).getBlockBlobClient("t");
  await blob.upload("x", 1, { tier: "Cool" });
  equal((await blob.getProperties()).accessTier, "Cool");
  await blob.setAccessTier("Archive");
  await refused(409, "BlobArchived", () => blob.download());
  equal((await blob.getProperties()).accessTier, "Archive");
});

check("leases: on a blob and a container", async (env) => {
  const container = await env.container();
  const blob = container.getBlockBlobClient("l");
  await blob.upload("x", 1);
  const lease = blob.getBlobLeaseClient(randomUUID());
  const { leaseId } = await lease.acquireLease(15);
  equal((await blob.getProperties()).leaseState, "leased");
  await refused(409, "LeaseAlreadyPresent", () => blob.getBlobLeaseClient(randomUUID()).acquireLease(15));
  await refused(412, "LeaseIdMissing", () => blob.upload("y", 1));
  await refused(412, "LeaseIdMismatchWithBlobOperation", () => blob.upload("y", 1, { conditions: { leaseId: randomUUID() } }));
  await blob.upload("y", 1, { conditions: { leaseId } });
  await lease.renewLease();
  await lease.changeLease(randomUUID());
  await lease.releaseLease();
  equal([(await blob.getProperties()).leaseState, await text(blob)], ["available", "y"]);
  await lease.acquireLease(15);
  await env.advance(16);
  equal((await blob.getProperties()).leaseState, "expired");
  const whole = container.getBlobLeaseClient();
  await whole.acquireLease(-1);
  await refused(412, "LeaseIdMissing", () => container.delete());
  await whole.breakLease(0);
  await container.delete();
});

check("immutability: policy and legal hold", async (env) => {
  const blob = (await env.container()).getBlockBlobClient("i");
  const until = inDays(3);
  const first = await blob.upload("x", 1, { immutabilityPolicy: { expiriesOn: until, policyMode: "Unlocked" } });
  const read = await blob.getProperties();
  equal([read.immutabilityPolicyExpiresOn, read.immutabilityPolicyMode.toLowerCase()], [until, "unlocked"]);
  await refused(409, "BlobImmutableDueToPolicy", () => blob.setMetadata({ a: "b" }));
  await blob.upload("y", 1);
  await refused(409, "BlobImmutableDueToPolicy", () => blob.withVersion(first.versionId).delete());
  await blob.withVersion(first.versionId).deleteImmutabilityPolicy();
  await blob.withVersion(first.versionId).delete();
  const locked = { expiriesOn: inDays(2), policyMode: "Locked" };
  await blob.setImmutabilityPolicy(locked);
  await refused(409, undefined, () => blob.setImmutabilityPolicy({ expiriesOn: inDays(1), policyMode: "Locked" }));
  await refused(409, undefined, () => blob.deleteImmutabilityPolicy());
  const held = (await env.container()).getBlockBlobClient("h");
  await held.upload("x", 1, { legalHold: true });
  equal((await held.getProperties()).legalHold, true);
  await held.setHTTPHeaders({ blobContentType: "a/b" });
  await refused(409, "BlobImmutableDueToLegalHold", () => held.setMetadata({ a: "b" }));
  await refused(409, "BlobImmutableDueToLegalHold", () => held.delete());
  equal((await held.setLegalHold(false)).legalHold, false);
  await held.setMetadata({ a: "b" });
});

check("encryption scope", async (env) => {
  const blob = (await env.container()).getBlockBlobClient("e");
  await blob.upload("x", 1, { encryptionScope: "scope1" });
  equal([(await blob.getProperties()).encryptionScope, await text(blob)], ["scope1", "x"]);
  const scope = { defaultEncryptionScope: "scope2", preventEncryptionScopeOverride: true };
  const container = await env.container({ containerEncryptionScope: scope });
  const read = await container.getProperties();
  equal([read.defaultEncryptionScope, read.denyEncryptionScopeOverride], ["scope2", true]);
  const inherited = container.getBlockBlobClient("e");
  await inherited.upload("x", 1);
  equal((await inherited.getProperties()).encryptionScope, "scope2");
  await refused(403, "RequestForbiddenByContainerEncryptionPolicy", () => inherited.upload("y", 1, { encryptionScope: "scope1" }));
});

check("customer-provided key", async (env) => {
  const blob = (await env.container()).getBlockBlobClient("k");
  // The SDK takes such keys over HTTPS only, and looks no further than this field.
  blob.isHttps = true;
  const makeKey = () => {
    const key = randomBytes(32);
    const encryptionKeySha256 = createHash("sha256").update(key).digest("base64");
    return { encryptionKey: key.toString("base64"), encryptionKeySha256, encryptionAlgorithm: "AES256" };
  };
  const [own, other] = [makeKey(), makeKey()];
  equal((await blob.upload("secret", 6, { customerProvidedKey: own })).encryptionKeySha256, own.encryptionKeySha256);
  equal((await blob.downloadToBuffer(0, 6, { customerProvidedKey: own })).toString(), "secret");
  await refused(409, "BlobUsesCustomerSpecifiedEncryption", () => blob.download());
  await refused(409, "BlobCustomerSpecifiedEncryptionMismatch", () => blob.download(0, 6, { customerProvidedKey: other }));
  equal((await blob.getProperties({ customerProvidedKey: own })).encryptionKeySha256, own.encryptionKeySha256);
});

check("service properties and account information", async (env) => {
  const before = await env.service.getProperties();
  equal([before.deleteRetentionPolicy.enabled, before.deleteRetentionPolicy.days], [true, 7]);
  const rule = { allowedOrigins: "https://example.com", allowedMethods: "GET,PUT", allowedHeaders: "*", exposedHeaders: "etag" };
  const cors = [{ ...rule, maxAgeInSeconds: 60 }];
  await env.service.setProperties({ cors, deleteRetentionPolicy: { enabled: true, days: 3 } });
  const read = await env.service.getProperties();
  equal([read.cors, read.deleteRetentionPolicy.days], [cors, 3]);
  equal((await env.control("GET", "storage")).softDeleteDays, 3);
  await env.service.setProperties({ cors: [], deleteRetentionPolicy: { enabled: true, days: 7 } });
  const information = await env.service.getAccountInfo();
  equal([information.skuName, information.accountKind, information.isHierarchicalNamespaceEnabled], ["Standard_LRS", "StorageV2", false]);
});
