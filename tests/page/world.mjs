// Emulator, daemon and documents for the page's checks.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";

// The key of Microsoft's own emulator, which is public.
const KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==";
const DATABASE = "shop";
const READY_MS_MAX = 60_000;

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Looks again and again until `look` gives something. */
export async function eventually(what, look, limit = 60_000) {
  const deadline = Date.now() + limit;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < deadline, `not within ${limit / 1000} s: ${what}`);
    await pause(50);
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export class World {
  #processes = [];

  static async start(folder) {
    const world = new World();
    world.folder = folder;
    const emulator = world.#spawn("emulator", ["-o", "json", "emulator", "--cosmos", "127.0.0.1:0", "--blob", "127.0.0.1:0"], {});
    let text = "";
    emulator.stdout.on("data", (piece) => { text += piece; });
    await eventually("the emulator tells its addresses", () => text.includes("\n"), READY_MS_MAX);
    const addresses = JSON.parse(text.split("\n")[0]);
    world.cosmos = addresses.cosmos.replace(/\/$/, "");
    world.blob = addresses.blob;
    world.admin = `127.0.0.1:${await freePort()}`;
    world.origin = `http://${world.admin}`;
    return world;
  }

  #spawn(name, commandLine, variables) {
    const log = openSync(`${this.folder}/${name}.log`, "a");
    const started = spawn(process.env.COSMIRROR_BIN, commandLine, {
      stdio: ["ignore", "pipe", log],
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...variables },
    });
    this.#processes.push(started);
    return started;
  }

  /** Starts the daemon on its port; the same one again after it was ended. */
  async run({ token } = {}) {
    const settings = [
      `[source]\nendpoint = "${this.cosmos}/"\nauth = "emulator"\npoll_interval = "100ms"\npoll_interval_idle_max = "500ms"\nstaleness_margin = "0s"`,
      `[[containers]]\ndatabase = "${DATABASE}"\ncontainer = "orders"\nfeed = "all-versions-and-deletes"`,
      `[[containers]]\ndatabase = "${DATABASE}"\ncontainer = "customers"\nfeed = "all-versions-and-deletes"`,
      `[leases]\ndatabase = "${DATABASE}"\nexpiration = "6s"\nrenew_interval = "1s"\nacquire_interval = "1s"`,
      `[target]\nendpoint = "${this.blob}"\nauth = "emulator"`,
      `[admin]\nlisten = "${this.admin}"\nbrowse = true`,
    ];
    const file = `${this.folder}/cosmirror.toml`;
    writeFileSync(file, settings.join("\n\n"));
    this.daemon = this.#spawn("daemon", ["-c", file, "run", "--instance", "mirror-7f9c"], token ? { COSMIRROR_ADMIN_TOKEN: token } : {});
    await eventually("the daemon is ready", async () => {
      assert.equal(this.daemon.exitCode, null, readFileSync(`${this.folder}/daemon.log`, "utf8"));
      return (await fetch(`${this.origin}/readyz`).catch(() => ({ ok: false }))).ok;
    }, READY_MS_MAX);
  }

  async end(started = this.daemon) {
    if (started.exitCode !== null || started.signalCode !== null) return;
    started.kill("SIGTERM");
    await Promise.race([once(started, "exit"), pause(20_000).then(() => started.kill("SIGKILL"))]);
  }

  async endAll() {
    for (const started of this.#processes.reverse()) await this.end(started);
  }

  async control(path, body) {
    const answer = await fetch(`${this.cosmos}/_emulator/${path}`, { method: "POST", body: JSON.stringify(body) });
    assert.ok(answer.ok, `${path}: ${await answer.text()}`);
  }

  seed(container, count, partitions) {
    return this.control("seed", { database: DATABASE, container, partitionKey: "/pk", count, bytes: 200, keys: 12, partitions });
  }

  /** Writes a document whether or not it exists. */
  async put(container, document) {
    const link = `dbs/${DATABASE}/colls/${container}`;
    const date = new Date().toUTCString();
    const signed = `post\ndocs\n${link}\n${date.toLowerCase()}\n\n`;
    const signature = createHmac("sha256", Buffer.from(KEY, "base64")).update(signed).digest("base64");
    const key = JSON.stringify([document.pk]).replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
    const headers = {
      authorization: encodeURIComponent(`type=master&ver=1.0&sig=${signature}`),
      "x-ms-date": date,
      "x-ms-version": "2018-12-31",
      "content-type": "application/json",
      "x-ms-documentdb-is-upsert": "True",
      "x-ms-documentdb-partitionkey": key,
    };
    const answer = await fetch(`${this.cosmos}/${link}/docs`, { method: "POST", headers, body: JSON.stringify(document) });
    assert.ok(answer.ok, `${answer.status} ${await answer.text()}`);
  }

  status() {
    return fetch(`${this.origin}/status`).then((answer) => answer.json());
  }

  /** Writes orders at a rate that goes up and down, until the function it gives is called. */
  traffic() {
    let goesOn = true;
    const cities = ["Lyon", "Porto", "Graz", "Turku"];
    const writing = (async () => {
      for (let n = 0; goesOn; n += 1) {
        const order = { id: `order-${n % 20}`, pk: `customer-${(n % 20) % 12}`, status: ["new", "paid", "packed", "sent"][n % 4], total: (n * 7919) % 500 / 4, city: cities[n % 4], lines: [{ sku: `sku-${n % 9}`, quantity: 1 + n % 3 }] };
        await this.put("orders", order);
        if (n % 9 === 0) await this.put("customers", { id: `customer-${n % 30}`, pk: `customer-${n % 12}`, visits: n });
        await pause(30 + 110 * (1 + Math.sin(Date.now() / 14_000)));
      }
    })();
    return () => { goesOn = false; return writing; };
  }
}
