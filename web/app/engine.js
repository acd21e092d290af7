/** The page's side of the separation worker: starts it, hands it jobs, and replaces it when it breaks. */

/** @typedef {[Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>]} Stereo */
/** @typedef {{kind: "gpu"|"cpu", name: string, software: boolean, note: string|null}} Device */
/** @typedef {{name: string, stems: string[], sampleRate: number, parameters: number, provenance: Record<string, string>, bytes: number, file: Blob}} Model `file`: what it was loaded from */
/** @typedef {{kind: "file"|"model"|"device"|"bug", message: string, file?: Blob|null}} Trouble `file`: the model's, where it is of kind "model" */

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

/**
 * Events (CustomEvent): `device`, `model` (null where one begins to be loaded), `memory`, `recovered`, `fallback` (from
 * the GPU to the CPU), `trouble` (of no job).
 */
export class Engine extends EventTarget {
  /** @type {Worker} */ #worker;
  /** Jobs in the worker's order: the first is the one at work. @type {Map<number, {request: object, listener: Listener, cancelled: boolean}>} */
  #jobs = new Map();
  #nextJob = 1;
  /** What the worker was last given as its model. @type {Blob|null} */ #modelFile = null;
  /** Number of the last model asked for, which the worker's answers bear: those to earlier ones do not count. */
  #request = 0;
  #choice;
  /** Crashes without a single success in between: a worker that cannot start must not be started for ever. */
  #crashes = 0;
  /** Jobs that failed because of the device, or in a crash, without a finished block in between. */
  #failures = 0;
  /** @type {Device|null} */ device = null;
  /** Ready for the next job; null as well while another is awaited. @type {Model|null} */ model = null;

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
   * Uses another model. The answer is a `model` event, or `trouble`; none where yet another is asked for meanwhile.
   * @param {Blob|Promise<Blob>} file without it, the model stays
   */
  async useModel(file) {
    const request = ++this.#request;
    const before = this.model;
    this.#setModel(null);
    try {
      const found = await file;
      if (request !== this.#request) return;
      this.#modelFile = found;
      this.#sendModel();
    } catch (error) {
      if (request !== this.#request) return;
      this.#setModel(before);
      throw error;
    }
  }

  #sendModel() {
    this.#worker.postMessage({ type: "model", request: this.#request, file: this.#modelFile });
  }

  /** @param {Model|null} model */
  #setModel(model) {
    this.model = model;
    this.#tell("model", model);
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
        this.#crashes = 0;
        if (message.request === this.#request) this.#setModel({ ...message.model, file: this.#modelFile });
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
        if (entry && !entry.cancelled) entry.listener.progress?.(message);
        break;
      case "block":
        this.#failures = 0;
        if (entry && !entry.cancelled) entry.listener.block?.(message);
        break;
      case "done":
        this.#failures = 0;
        this.#jobs.delete(message.job);
        if (entry && !entry.cancelled) entry.listener.done?.(message);
        break;
      case "cancelled":
        this.#jobs.delete(message.job);
        break;
      case "error":
        if (message.kind === "bug") {
          this.#broken(message.message);
        } else if (entry) {
          this.#jobs.delete(message.job);
          if (!entry.cancelled) entry.listener.error?.(message);
          if (message.kind === "device" && this.#leavesGpu()) this.#restart();
        } else if (message.request === undefined || message.request === this.#request) {
          this.#tell("trouble", { ...message, file: this.#modelFile });
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
    if (this.#leavesGpu()) this.#crashes = 0;
    if (this.#crashes < 3) {
      this.#restart();
    } else {
      this.#worker.terminate();
      for (const { listener, cancelled } of this.#jobs.values()) if (!cancelled) listener.error?.(trouble);
      this.#jobs.clear();
      this.#tell("trouble", { kind: "bug", message: "The separation program stopped three times in a row. Reload the page to try again." });
    }
  }

  /** Counts a failure of the device; whether it was the one after which the next worker is to be without a GPU. */
  #leavesGpu() {
    this.#failures += 1;
    if (this.#failures < 2 || this.#choice !== "auto" || this.device?.kind !== "gpu") return false;
    // Some drivers fail in ways that nothing can catch; the processor computes the same.
    this.#choice = "cpu";
    this.#failures = 0;
    this.#tell("fallback", null);
    return true;
  }

  /** A new worker with the same model; the job at work is given up, those that wait go on. */
  #restart() {
    this.#worker.terminate();
    this.#worker = this.#start();
    if (this.#modelFile) {
      this.#setModel(null);
      this.#sendModel();
    }
    for (const [job, { request, cancelled }] of this.#jobs) {
      if (cancelled) this.#jobs.delete(job);
      else this.#worker.postMessage(request);
    }
  }

  /** @param {string} name @param {unknown} detail */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
