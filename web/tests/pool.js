import { equal, test } from "./check.js";
import { Pool, helpersMemory, workersFor } from "../pool.js";

/** @import { FromHelper, Stereo, ToHelper } from "../types/protocol.d.ts" */

/** A fake helper. It answers by `behaviour`, with the segment as its only stem. */
class FakeHelper {
  /** @type {(event: {data: FromHelper}) => void} */ onmessage = () => {};
  /** @type {(event: any) => void} */ onerror = () => {};
  ended = false;
  /** Segments received. */ segments = 0;
  number = started.push(this);

  /** @param {ToHelper|null} message */
  async postMessage(message) {
    if (message?.type === "segment") this.segments++;
    await Promise.resolve();
    if (this.ended) return;
    const answer = message === null ? { type: "failed", message: "spoilt" } : behaviour(message, this.number);
    if (answer === "error") this.onerror({ message: "no script", preventDefault() {} });
    else if (answer) this.onmessage({ data: /** @type {FromHelper} */ (answer) });
  }

  terminate() { this.ended = true; }
}

/** @type {FakeHelper[]} */
let started = [];
/** @type {(message: ToHelper, number: number) => FromHelper|"error"|null} */
let behaviour = () => null;

const HEAP = 20e6;

/** @param {ToHelper} message @returns {FromHelper} */
const works = (message) => message.type === "start"
  ? { type: "ready", heap: 1e6 }
  : { type: "stems", stems: [message.segment], heap: HEAP };

/**
 * A test with a pool of fake helpers.
 * @param {string} name @param {{workers: number, memory?: number, helper?: typeof behaviour}} how
 * @param {(pool: Pool) => Promise<void>} run
 */
function poolTest(name, { workers, memory = 1e9, helper = works }, run) {
  test(name, async () => {
    const real = window.Worker;
    /** @type {any} */ (window).Worker = FakeHelper;
    started = [];
    behaviour = helper;
    try {
      await run(new Pool(workers, /** @type {any} */ ({}), new Blob(["model"]), memory));
    } finally {
      window.Worker = real;
    }
  });
}

const channel = (/** @type {number} */ value) => Float32Array.of(value);

/** The first samples of the stems of each segment. @param {(Stereo[]|undefined)[]} results */
const values = (results) => results.map((stems) => stems?.[0][0][0] ?? null);

test("there are as many workers as threads, within bounds", () => {
  equal([1, 2, 8, 64, 0, -3, NaN].map(workersFor), [1, 2, 8, 8, 1, 1, 1]);
  equal(workersFor(null), Math.min(8, navigator.hardwareConcurrency));
});

test("helpers may use a quarter of the memory, also if the browser does not tell it", () => {
  equal([helpersMemory({ deviceMemory: 8 }), helpersMemory({})], [2 * 2 ** 30, 2 ** 30]);
});

/** The stems of segments that run at the same time. @param {Pool} pool @param {number[]} numbers */
const run = async (pool, numbers) =>
  values(await Promise.all(numbers.map((number) => pool.run(channel(number), channel(number)))));

poolTest("two helpers start, and the others when their memory is known", { workers: 4 }, async (pool) => {
  const results = run(pool, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  equal(started.length, 2);
  equal(await results, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  equal([started.length, pool.workers, pool.reason, pool.heap], [4, 4, null, 4 * HEAP]);
});

poolTest("a helper has two segments at most, and the others wait", { workers: 2 }, async (pool) => {
  const results = run(pool, [1, 2, 3, 4, 5]);
  equal(started.map(({ segments }) => segments), [2, 2]);
  equal(await results, [1, 2, 3, 4, 5]);
  equal(started.reduce((sum, { segments }) => sum + segments, 0), 5);
});

poolTest("there are no more helpers than fit into the memory", { workers: 8, memory: 3.5 * HEAP }, async (pool) => {
  equal(await run(pool, [1, 2, 3, 4, 5, 6, 7, 8, 9]), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  equal([pool.workers, started.length, pool.reason], [3, 3, "each needs 20 MB of memory"]);
});

poolTest("there are no more helpers than segments", { workers: 8 }, async (pool) => {
  equal(await run(pool, [1]), [1]);
  equal(started.length, 1);
  equal(await run(pool, [2, 3, 4]), [2, 3, 4]);
  equal([started.length, pool.workers], [3, 8]);
});

for (const [how, helper] of /** @type {[string, typeof behaviour][]} */ ([
  ["its model cannot be loaded", () => ({ type: "failed", message: "broken" })],
  ["its script cannot be loaded", () => "error"],
])) {
  poolTest(`the pool returns segments that no helper can compute: ${how}`, { workers: 2, helper }, async (pool) => {
    equal(await run(pool, [1, 2, 3]), [null, null, null]);
    equal([started.length, started.every(({ ended }) => ended), pool.workers], [2, true, 0]);
    equal(/a worker failed/.test(pool.reason ?? ""), true, "the reason");
    equal(await run(pool, [4]), [null]);
    equal(started.length, 2);
  });
}

test("the pool returns its segments in a browser that allows a worker no workers", async () => {
  const real = window.Worker;
  /** @type {any} */ (window).Worker = class { constructor() { throw new Error("not allowed"); } };
  try {
    const pool = new Pool(2, /** @type {any} */ ({}), new Blob([]), 1e9);
    equal([await run(pool, [1, 2]), pool.workers], [[null, null], 0]);
  } finally {
    window.Worker = real;
  }
});

poolTest("the segments of a helper that fails go to the others, in their order", {
  workers: 3,
  helper: (message, number) => message.type === "segment" && number === 1 && message.segment[0][0] === 9
    ? { type: "failed", message: "out of memory" } : works(message),
}, async (pool) => {
  equal(await run(pool, [9, 8, 7, 6, 5]), [9, 8, 7, 6, 5]);
  equal([pool.workers, started.map(({ ended }) => ended)], [2, [true, false, false]]);
  equal(/out of memory/.test(pool.reason ?? ""), true, "the reason");
});

poolTest("a spoilt helper loses no segment", { workers: 2 }, async (pool) => {
  const results = run(pool, [1, 2, 3]);
  pool.spoil();
  equal(await results, [1, 2, 3]);
  equal(pool.workers, 2 - started.filter(({ ended }) => ended).length);
});

poolTest("the end of the pool ends all helpers", { workers: 2 }, async (pool) => {
  await run(pool, [1, 2, 3, 4]);
  pool.end();
  equal([started.map(({ ended }) => ended), pool.heap], [[true, true], 0]);
});
