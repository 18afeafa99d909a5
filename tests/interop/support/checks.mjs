// Named checks: each says what holds, runs alone, and its name stands in a list that is compared at the end.
//
// A check that is in the list and did not run has failed, as has one that is not in the list. A script ends with the line
// "N passed, M failed", and with a status other than 0 if anything failed.

import assert from "node:assert/strict";

const FRAMES_MAX = 6;
const CHECK_SECONDS_MAX = 30;

/** Collects checks and runs them in order. */
export class Checks {
  checks = [];

  /** Adds a check. */
  named(name, check) {
    this.checks.push([name, check]);
  }

  /** Adds the checks of another module. */
  extend(other) {
    this.checks.push(...other.checks);
  }

  /** Runs everything and gives the exit status. INTEROP_ONLY, a part of a name, leaves out the others. */
  async run(world, expected) {
    const only = process.env.INTEROP_ONLY ?? "";
    let passed = 0;
    let failed = 0;
    for (const [name, check] of this.checks) {
      if (!name.includes(only)) continue;
      const started = performance.now();
      try {
        await within(CHECK_SECONDS_MAX, check(world));
        passed += 1;
        console.log(`ok     ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
      } catch (error) {
        // A failed check never hides the next one.
        failed += 1;
        const frames = (error.stack ?? "").split("\n").filter((line) => line.includes("/interop/"));
        console.log(`FAILED ${name}: ${error.code ?? ""} ${String(error.message ?? error).slice(0, 2000)}`);
        console.log(frames.slice(0, FRAMES_MAX).join("\n"));
      } finally {
        await world.tidy();
      }
    }
    if (only === "") {
      failed += compare(this.checks.map(([name]) => name), expected);
    }
    console.log(`${passed} passed, ${failed} failed`);
    return failed > 0 || passed === 0 ? 1 : 0;
  }
}

/** Fails if the work takes too long: a client that waits for what never comes must not hide the checks after it. */
async function within(seconds, work) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it is not done after ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** How many names the list and the script do not have in common, or have twice. */
function compare(ran, expected) {
  const faults = [
    ...expected.filter((name) => !ran.includes(name)).map((name) => `MISSING ${name}`),
    ...ran.filter((name) => !expected.includes(name)).map((name) => `NOT IN THE LIST ${name}`),
    ...ran.filter((name, index) => ran.indexOf(name) !== index).map((name) => `TWICE ${name}`),
  ];
  faults.forEach((fault) => console.log(fault));
  return faults.length;
}

/** Fails with both values if they differ; the order of members does not count. */
export function equal(found, expected, what = "the value") {
  try {
    assert.deepStrictEqual(found, expected);
  } catch {
    assert.fail(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
  }
}

/** Fails with an explanation. */
export function holds(condition, what) {
  assert.ok(condition, what);
}

/** Runs what must be refused with this status and gives the error. */
export async function refused(status, action) {
  let result;
  try {
    result = await action();
  } catch (error) {
    if (Number(error.code) !== status) {
      assert.fail(`refused with ${error.code}, not ${status}: ${error.message}`);
    }
    return error;
  }
  return assert.fail(`not refused with ${status}, but answered ${JSON.stringify(result?.resource ?? result?.resources)}`);
}
