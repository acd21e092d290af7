/** The page's side of the separation worker: starts it, hands it jobs, and replaces it when it breaks. */

/** @typedef {[Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>]} Stereo */
/** @typedef {{kind: "gpu"|"cpu", name: string, software: boolean, note: string|null}} Device */
/** @typedef {{name: string, stems: string[], sampleRate: number, parameters: number, provenance: Record<string, string>, bytes: number}} Model */
/** @typedef {{kind: "file"|"model"|"device"|"bug", message: string}} Trouble */

/**
 * @typedef {object} Listener what happens to a job; each is called at most as long as the job is not cancelled
 * @property {(message: any) => void} [overview]
 * @property {(message: {done: number, total: number|null, speed: number}) => void} [progress]
 * @property {(message: {start: number, mixture: Stereo, stems: Stereo[]}) => void} [block]
 * @property {(message: {samples: number, seconds: number}) => void} [done]
 * @property {(trouble: Trouble) => void} [error]
 */

/** How long a cancelled job may go on in the worker before the worker is replaced. */
const PATIENCE = 20_000; // ms: a segment on a slow CPU takes some seconds

/** Events (CustomEvent): `device`, `model`, `memory`, `recovered`, `fallback` (from the GPU to the CPU), `trouble` (of no job). */
export class Engine extends EventTarget {
  /** @type {Worker} */ #worker;
  /** Jobs in the worker's order: the first is the one at work. @type {Map<number, {request: object, listener: Listener, cancelled: boolean}>} */
  #jobs = new Map();
  #nextJob = 1;
  /** @type {Blob|null} */ #modelFile = null;
  #choice;
  /** Crashes without a single success in between: a worker that cannot start must not be started for ever. */
  #crashes = 0;
  /** @type {Device|null} */ device = null;
  /** @type {Model|null} */ model = null;

  /** @param {"auto"|"gpu"|"cpu"} choice of device */
  constructor(choice) {
    super();
    this.#choice = choice;
    this.#worker = this.#start();
  }

  #start() {
    const worker = new Worker(new URL("../worker.js", import.meta.url), { type: "module", name: "unbraid" });
    worker.onmessage = ({ data }) => { if (worker === this.#worker) this.#receive(data); };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#broken(event.message || "The separation program could not be loaded.");
    };
    worker.postMessage({ type: "start", device: this.#choice });
    return worker;
  }

  /**
   * Uses another model. The answer is a `model` event, or `trouble`.
   * @param {Blob} file
   */
  async useModel(file) {
    const bytes = await file.arrayBuffer();
    this.#modelFile = file;
    this.#worker.postMessage({ type: "model", bytes }, [bytes]);
  }

  /** @param {File} file @param {Listener} listener */
  overview(file, listener) {
    return this.#post({ type: "overview", file }, listener);
  }

  /**
   * @param {File} file
   * @param {{from: number, to: number|null}} range in seconds
   * @param {Listener} listener
   */
  separate(file, { from, to }, listener) {
    return this.#post({ type: "separate", file, from, to, overlap: 0.25 }, listener);
  }

  /** Nothing more of this job reaches its listener. @param {number} job */
  cancel(job) {
    const entry = this.#jobs.get(job);
    if (!entry || entry.cancelled) return;
    entry.cancelled = true;
    this.#worker.postMessage({ type: "cancel", job });
    const worker = this.#worker;
    setTimeout(() => {
      if (this.#jobs.has(job) && this.#first() === job && worker === this.#worker) this.#restart();
    }, PATIENCE);
  }

  /** @param {object} message @param {Listener} listener */
  #post(message, listener) {
    const job = this.#nextJob++;
    const request = { ...message, job };
    this.#jobs.set(job, { request, listener, cancelled: false });
    this.#worker.postMessage(request);
    return job;
  }

  #first() {
    return this.#jobs.keys().next().value;
  }

  /** @param {any} message */
  #receive(message) {
    const entry = this.#jobs.get(message.job);
    switch (message.type) {
      case "ready":
        this.device = message.device;
        this.#tell("device", message.device);
        break;
      case "model":
        this.model = message.model;
        this.#crashes = 0;
        this.#tell("model", message.model);
        break;
      case "memory":
      case "recovered":
        this.#tell(message.type, message);
        break;
      case "overview":
        if (message.done) this.#jobs.delete(message.job);
        if (entry && !entry.cancelled) entry.listener.overview?.(message);
        break;
      case "progress":
      case "block":
        this.#crashes = 0;
        if (entry && !entry.cancelled) entry.listener[/** @type {"progress"|"block"} */ (message.type)]?.(message);
        break;
      case "done":
        this.#jobs.delete(message.job);
        if (entry && !entry.cancelled) entry.listener.done?.(message);
        break;
      case "cancelled":
        this.#jobs.delete(message.job);
        break;
      case "error":
        if (message.kind === "bug") {
          this.#broken(message.message);
        } else {
          this.#jobs.delete(message.job);
          if (entry) {
            if (!entry.cancelled) entry.listener.error?.(message);
          } else {
            this.#tell("trouble", message);
          }
        }
        break;
    }
  }

  /** @param {string} message */
  #broken(message) {
    this.#crashes += 1;
    const job = this.#first();
    const entry = job === undefined ? undefined : this.#jobs.get(job);
    if (job !== undefined) this.#jobs.delete(job);
    const trouble = { kind: /** @type {const} */ ("bug"), message };
    if (entry && !entry.cancelled) entry.listener.error?.(trouble);
    else if (!entry) this.#tell("trouble", trouble);
    if (this.#crashes === 2 && this.#choice === "auto" && this.device?.kind === "gpu") {
      // Some drivers fail in ways that nothing can catch; the processor computes the same.
      this.#choice = "cpu";
      this.#crashes = 0;
      this.#tell("fallback", null);
    }
    if (this.#crashes < 3) {
      this.#restart();
    } else {
      this.#worker.terminate();
      for (const { listener, cancelled } of this.#jobs.values()) if (!cancelled) listener.error?.(trouble);
      this.#jobs.clear();
      this.#tell("trouble", { kind: "bug", message: "The separation program stopped three times in a row. Reload the page to try again." });
    }
  }

  /** A new worker with the same model; the job at work is given up, those that wait go on. */
  #restart() {
    this.#worker.terminate();
    const stuck = this.#first();
    if (stuck !== undefined && this.#jobs.get(stuck)?.cancelled) this.#jobs.delete(stuck);
    this.#worker = this.#start();
    const worker = this.#worker;
    const file = this.#modelFile;
    const resume = () => {
      if (worker !== this.#worker) return;
      for (const [job, { request, cancelled }] of this.#jobs) {
        if (cancelled) this.#jobs.delete(job);
        else worker.postMessage(request);
      }
    };
    if (!file) return resume();
    file.arrayBuffer().then((bytes) => {
      if (worker !== this.#worker) return;
      worker.postMessage({ type: "model", bytes }, [bytes]);
      resume();
    }, (error) => this.#broken(String(error)));
  }

  /** @param {string} name @param {unknown} detail */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
