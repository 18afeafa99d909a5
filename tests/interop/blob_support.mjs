// What the blob checks share: the registry of checks, clients of a fresh container, and the emulator's control port.

import assert from "node:assert";
import { BlobServiceClient, StorageSharedKeyCredential, newPipeline } from "@azure/storage-blob";

// The public account of Microsoft's emulators.
export const ACCOUNT = "devstoreaccount1";
export const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
export const EVERYTHING = {
  includeCopy: true, includeDeleted: true, includeDeletedWithVersions: true, includeLegalHold: true,
  includeImmutabilityPolicy: true, includeMetadata: true, includeSnapshots: true, includeTags: true, includeUncommitedBlobs: true,
  includeVersions: true,
};
// Retries would only hide refusals and cost time.
export const ONCE = { retryOptions: { maxTries: 1 } };

const checks = new Map();

/** Registers a check under its name. */
export function check(name, run) {
  assert(!checks.has(name), `two checks are called ${name}`);
  checks.set(name, run);
}

export const equal = assert.deepStrictEqual;

/** The call must be refused with this status and code; without a code: any. */
export async function refused(status, code, call) {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    const got = error.code ?? error.details?.errorCode ?? error.response?.headers?.get("x-ms-error-code");
    if (error.statusCode !== status || (code && got !== code)) {
      throw new Error(`refused with ${error.statusCode} ${got}, expected ${status} ${code}: ${error.message.split("\n")[0]}`);
    }
    return error;
  }
  throw new Error(`not refused, expected ${status} ${code}; answered ${JSON.stringify(answer)?.slice(0, 200)}`);
}

/** All items of an iterator. */
export async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

/** The bytes of a blob as text. */
export async function text(blob, ...range) {
  return (await blob.downloadToBuffer(...range)).toString();
}

export class Env {
  #serial = 0;

  constructor(cosmosUrl, blobUrl) {
    this.cosmosUrl = cosmosUrl.replace(/\/$/, "");
    blobUrl = blobUrl.replace(/\/$/, "");
    // The address may be given with or without the account.
    this.blobUrl = blobUrl.endsWith(`/${ACCOUNT}`) ? blobUrl : `${blobUrl}/${ACCOUNT}`;
    this.credential = new StorageSharedKeyCredential(ACCOUNT, KEY);
    this.service = this.client(this.credential);
  }

  client(credential, options = ONCE) {
    return new BlobServiceClient(this.blobUrl, newPipeline(credential, options));
  }

  /** A container of its own for each check. */
  async container(options) {
    const client = this.service.getContainerClient(`js-${this.#serial++}-${Date.now()}`);
    await client.create(options);
    return client;
  }

  async control(method, path, body) {
    const answer = await fetch(`${this.cosmosUrl}/_emulator/${path}`, { method, body: body && JSON.stringify(body) });
    assert(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.json();
  }

  storage(settings) {
    return this.control("POST", "storage", settings);
  }

  advance(seconds) {
    return this.control("POST", "clock", { service: "blob", advanceSeconds: seconds });
  }

  /** Every check starts with the same account, clock and absence of faults. */
  async reset() {
    await this.storage({ versioning: true, softDeleteDays: 7, hierarchicalNamespace: false });
    await this.control("POST", "clock", { service: "blob", offsetSeconds: 0 });
    await this.control("DELETE", "faults");
  }
}

/** Runs every check, then compares what ran with the list of names. Returns the number of failures. */
export async function run(env, names) {
  let [passed, failed] = [0, 0];
  const fail = (name, why) => {
    failed += 1;
    console.log(`FAIL ${name}: ${why}`);
  };
  for (const [name, body] of checks) {
    const started = performance.now();
    try {
      await env.reset();
      await body(env);
      passed += 1;
      console.log(`ok   ${name} (${((performance.now() - started) / 1000).toFixed(2)} s)`);
    } catch (error) {
      const places = [...(error.stack ?? "").matchAll(/(blob\w*\.mjs:\d+)/g)].map((match) => match[1]);
      const lines = error.message.split("\n").filter((line) => !/^(RequestId|Time):/.test(line));
      fail(name, `${error.name}: ${lines.join(" | ").slice(0, 500)} [${places.join(" ")}]`);
    }
  }
  await env.reset();
  for (const name of names) if (!checks.has(name)) fail(name, "the check is listed but did not run");
  for (const name of checks.keys()) if (!names.includes(name)) fail(name, "the check ran but is not listed");
  console.log(`${passed} passed, ${failed} failed`);
  return failed;
}
