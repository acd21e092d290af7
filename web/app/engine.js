/**
 * The page's side of the separation worker: starts the worker, gives it jobs, and replaces it after a crash. The browser
 * decodes songs whose format the worker does not know.
 */
import { decode } from "./decode.js";

/** @import { Device, DeviceChoice, FailureKind, ModelInfo } from "../types/protocol.d.ts" */
/** @import { FromWorker, OverviewRequest, SeparateRequest, ToWorker } from "../types/protocol.d.ts" */
/** @import { BlockMessage, DoneMessage, ErrorMessage, OverviewMessage, ProgressMessage } from "../types/protocol.d.ts" */

/** @typedef {ModelInfo & {file: Blob}} Model `file`: the file that the model was loaded from */
/**
 * `file`: the model file, if the failure is of kind "model".
 * @typedef {{kind: FailureKind, message: string, file?: Blob|null}} Trouble
 */
/** @typedef {OverviewRequest|SeparateRequest} JobRequest */
/** @typedef {import("./decode.js").Decoded} Decoded */
/**
 * `decoded`: the song as the browser decoded it, if the worker does not know its format.
 * @typedef {{request: JobRequest, listener: Listener, cancelled: boolean, decoded: Decoded|null}} Job
 */

/**
 * @typedef {object} Listener receives the events of a job until the job is cancelled
 * @property {(message: OverviewMessage) => void} [overview]
 * @property {(message: ProgressMessage) => void} [progress]
 * @property {(message: BlockMessage) => void} [block]
 * @property {(message: DoneMessage) => void} [done]
 * @property {(trouble: Trouble) => void} [error]
 */

/**
 * Milliseconds that a cancelled job may still run before the worker is replaced. A segment takes seconds on a slow CPU.
 */
const PATIENCE = 20_000;

/** The sample rate of most music, in Hz, for songs that the browser decodes before there is a model. */
const USUAL_RATE = 44100;

/**
 * Events (CustomEvent): `device`, `model` (null when a model starts to load), `memory`, `recovered`, `fallback` (from
 * the GPU to the CPU), `trouble` (a failure that belongs to no job).
 */
export class Engine extends EventTarget {
  /** @type {Worker} */ #worker;
  /**
   * The jobs in the order of the worker. The first job is running.
   * @type {Map<number, Job>}
   */
  #jobs = new Map();
  /** The jobs whose songs the browser decodes. The worker does not have them. @type {Map<number, Job>} */ #decoding = new Map();
  /** The songs that the browser decodes or has decoded. @type {WeakMap<File, Promise<Decoded|null>>} */ #decoded = new WeakMap();
  #nextJob = 1;
  /** The last model file that was sent to the worker. @type {Blob|null} */ #modelFile = null;
  /** Number of the last model request. The worker's answers carry it; answers to earlier requests are ignored. */
  #request = 0;
  #choice;
  #workers;
  /** Crashes since the last success. A worker that cannot start must not be restarted forever. */
  #crashes = 0;
  /** Jobs that failed because of the device or in a crash since the last finished block. */
  #failures = 0;
  /** @type {Device|null} */ device = null;
  /** The model for the next job; null while a model is loading. @type {Model|null} */ model = null;

  /** @param {DeviceChoice} choice @param {number|null} [workers] without a GPU; null: as many as the device allows */
  constructor(choice, workers = null) {
    super();
    this.#choice = choice;
    this.#workers = workers;
    this.#worker = this.#start();
  }

  #start() {
    const worker = new Worker(new URL("../worker.js", import.meta.url), { type: "module", name: "unbraid" });
    worker.onmessage = (/** @type {MessageEvent<FromWorker>} */ { data }) => { if (worker === this.#worker) this.#receive(data); };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#broken(event.message || "The separation program could not be loaded.");
    };
    this.#send({ type: "start", device: this.#choice, workers: this.#workers }, worker);
    return worker;
  }

