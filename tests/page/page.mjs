// The page in a browser: it shows what is, executes nothing that came over the wire, and asks nobody but its own server.
//
// usage: page.mjs WORK [PICTURES]

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";
import { World, eventually, pause } from "./world.mjs";

const [work, pictures] = process.argv.slice(2);
const TOKEN = "a-token-of-the-test-0123456789";
// With pictures wanted, the charts get time to become lively.
const WARM_MS = pictures ? 200_000 : 12_000;

// Ids that would do something if they were markup, an address, a path or the end of a string.
const HOSTILE = [
  "<script>window.hacked=1<\\/script>".replace("\\/", "|"),
  "<img src=x onerror=window.hacked=1>",
  "\"><svg onload=window.hacked=1>",
  "'; window.hacked=1; '",
  "100%3Cscript%3E",
  "..%2F..%2Fetc",
  "..",
  "a\u202egpj.exe",
  "tab\there\u0001\u001b[2J",
  "it's $(id) `id`",
  "javascript:window.hacked=1",
  "x".repeat(1_000),
];
// What the page shows of an id: controls and marks of direction as escapes, the rest as it is.
const shown = (id) => id.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

let passed = 0;
let failed = 0;
async function check(name, body) {
  const begun = Date.now();
  try {
    await body();
    passed += 1;
    console.log(`ok    ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}

const asked = [];
const violations = [];
const complaints = [];

/** A page of a browser context of its own, of which every request is recorded. */
async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
  });
  context.on("request", (request) => asked.push(request.url()));
  const page = await context.newPage();
  page.on("console", (message) => {
    if (/policy/i.test(message.text())) violations.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => { complaints.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.goto(world.origin);
  return page;
}

const text = (page, selector) => page.locator(selector).first().innerText();
const card = (page, name) => page.locator(`[data-container="${name}"]`);

async function fact(page, container, name) {
  const found = card(page, container).locator("dl div").filter({ has: page.locator("dt", { hasText: new RegExp(`^${name}$`) }) });
  return Number((await found.locator("dd").innerText()).replaceAll(",", ""));
}

async function search(page, { id = "", pk = "" }) {
  await page.selectOption("#search-container", "shop/orders");
  await page.fill("#search-id", id);
  await page.fill("#search-pk", pk);
  const answered = page.waitForResponse((answer) => answer.url().includes("/browse/search"));
  await page.click("#search-form button[type=submit]");
  await answered;
}

async function scrolls(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

const world = await World.start(work);
let browser;
try {
  await world.seed("orders", 60, 3);
  await world.seed("customers", 30, 1);
  await world.run();
  for (const id of HOSTILE) {
    for (const n of [1, 2]) await world.put("orders", { id, pk: "<b>hostile</b>", n, ["<i>" + id.slice(0, 40)]: `<u>${n}</u>` });
  }
  // Something for the list of problems.
  await world.control("faults", { rules: [{ service: "blob", operation: "put", status: 503, count: 3 }] });
  const stopTraffic = world.traffic();
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const page = await open(browser);

  await check("values change while documents are written", async () => {
    const before = await eventually("versions are counted", () => fact(page, "shop/orders", "Versions written").catch(() => 0));
    await eventually("more are counted", async () => (await fact(page, "shop/orders", "Versions written")) > before);
    assert.equal(await text(page, "#live-text"), "live");
    assert.equal(await card(page, "shop/orders").locator("tbody tr").count(), 3);
    assert.match(await text(page, "header"), /mirror-7f9c.*version \d+\.\d+\.\d+/s);
  });

  await check("all is well in words, with the window of every container", async () => {
    await eventually("all is well", async () => /^All is well: 2 containers mirrored$/.test(await text(page, "#verdict-title")));
    assert.match(await card(page, "shop/orders").innerText(), /Restorable\s+from 2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d\s*until 2\d{3}-/);
  });

  await check("the values are those of /status", async () => {
    await eventually("a watermark that both show", async () => {
      const { containers } = await world.status();
      const orders = containers.find(({ container }) => container === "orders");
      const card = await page.locator('[data-container="shop/orders"]').innerText();
      return orders.ranges.every(({ watermark, owner }) => card.includes(watermark.slice(11, 17)) && card.includes(owner));
    });
  });

  await check("a problem is listed with what happened", async () => {
    await eventually("the problem shows", async () => /did not take a request/.test(await page.locator("#problems").innerText()));
  });

  await pause(WARM_MS);

  await check("charts draw lines inside what is visible, with axes and units", async () => {
    for (const kind of ["lag", "throughput"]) {
      const chart = card(page, "shop/orders").locator(`.chart[data-kind=${kind}]`);
      const drawn = await eventually(`${kind} has points`, () => chart.evaluate((figure) => {
        const line = figure.querySelector("path.line");
        if (!line || line.getTotalLength() < 5) return null;
        const [inner, outer] = [line.getBoundingClientRect(), figure.querySelector("svg").getBoundingClientRect()];
        return { inside: inner.left >= outer.left && inner.right <= outer.right + 1 && inner.top >= outer.top && inner.bottom <= outer.bottom, labels: [...figure.querySelectorAll("text")].map((label) => label.textContent) };
      }));
      assert.ok(drawn.inside, kind);
      assert.ok(drawn.labels.includes("now") && drawn.labels.some((label) => /min|s$/.test(label)), String(drawn.labels));
    }
  });

  await check("hostile ids are shown as they are and execute nothing", async () => {
    await page.waitForSelector("#search-form:not([hidden])");
    await eventually("all of them are mirrored", async () => {
      await search(page, { pk: "<b>hostile</b>" });
      return (await page.locator("#results tbody tr").count()) === HOSTILE.length;
    });
    const found = await page.locator("#results td.id button").allTextContents();
    assert.deepEqual([...found].sort(), HOSTILE.map(shown).sort());
  });

  await check("history, text, difference and command hold hostile texts as texts", async () => {
    for (const id of HOSTILE) {
      await search(page, { id, pk: "<b>hostile</b>" });
      await page.locator("#results td.id button").first().click();
      await page.waitForFunction((wanted) => document.querySelector("#document bdi")?.textContent === wanted, shown(id));
      await page.locator("#document button", { hasText: "What changed" }).first().click();
      await page.waitForSelector("#document .changes");
      assert.match(await text(page, "#document .changes"), /<u>1<\/u>[^]*<u>2<\/u>/);
      await page.locator("#document button", { hasText: "Show" }).first().click();
      await page.waitForSelector("#document pre.text");
      assert.match(await text(page, "#document pre.text"), /"n": 2,/);
      const command = await text(page, "#document pre.restore");
      assert.match(command, /^cosmirror restore --source=shop\/orders --id=\S/);
      assert.ok(command.includes("--pk='<b>hostile</b>' --version="), command);
    }
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(await page.locator("#browse img, #browse svg, #browse script, #browse b, #browse u, #browse i").count(), 0);
  });

  await check("the keyboard is enough", async () => {
    await page.fill("#search-pk", "");
    await page.focus("#search-id");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("order-1");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#results td.id button")?.textContent.startsWith("order-1"));
    for (let presses = 0; presses < 12; presses += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.closest("#results") !== null && document.activeElement.tagName === "BUTTON")) break;
    }
    await page.keyboard.press("Enter");
    await page.waitForSelector("#document table");
    assert.ok(await page.evaluate(() => document.activeElement.closest("#document") !== null), "the focus follows");
    await page.keyboard.press("Tab");
    await eventually("a button of the history is reached", async () => {
      if (await page.evaluate(() => document.activeElement.textContent === "Show")) return true;
      await page.keyboard.press("Tab");
      return false;
    });
    await page.keyboard.press("Enter");
    await page.waitForSelector("#document pre.text");
  });

  await check("a narrow page does not scroll sideways, in both schemes", async () => {
    const grounds = new Set();
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [390, 1280]) {
        const narrow = await open(browser, { viewport: { width, height: width > 500 ? 1_040 : 844 }, colorScheme });
        await narrow.waitForSelector('[data-container="shop/orders"] path.line');
        if (pictures) await picture(narrow, `page-${width}-${colorScheme}`);
        await search(narrow, { id: "order-1" });
        await narrow.locator("#results td.id button").first().click();
        await narrow.waitForSelector("#document table");
        await narrow.locator("#document button", { hasText: "What changed" }).first().click();
        await narrow.waitForSelector("#document .changes");
        assert.equal(await scrolls(narrow), 0, `${width} ${colorScheme}`);
        grounds.add(await narrow.evaluate(() => getComputedStyle(document.body).backgroundColor));
        if (pictures) await picture(narrow.locator("#browse"), `documents-${width}-${colorScheme}`);
        await narrow.context().close();
      }
    }
    assert.equal(grounds.size, 2);
  });

  await check("a hidden page asks nothing", async () => {
    const hidden = await open(browser);
    await hidden.waitForSelector('[data-container="shop/orders"]');
    await hidden.evaluate(() => {
      Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await pause(500);
    let polls = 0;
    hidden.on("request", () => { polls += 1; });
    await pause(4_500);
    assert.equal(polls, 0);
    assert.equal(await text(hidden, "#live-text"), "paused while hidden");
    await hidden.context().close();
  });

  await stopTraffic();
  await world.end();

  await check("a daemon that has ended shows", async () => {
    await eventually("the page says so", async () => (await text(page, "#verdict-title")) === "The daemon does not answer");
    assert.match(await text(page, "#live-text"), /^no answer for \d+ s/);
    if (pictures) await picture(page, "stopped");
  });

  await world.run({ token: TOKEN });

  await check("the page goes on when the daemon is back", async () => {
    await eventually("it is live", async () => (await text(page, "#live-text")) === "live");
    await eventually("all is well", async () => /^All is well/.test(await text(page, "#verdict-title")));
  });

  await check("a wrong token is refused and the right one opens, without appearing in any address", async () => {
    const guarded = await open(browser);
    await guarded.waitForSelector("#token-form:not([hidden])");
    await guarded.fill("#token", "wrong-token-of-the-test");
    await guarded.keyboard.press("Enter");
    await eventually("it is refused", async () => /the token is missing or wrong/.test(await text(guarded, "#browse-message")));
    assert.equal(await guarded.evaluate(() => sessionStorage.getItem("cosmirror-token")), null);
    await guarded.fill("#token", TOKEN);
    await guarded.keyboard.press("Enter");
    await guarded.waitForSelector("#results tbody tr");
    await guarded.click("#forget");
    await guarded.waitForSelector("#token-form:not([hidden])");
    assert.equal(await guarded.locator("#results tbody tr").count(), 0);
    await guarded.context().close();
    assert.ok(asked.every((url) => !url.includes("token-of-the-test")));
  });

  await check("a token that is forgotten while a search is under way shows nothing", async () => {
    const guarded = await open(browser);
    await guarded.waitForSelector("#token-form:not([hidden])");
    await guarded.fill("#token", TOKEN);
    await guarded.keyboard.press("Enter");
    await guarded.waitForSelector("#results tbody tr");
    let release;
    const held = new Promise((done) => { release = done; });
    let asking = false;
    await guarded.route("**/browse/search*", async (route) => {
      asking = true;
      await held;
      await route.continue().catch(() => {});
    });
    await guarded.click("#search-form button[type=submit]");
    await eventually("it is asked", async () => asking);
    assert.equal(await guarded.locator("#results tbody tr").count(), 0, "what the search before found is gone");
    await guarded.click("#forget");
    release();
    await pause(1_000);
    assert.equal(await guarded.locator("#results tbody tr").count(), 0);
    assert.match(await text(guarded, "#browse-message"), /forgotten/);
    await guarded.context().close();
  });

  // What the page makes of a status that is changed on its way.
  const changed = async (change) => {
    const seen = await open(browser);
    await seen.route("**/status", async (route) => {
      const status = await (await route.fetch()).json();
      await route.fulfill({ json: change(status) ?? status });
    });
    await seen.reload();
    return seen;
  };

  await check("what is not promised is not called well", async () => {
    const cases = [
      [(c) => Object.assign(c, { feed: "latest-version", deletes_known_until: null }), "waiting", /deletes are not known yet/],
      [(c) => Object.assign(c, { feed: "latest-version", deletes_known_until: "2026-01-02T03:04:05Z" }), "good", /until 2026-01-02 03:04:05/],
      [(c) => Object.assign(c, { start: "now", restorable_from: null, restorable_until: null, backfilled: false }), "good", /single versions can/],
      [(c) => Object.assign(c, { restorable_from: null, restorable_until: null, backfilled: true }), "warn", /no instant that can be restored at the moment/],
      [(c) => Object.assign(c, { restorable_from: null, restorable_until: null, backfilled: false }), "waiting", /first copy/],
      [(c) => Object.assign(c, { observed: false, lag_seconds: 3, gaps: null, dead_letters: null }), "good", /as far as this replica sees/],
      [(c) => Object.assign(c, { observed: false, lag_seconds: 700 }), "bad", /11 min 40 s behind/],
    ];
    for (const [change, state, words] of cases) {
      const seen = await changed((status) => { change(status.containers[0]); });
      await seen.waitForSelector(`#verdict[data-state=${state}] li`);
      assert.match(await seen.locator("#verdict").innerText(), words);
      await seen.context().close();
    }
  });

  await check("answers of several replicas are told, and one of them is shown", async () => {
    let count = 0;
    const seen = await changed((status) => { count += 1; if (count % 2 === 0) status.instance = "another"; });
    await seen.waitForSelector("#replicas:not([hidden])");
    assert.match(await text(seen, "#replicas"), /what mirror-7f9c sees; others: another/);
    await seen.evaluate(() => { document.querySelector("[data-container]").dataset.mark = "kept"; });
    await pause(5_000);
    assert.equal(await seen.locator("[data-mark=kept]").count(), 1);
    await seen.context().close();
  });

  await check("without samples the status is still told, and why the daemon does not answer", async () => {
    const seen = await open(browser);
    await seen.route("**/samples*", (route) => route.fulfill({ status: 500, body: "" }));
    await seen.reload();
    await eventually("all is well", async () => /^All is well/.test(await text(seen, "#verdict-title")));
    await pause(3_000);
    assert.match(await text(seen, "#verdict-title"), /^All is well/);
    await seen.route("**/status", (route) => route.fulfill({ status: 502, body: "" }));
    await eventually("the reason shows", async () => /status answered 502/.test(await seen.locator("#verdict").innerText()));
    await seen.context().close();
  });

  await check("no request leaves the origin, no policy is violated, nothing throws", async () => {
    const others = asked.filter((url) => !url.startsWith(`${world.origin}/`) && !url.startsWith("data:"));
    assert.deepEqual([others, violations, complaints], [[], [], []]);
    assert.ok(asked.length > 50, String(asked.length));
  });
} finally {
  await browser?.close();
  await world.endAll();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

async function picture(what, name) {
  mkdirSync(pictures, { recursive: true });
  await what.screenshot({ path: `${pictures}/${name}.png` });
}
