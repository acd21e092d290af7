/** Helper workers that compute segments next to the separation worker, if there is no GPU. */

/** @import { FromHelper, Stereo, ToHelper } from "./types/protocol.d.ts" */

/** More workers wait for memory rather than compute. */
const MOST = 8;

/** Share of the device's memory that the helpers may use. */
const SHARE = 1 / 4;

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

/** The helpers of one separation. The wasm module calls `workers`, `ready` and `run` (crates/wasm/src/pool.rs). */
export class Pool {
  /** The number of workers that may compute, including the separation worker. */ workers;
  /** Why there are fewer workers than at first. @type {string|null} */ reason = null;
  #module;
  #model;
  #memory;
  /** @type {Helper[]} */ #helpers = [];
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
   * Starts the helpers that are missing. The first helper starts alone, because only its first segment shows how much
   * memory a helper needs for the model.
   * @param {number} segments there are no more helpers than segments
   * @returns {Promise<number>} the number of helpers that can compute
   */
  async ready(segments) {
    if (this.#heap > 0) {
      const most = 1 + Math.max(1, Math.floor(this.#memory / this.#heap));
      if (most < this.workers) this.#reduce(most, `each needs ${Math.ceil(this.#heap / 1e6)} MB of memory`);
    }
    const wanted = Math.min(this.workers - 1, segments, this.#heap > 0 ? Infinity : 1);
    const missing = Math.max(0, wanted - this.#helpers.length);
    const started = await Promise.all(Array.from({ length: missing }, () => this.#start()));
    this.#helpers.push(...started.filter((helper) => helper !== null));
    return this.#helpers.length;
  }

  async #start() {
    const helper = new Helper((problem) => this.#failed(helper, problem));
    return (await helper.start(this.#module, this.#model)) ? helper : null;
  }

  /** A helper that failed is not replaced: another one would fail too. @param {Helper} helper @param {string} problem */
  #failed(helper, problem) {
    this.#helpers = this.#helpers.filter((other) => other !== helper);
    this.#reduce(this.workers - 1, `a further worker failed: ${problem}`);
  }

  /** @param {number} workers @param {string} reason */
  #reduce(workers, reason) {
    this.workers = workers;
    this.reason = reason;
  }

  /**
   * Gives a segment to the helper that has the fewest.
   * @param {Float32Array<ArrayBuffer>} left
   * @param {Float32Array<ArrayBuffer>} right
   * @returns {Promise<Stereo[]|undefined>} the stems; undefined if the helper failed
   */
  async run(left, right) {
    const fewest = Math.min(...this.#helpers.map(({ waiting }) => waiting));
    const helper = this.#helpers.find(({ waiting }) => waiting === fewest);
    const stems = await helper?.run([left, right]);
    this.#heap = Math.max(this.#heap, helper?.heap ?? 0);
    return stems;
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

/** A helper worker. */
class Helper {
  /** @type {Worker|null} */ #worker = null;
  /** @type {(problem: string) => void} */ #failed;
  #ended = false;
  /** Settles the calls that wait for an answer, oldest first. @type {((answer: FromHelper|undefined) => void)[]} */
  #calls = [];
  heap = 0;

  /** @param {(problem: string) => void} failed is called once, when the worker cannot be used or fails */
  constructor(failed) {
    this.#failed = failed;
  }

  /** The number of calls that wait for an answer. */
  get waiting() {
    return this.#calls.length;
  }

  /** @param {WebAssembly.Module} module @param {Blob} model @returns {Promise<boolean>} */
  async start(module, model) {
    const late = setTimeout(() => this.#fail("it did not start"), PATIENCE);
    try {
      const worker = new Worker(new URL("./helper.js", import.meta.url), { type: "module", name: "unbraid-helper" });
      this.#worker = worker;
      worker.onmessage = (/** @type {MessageEvent<FromHelper>} */ { data }) => this.#receive(data);
      worker.onerror = (event) => {
        event.preventDefault();
        this.#fail(event.message || "it could not be loaded");
      };
      worker.onmessageerror = () => this.#fail("it cannot receive the program");
      return (await this.#ask({ type: "start", module, model })) !== undefined;
    } catch (error) {
      // Some browsers allow a worker no workers of its own.
      this.#fail(String(error));
      return false;
    } finally {
      clearTimeout(late);
    }
  }

  /** @param {Stereo} segment @returns {Promise<Stereo[]|undefined>} */
  async run(segment) {
    const answer = await this.#ask({ type: "segment", segment }, segment.map(({ buffer }) => buffer));
    return answer?.type === "stems" ? answer.stems : undefined;
  }

  /** @param {ToHelper} message @param {Transferable[]} [transfer] @returns {Promise<FromHelper|undefined>} */
  #ask(message, transfer = []) {
    return new Promise((resolve) => {
      this.#calls.push(resolve);
      this.#worker?.postMessage(message, transfer);
    });
  }

  /** @param {FromHelper} answer */
  #receive(answer) {
    if (answer.type === "failed") return this.#fail(answer.message);
    this.heap = answer.heap;
    this.#calls.shift()?.(answer);
  }

  /** @param {string} problem */
  #fail(problem) {
    if (this.#ended) return;
    this.end();
    this.#failed(problem);
    for (const settle of this.#calls.splice(0)) settle(undefined);
  }

  spoil() {
    this.#worker?.postMessage(null);
  }

  end() {
    this.#ended = true;
    this.#worker?.terminate();
  }
}