  /** @param {ToWorker} message @param {Worker} [worker] */
  #send(message, worker = this.#worker) {
    worker.postMessage(message);
  }

  /**
   * Loads another model. The result is a `model` event or a `trouble` event, or no event if a later call replaces this
   * one.
   * @param {Blob|Promise<Blob>} file if it is rejected, the current model stays
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
    if (this.#modelFile) this.#send({ type: "model", request: this.#request, file: this.#modelFile });
  }

  /** @param {Model|null} model */
  #setModel(model) {
    this.model = model;
    this.#emit("model", model);
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
    return this.#post({ type: "separate", file, from, to }, listener);
  }

  /** The listener of this job receives no more events. @param {number} job */
  cancel(job) {
    const entry = this.#jobs.get(job) ?? this.#decoding.get(job);
    if (!entry || entry.cancelled) return;
    entry.cancelled = true;
    if (!this.#jobs.has(job)) return;
    this.#send({ type: "cancel", job });
    const worker = this.#worker;
    setTimeout(() => {
      if (this.#jobs.has(job) && this.#first() === job && worker === this.#worker) this.#restart();
    }, PATIENCE);
  }

  /** @param {Omit<OverviewRequest, "job">|Omit<SeparateRequest, "job">} message @param {Listener} listener */
  #post(message, listener) {
    const job = this.#nextJob++;
    const request = { ...message, job };
    this.#jobs.set(job, { request, listener, cancelled: false, decoded: null });
    this.#send(request);
    return job;
  }

  /**
   * The worker does not know the format of a song. The browser decodes the song, and the worker gets the job again.
   * @param {number} job @param {Job} entry @param {string} reason of the worker
   */
  async #decode(job, entry, reason) {
    const { file } = entry.request;
    this.#decoding.set(job, entry);
    let decoding = this.#decoded.get(file);
    if (!decoding) {
      decoding = decode(file, this.model?.sampleRate ?? USUAL_RATE);
      this.#decoded.set(file, decoding);
    }
    let refusal = "This browser cannot decode it either";
    const decoded = await decoding.catch((/** @type {Error} */ { message }) => {
      refusal = message;
      return null;
    });
    this.#decoding.delete(job);
    if (entry.cancelled) return;
    if (!decoded) {
      entry.listener.error?.({ kind: "file", message: `${reason}. ${refusal}. Convert it to wav or flac first` });
      return;
    }
    const request = { ...entry.request, file: decoded.file };
    this.#jobs.set(job, { ...entry, request, decoded });
    this.#send(request);
  }

  #first() {
    return this.#jobs.keys().next().value;
  }

  /** @param {FromWorker} message */
  #receive(message) {
    const job = "job" in message ? message.job : null;
    const entry = job === null ? undefined : this.#jobs.get(job);
    switch (message.type) {
      case "ready":
        this.device = message.device;
        this.#emit("device", message.device);
        break;
      case "model":
        this.#crashes = 0;
        if (message.request === this.#request && this.#modelFile) this.#setModel({ ...message.model, file: this.#modelFile });
        break;
      case "memory":
      case "recovered":
        this.#emit(message.type, message);
        break;
      case "overview":
        if (message.done) this.#jobs.delete(message.job);
        if (entry && !entry.cancelled) entry.listener.overview?.(withNotices(message, entry));
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
        if (entry && !entry.cancelled) entry.listener.done?.(withNotices(message, entry));
        break;
      case "cancelled":
        this.#jobs.delete(message.job);
        break;
      case "error":
        this.#failed(message, entry);
        break;
    }
  }

  /** @param {ErrorMessage} error @param {Job|undefined} entry */
  #failed({ kind, message, job, request }, entry) {
    if (kind === "bug") return this.#broken(message);
    if (!entry || job === null) {
      if (request === undefined || request === this.#request) {
        this.#emit("trouble", { kind, message, file: this.#modelFile });
      }
      return;
    }
    this.#jobs.delete(job);
    if (!entry.cancelled) {
      if (kind === "format") this.#decode(job, entry, message);
      else entry.listener.error?.({ kind, message });
    }
    if (kind === "device" && this.#fallsBack()) this.#restart();
  }

  /** @param {string} message */
  #broken(message) {
    this.#crashes += 1;
    const job = this.#first();
    const entry = job === undefined ? undefined : this.#jobs.get(job);
    if (job !== undefined) this.#jobs.delete(job);
    const trouble = { kind: /** @type {const} */ ("bug"), message };
    if (entry && !entry.cancelled) entry.listener.error?.(trouble);
    else if (!entry) this.#emit("trouble", trouble);
    if (this.#fallsBack()) this.#crashes = 0;
    if (this.#crashes < 3) {
      this.#restart();
    } else {
      this.#worker.terminate();
      for (const { listener, cancelled } of this.#jobs.values()) if (!cancelled) listener.error?.(trouble);
      this.#jobs.clear();
      this.#emit("trouble", { kind: "bug", message: "It crashed three times in a row. Reload the page to try again." });
    }
  }

  /** Counts a failure of the device. Returns true if the next worker must use the CPU. */
  #fallsBack() {
    this.#failures += 1;
    if (this.#failures < 2 || this.#choice !== "auto" || this.device?.kind !== "gpu") return false;
    // Some drivers fail in ways that no code can catch. The CPU computes the same result.
    this.#choice = "cpu";
    this.#failures = 0;
    this.#emit("fallback", null);
    return true;
  }

  /** Starts a new worker with the same model. The running job is lost; the waiting jobs are sent again. */
  #restart() {
    this.#worker.terminate();
    this.#worker = this.#start();
    if (this.#modelFile) {
      this.#setModel(null);
      this.#sendModel();
    }
    for (const [job, { request, cancelled }] of this.#jobs) {
      if (cancelled) this.#jobs.delete(job);
      else this.#send(request);
    }
  }

  /** @param {string} name @param {unknown} detail */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/**
 * A message with what a person should know about the file, including the browser's part.
 * @template {OverviewMessage|DoneMessage} M
 * @param {M} message @param {Job} job @returns {M}
 */
function withNotices(message, { decoded }) {
  return decoded ? { ...message, notices: [...decoded.notices, ...message.notices] } : message;
}
