/** A minimal test harness: named tests, and comparisons that report the difference. */

/** @type {{name: string, run: () => void|Promise<void>}[]} */
export const tests = [];

/** @param {string} name @param {() => void|Promise<void>} run */
export function test(name, run) {
  tests.push({ name, run });
}

/** @param {unknown} actual @param {unknown} expected @param {string} [what] */
export function equal(actual, expected, what = "") {
  const [a, b] = [actual, expected].map((value) => JSON.stringify(value instanceof Uint8Array ? [...value] : value));
  if (a !== b) throw new Error(`${what} is ${a}, expected ${b}`);
}

/** @param {number} actual @param {number} expected @param {number} tolerance @param {string} [what] */
export function near(actual, expected, tolerance, what = "") {
  if (!(Math.abs(actual - expected) <= tolerance)) throw new Error(`${what} is ${actual}, expected ${expected} ± ${tolerance}`);
}

/** @param {() => unknown} work @param {RegExp} message */
export async function throws(work, message) {
  try {
    await work();
  } catch (error) {
    const text = /** @type {Error} */ (error).message;
    if (!message.test(text)) throw new Error(`failed with “${text}”, expected ${message}`);
    return;
  }
  throw new Error(`did not fail, expected ${message}`);
}

/** Runs all tests and returns the failures. */
export async function runAll() {
  const failures = [];
  for (const { name, run } of tests) {
    try {
      await run();
    } catch (error) {
      failures.push({ name, message: String(/** @type {Error} */ (error).message) });
    }
  }
  return failures;
}
