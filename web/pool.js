/** Helper workers that compute segments next to the separation worker, if there is no GPU. */

/** @import { FromHelper, Stereo, ToHelper } from "./types/protocol.d.ts" */

/** More workers wait for memory rather than compute. */
const MOST = 8;

/** Share of the device's memory that the helpers may use. */
const SHARE = 1 / 4;

/** Helpers that start before one of them has shown how much memory it needs. */
const UNMEASURED = 2;

/** Segments that a helper has at a time. It need not wait for its next one. */
const SEGMENTS = 2;

/** Milliseconds that a helper may take to start. */
const PATIENCE = 20_000;

/**
 * The number of workers that compute without a GPU.
 * @param {number|null} wanted null is the number of the device's threads
 */
export function workersFor(wanted) {
  const threads = Math.floor(wanted ?? navigator.hardwareConcurrency ?? 1);
  return Math.max(1, Math.min(MOST, threads || 1));
}

/** Bytes that all helpers together may use. Only Chromium tells the device's memory, and at most 8 GiB. */
export function helpersMemory({ deviceMemory = 4 } = /** @type {{deviceMemory?: number}} */ (navigator)) {
  return SHARE * deviceMemory * 2 ** 30;
}

/**
 * The helpers of one separation. They compute all segments, so that the separation worker is free to react. The wasm
 * module calls `workers` and `run` (crates/wasm/src/pool.rs).
 */
export class Pool {
  /** The number of helpers that may compute. */ workers;
  /** Why there are fewer helpers than at first. @type {string|null} */ reason = null;
  #module;
  #model;
  #memory;
  /** @type {Helper[]} */ #helpers = [];
  /** The segments that no helper has. @type {Job[]} */ #waiting = [];
  /** The most bytes that a helper has used. 0 until a helper has computed a segment. */ #heap = 0;

  /**
   * @param {number} workers
   * @param {WebAssembly.Module} module
   * @param {Blob} model the weights file
   * @param {number} [memory] bytes that all helpers together may use
   */
  constructor(workers, module, model, memory = helpersMemory()) {
    this.workers = workers;
    this.#module = module;
    this.#model = model;
    this.#memory = memory;
  }

  /** Bytes of the heaps of all helpers. */
  get heap() {
    return this.#helpers.reduce((sum, { heap }) => sum + heap, 0);
  }

  /**
   * Gives a segment to a helper, and starts helpers that are missing.
   * @param {Float32Array<ArrayBuffer>} left
   * @param {Float32Array<ArrayBuffer>} right
   * @returns {Promise<Stereo[]|undefined>} the stems; undefined if no helper is left
   */
  run(left, right) {
    return new Promise((resolve) => {
      this.#waiting.push({ segment: [left, right], resolve });
      this.#distribute();
    });
  }

  #distribute() {
    // The first segments show how much memory a helper needs for the model.
    const most = this.#heap > 0 ? this.workers : Math.min(this.workers, UNMEASURED);
    const idle = this.#helpers.filter(({ jobs }) => jobs.length === 0).length;
    for (let missing = this.#waiting.length - idle; missing > 0 && this.#helpers.length < most; missing--) this.#start();
    while (this.#waiting.length > 0) {
      const free = this.#helpers.filter(({ jobs }) => jobs.length < SEGMENTS);
      const [helper] = free.sort((one, other) => one.jobs.length - other.jobs.length);
      if (!helper) break;
      helper.run(/** @type {Job} */ (this.#waiting.shift()));
    }
    if (this.#helpers.length === 0) for (const { resolve } of this.#waiting.splice(0)) resolve(undefined);
  }

  #start() {
    /** @type {Helper} */
    const helper = new Helper({
      answered: () => {
        this.#heap = Math.max(this.#heap, helper.heap);
        const most = Math.max(1, Math.floor(this.#memory / this.#heap));
        if (most < this.workers) this.#reduce(most, `each needs ${Math.ceil(this.#heap / 1e6)} MB of memory`);
        this.#distribute();
      },
      // A helper that failed is not replaced: another one would fail too.
      failed: (problem) => {
        this.#helpers = this.#helpers.filter((other) => other !== helper);
        this.#waiting.unshift(...helper.jobs);
        this.#reduce(this.workers - 1, `a worker failed: ${problem}`);
        this.#distribute();
      },
    });
    this.#helpers.push(helper);
    helper.start(this.#module, this.#model);
  }

  /** @param {number} workers @param {string} reason */
  #reduce(workers, reason) {
    this.workers = workers;
    this.reason = reason;
  }

  /** For tests: one helper fails at its next segment. */
  spoil() {
    this.#helpers[0]?.spoil();
  }

  end() {
    for (const helper of this.#helpers) helper.end();
    this.#helpers = [];
  }
}

/**
 * A segment, and the function that takes its stems.
 * @typedef {{segment: Stereo, resolve: (stems: Stereo[]|undefined) => void}} Job
 */

/** A helper worker. */
class Helper {
  /** @type {Worker|null} */ #worker = null;
  #events;
  #ended = false;
  /** @type {number|undefined} */ #late;
  /** The segments that it was given, in the order of their answers. @type {Job[]} */ jobs = [];
  heap = 0;

  /**
   * @param {{answered: () => void, failed: (problem: string) => void}} events `failed` is called once, if the worker
   *   cannot be used or fails
   */
  constructor(events) {
    this.#events = events;
  }

  /** @param {WebAssembly.Module} module @param {Blob} model */
  start(module, model) {
    this.#late = setTimeout(() => this.#fail("it did not start"), PATIENCE);
    try {
      const worker = new Worker(new URL("./helper.js", import.meta.url), { type: "module", name: "unbraid-helper" });
      this.#worker = worker;
      worker.onmessage = (/** @type {MessageEvent<FromHelper>} */ { data }) => this.#receive(data);
      worker.onerror = (event) => {
        event.preventDefault();
        this.#fail(event.message || "it could not be loaded");
      };
      worker.onmessageerror = () => this.#fail("it cannot receive the program");
      this.#send({ type: "start", module, model });
    } catch (error) {
      // Some browsers allow a worker no workers of its own.
      const problem = String(error);
      setTimeout(() => this.#fail(problem));
    }
  }

  /** The segment is copied, because another worker computes it if this one fails. @param {Job} job */
  run(job) {
    this.jobs.push(job);
    this.#send({ type: "segment", segment: job.segment });
  }

  /** @param {ToHelper} message */
  #send(message) {
    this.#worker?.postMessage(message);
  }

  /** @param {FromHelper} answer */
  #receive(answer) {
    if (answer.type === "failed") return this.#fail(answer.message);
    clearTimeout(this.#late);
    if (answer.type === "ready") return;
    this.heap = answer.heap;
    this.jobs.shift()?.resolve(answer.stems);
    this.#events.answered();
  }

  /** @param {string} problem */
  #fail(problem) {
    if (this.#ended) return;
    this.end();
    this.#events.failed(problem);
  }

  spoil() {
    this.#worker?.postMessage(null);
  }

  end() {
    this.#ended = true;
    clearTimeout(this.#late);
    this.#worker?.terminate();
  }
}
