// The emulator as the checks see it: Microsoft's client and control requests.

import assert from "node:assert/strict";
import { CosmosClient } from "@azure/cosmos";

// The key of Microsoft's own emulator, which is public.
export const KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==";

const SYSTEM_PROPERTIES = ["_rid", "_self", "_etag", "_attachments", "_ts"];

/** The running emulator. */
export class World {
  #run = Math.random().toString(16).slice(2, 8);
  #numbers = 0;
  #database;

  constructor(endpoint) {
    this.endpoint = endpoint;
    this.client = this.newClient();
  }

  /** A client without anything that another one learned. */
  newClient(options = {}) {
    return new CosmosClient({ endpoint: this.endpoint, key: KEY, ...options });
  }

  /** The database of checks that need no own one. */
  async database() {
    this.#database ??= (await this.client.databases.create({ id: `javascript-${this.#run}` })).database;
    return this.#database;
  }

  /** A name that nothing had before. */
  newName(prefix = "c") {
    this.#numbers += 1;
    return `${prefix}${this.#numbers}-${this.#run}`;
  }

  /** A container of its own for a check; several paths make a hierarchical key. */
  async newContainer(paths = ["/pk"], options = {}) {
    const key = paths.length > 1 ? { paths, kind: "MultiHash", version: 2 } : { paths };
    const database = await this.database();
    return (await database.containers.create({ id: this.newName(), partitionKey: key, ...options })).container;
  }

  /** A container with documents d0… over keys p0… in several ranges. */
  async seeded(count, partitions, keys = 8) {
    const [database, container] = [(await this.database()).id, this.newName()];
    await this.control("POST", "seed", { database, container, partitionKey: "/pk", count, bytes: 200, keys, partitions });
    return (await this.database()).container(container);
  }

  /** The same container through a client that knows nothing yet. */
  fresh(container, options = {}) {
    return this.newClient(options).database(container.database.id).container(container.id);
  }

  /** A control request, which must succeed. */
  async control(verb, name, body) {
    const options = { method: verb, body: body === undefined ? undefined : JSON.stringify(body) };
    const answer = await fetch(new URL(`/_emulator/${name}`, this.endpoint), options);
    const text = await answer.text();
    assert.equal(answer.status, 200, `${name} answered ${answer.status}: ${text}`);
    return answer.headers.get("content-type") === "application/json" ? JSON.parse(text) : text;
  }

  /** Every committed change of a container. */
  async history(container) {
    const scope = new URLSearchParams({ database: container.database.id, container: container.id });
    const lines = await this.control("GET", `history?${scope}`);
    return lines.split("\n").filter((line) => line).map((line) => JSON.parse(line));
  }

  async split(container, range) {
    await this.control("POST", "split", { database: container.database.id, container: container.id, range });
  }

  async merge(container, ranges) {
    await this.control("POST", "merge", { database: container.database.id, container: container.id, ranges });
  }

  async faults(...rules) {
    await this.control("POST", "faults", { rules: rules.map((rule) => ({ service: "cosmos", ...rule })) });
  }

  /** Moves the time of the documents forward. */
  async advance(seconds) {
    await this.control("POST", "clock", { service: "cosmos", advanceSeconds: seconds });
  }

  /** Leaves nothing of a check's own that could disturb the next one. */
  async tidy() {
    await this.control("DELETE", "faults");
    await this.control("POST", "account", { allVersions: true });
  }
}

/** A document without the service's properties, in its own order. */
export function withoutSystem(document) {
  return Object.fromEntries(Object.entries(document).filter(([name]) => !SYSTEM_PROPERTIES.includes(name)));
}
