import { equal, test } from "./check.js";
import { Pool, helpersMemory, workersFor } from "../pool.js";

/** @import { FromHelper, Stereo, ToHelper } from "../types/protocol.d.ts" */

/** A fake helper. It answers by `behaviour`, with the segment as its only stem. */
class FakeHelper {
  /** @type {(event: {data: FromHelper}) => void} */ onmessage = () => {};
  /** @type {(event: any) => void} */ onerror = () => {};
  ended = false;
  number = started.push(this);

  /** @param {ToHelper|null} message */
  async postMessage(message) {
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

poolTest("one helper starts, and the others when its memory is known", { workers: 4 }, async (pool) => {
  equal(await pool.ready(9), 1);
  equal(values([await pool.run(channel(1), channel(1))]), [1]);
  equal(await pool.ready(9), 3);
  equal([started.length, pool.workers, pool.reason, pool.heap], [3, 4, null, HEAP + 2e6]);
});

poolTest("segments that run at the same time return their own stems", { workers: 4 }, async (pool) => {
  await pool.ready(9);
  await pool.run(channel(0), channel(0));
  await pool.ready(9);
  equal(values(await Promise.all([5, 6, 7].map((value) => pool.run(channel(value), channel(value))))), [5, 6, 7]);
});

poolTest("there are no more helpers than fit into the memory", { workers: 8, memory: 2.5 * HEAP }, async (pool) => {
  await pool.ready(9);
  await pool.run(channel(1), channel(1));
  equal(await pool.ready(9), 2);
  equal([pool.workers, started.length, pool.reason], [3, 2, "each needs 20 MB of memory"]);
});

poolTest("there are no more helpers than segments", { workers: 8 }, async (pool) => {
  await pool.ready(7);
  await pool.run(channel(1), channel(1));
  equal([await pool.ready(2), started.length, await pool.ready(7), started.length, pool.workers], [2, 2, 7, 7, 8]);
});

for (const [how, helper] of /** @type {[string, typeof behaviour][]} */ ([
  ["its model cannot be loaded", () => ({ type: "failed", message: "broken" })],
  ["its script cannot be loaded", () => "error"],
])) {
  poolTest(`the pool goes on without a helper that does not start: ${how}`, { workers: 2, helper }, async (pool) => {
    equal(await pool.ready(9), 0);
    equal([await pool.ready(9), started.length, started[0].ended, pool.workers], [0, 1, true, 1]);
    equal(/further worker failed/.test(pool.reason ?? ""), true, "the reason");
    equal(await pool.run(channel(1), channel(1)), undefined);
  });
}

test("the pool goes on in a browser that allows a worker no workers", async () => {
  const real = window.Worker;
  /** @type {any} */ (window).Worker = class { constructor() { throw new Error("not allowed"); } };
  try {
    const pool = new Pool(2, /** @type {any} */ ({}), new Blob([]), 1e9);
    equal([await pool.ready(9), pool.workers], [0, 1]);
  } finally {
    window.Worker = real;
  }
});

poolTest("a helper that fails gives no stems, and the others stay", {
  workers: 3,
  helper: (message, number) => message.type === "segment" && number === 1 && message.segment[0][0] === 9
    ? { type: "failed", message: "out of memory" } : works(message),
}, async (pool) => {
  await pool.ready(9);
  await pool.run(channel(1), channel(1));
  await pool.ready(9);
  equal(values(await Promise.all([9, 8].map((value) => pool.run(channel(value), channel(value))))), [null, 8]);
  equal([await pool.ready(9), pool.workers, started.map(({ ended }) => ended)], [1, 2, [true, false]]);
});

poolTest("a spoilt helper loses its segment", { workers: 2 }, async (pool) => {
  await pool.ready(9);
  pool.spoil();
  equal(values([await pool.run(channel(1), channel(1))]), [null]);
  equal(pool.workers, 1);
});

poolTest("the end of the pool ends all helpers", { workers: 3 }, async (pool) => {
  await pool.ready(9);
  await pool.run(channel(1), channel(1));
  await pool.ready(9);
  pool.end();
  equal([started.map(({ ended }) => ended), pool.heap], [[true, true], 0]);
});
