// Holds the emulator to Microsoft's JavaScript client for Cosmos DB. Arguments: the Cosmos endpoint; others are not used.

import { readFileSync } from "node:fs";
import { checks as account } from "./cosmos_account.mjs";
import { checks as feed } from "./cosmos_feed.mjs";
import { checks as items } from "./cosmos_items.mjs";
import { checks as queries } from "./cosmos_query.mjs";
import { Checks } from "./support/checks.mjs";
import { World } from "./support/cosmos.mjs";

const all = new Checks();
[account, items, queries, feed].forEach((checks) => all.extend(checks));
const list = readFileSync(new URL("./support/cosmos_features.txt", import.meta.url), "utf8");
const expected = list
  .split("\n")
  .filter((line) => line && !line.startsWith("#"))
  .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)])
  .filter(([client]) => ["both", "javascript"].includes(client))
  .map(([, name]) => name);
process.exit(await all.run(new World(process.argv[2]), expected));
