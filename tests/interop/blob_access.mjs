// Shared access signatures, keys, error documents, faults, and what the emulator declares to lack.

import assert from "node:assert";
import { randomBytes } from "node:crypto";
import {
  AccountSASPermissions, AnonymousCredential, BlobClient, BlobSASPermissions, BlobServiceClient, BlockBlobClient,
  ContainerClient, ContainerSASPermissions, StorageSharedKeyCredential, newPipeline,
} from "@azure/storage-blob";
import { ACCOUNT, ONCE, all, check, equal, refused, text } from "./blob_support.mjs";

const at = (hours) => new Date(Date.now() + hours * 3_600_000);
const anonymous = () => newPipeline(new AnonymousCredential(), ONCE);

check("signature: of the account", async (env) => {
  const container = await env.container();
  await container.getBlockBlobClient("a").upload("x", 1);
  const url = (expires, permissions, resources, options) =>
    env.service.generateAccountSasUrl(expires, AccountSASPermissions.parse(permissions), resources, options);
  const service = new BlobServiceClient(url(at(1), "rwdxltc", "sco"), anonymous());
  const blob = service.getContainerClient(container.containerName).getBlockBlobClient("b");
  await blob.upload("y", 1, { tags: { a: "b" } });
  equal([await text(blob), (await blob.getTags()).tags], ["y", { a: "b" }]);
  assert((await all(service.listContainers())).some((item) => item.name === container.containerName), "not listed");
  const reader = (expires, options) =>
    new BlobServiceClient(url(expires, "r", "o", options), anonymous()).getContainerClient(container.containerName);
  equal(await text(reader(at(1)).getBlobClient("a")), "x");
  await refused(403, "AuthorizationPermissionMismatch", () => reader(at(1)).getBlockBlobClient("a").upload("z", 1));
  await refused(403, "AuthorizationResourceTypeMismatch", () => all(reader(at(1)).listBlobsFlat()));
  await refused(403, "AuthenticationFailed", () => reader(at(-1)).getBlobClient("a").download());
  await refused(403, "AuthorizationSourceIPMismatch", () => reader(at(1), { ipRange: { start: "10.1.2.3" } }).getBlobClient("a").download());
});

check("signature: of a container, a blob and a version", async (env) => {
  const container = await env.container();
  const blob = container.getBlockBlobClient("folder/ä b.json");
  const first = await blob.upload("first", 5);
  await blob.upload("second", 6);
  const list = await container.generateSasUrl({ permissions: ContainerSASPermissions.parse("rl"), expiresOn: at(1) });
  const reader = new ContainerClient(list, anonymous());
  equal((await all(reader.listBlobsFlat())).map((item) => item.name), ["folder/ä b.json"]);
  equal(await text(reader.getBlobClient("folder/ä b.json")), "second");
  await refused(403, "AuthorizationPermissionMismatch", () => reader.getBlockBlobClient("b").upload("x", 1));
  const sas = async (target, permissions) => target.generateSasUrl({ permissions: BlobSASPermissions.parse(permissions), expiresOn: at(1) });
  equal(await text(new BlobClient(await sas(blob, "r"), anonymous())), "second");
  const creator = new BlockBlobClient(await sas(blob, "c"), anonymous());
  await refused(403, "UnauthorizedBlobOverwrite", () => creator.upload("x", 1));
  await new BlockBlobClient(await sas(blob, "w"), anonymous()).upload("third", 5);
  const version = new BlobClient(await sas(blob.withVersion(first.versionId), "r"), anonymous());
  equal(await text(version), "first");
  await refused(403, undefined, () => version.withVersion("").download());
});

check("signature: through a stored access policy, until it is revoked", async (env) => {
  const container = await env.container();
  await container.getBlockBlobClient("a").upload("x", 1);
  const accessPolicy = { startsOn: at(-1), expiresOn: at(1), permissions: "r" };
  await container.setAccessPolicy(undefined, [{ id: "reader", accessPolicy }]);
  const reader = new ContainerClient(await container.generateSasUrl({ identifier: "reader" }), anonymous());
  equal(await text(reader.getBlobClient("a")), "x");
  await refused(403, "AuthorizationPermissionMismatch", () => reader.getBlockBlobClient("b").upload("x", 1));
  await container.setAccessPolicy(undefined, []);
  await refused(403, "AuthenticationFailed", () => reader.getBlobClient("a").download());
});

check("keys: a wrong one and none are refused", async (env) => {
  const container = await env.container();
  const wrong = env.client(new StorageSharedKeyCredential(ACCOUNT, randomBytes(64).toString("base64")));
  await refused(403, "AuthenticationFailed", () => wrong.getContainerClient(container.containerName).getProperties());
  const nobody = env.client(new AnonymousCredential());
  await refused(401, "NoAuthenticationInformation", () => nobody.getContainerClient(container.containerName).getProperties());
});

check("errors and faults", async (env) => {
  const container = await env.container();
  const error = await refused(404, "BlobNotFound", () => container.getBlobClient("none").download());
  const id = error.response.headers.get("x-ms-request-id");
  equal(error.message.split("\n").slice(0, 2), ["The specified blob does not exist.", `RequestId:${id}`]);
  await container.getBlockBlobClient("a").upload("x", 1);
  const rule = { service: "blob", operation: "get", status: 503, action: "status", count: 2 };
  await env.control("POST", "faults", { rules: [rule] });
  await refused(503, undefined, () => container.getBlobClient("a").download());
  const patient = env.client(env.credential, { retryOptions: { maxTries: 3, retryDelayInMs: 1, maxRetryDelayInMs: 5 } });
  equal(await text(patient.getContainerClient(container.containerName).getBlobClient("a")), "x");
});

check("what the emulator lacks is refused by name", async (env) => {
  const container = await env.container();
  await container.getBlockBlobClient("a").upload("x", 1);
  await refused(501, "NotImplemented", () => container.getAppendBlobClient("p").create());
  await refused(501, "NotImplemented", () => container.getPageBlobClient("p").create(512));
  await refused(501, "NotImplemented", () => container.getBlockBlobClient("a").query("select * from BlobStorage"));
});
