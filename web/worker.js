// The separation worker: all decoding and all computation happen here, with helpers if there is no GPU.
// types/protocol.d.ts describes its messages. One request runs at a time. Later requests wait.

import init, { Overview, Session, compiledModule, heapBytes } from "./wasm/unbraid_wasm.js";
import { Pool, workersFor } from "./pool.js";

/** @import { ErrorMessage, FromWorker, ToWorker } from "./types/protocol.d.ts" */
/** @import { OverviewRequest, SeparateRequest, WorkerRequest } from "./types/protocol.d.ts" */

/** @type {Session | null} */
let session = null;
/** The number of workers that compute without a GPU, if nothing prevents it. One computes here, more are helpers. */
let planned = 1;
/** The number that does. */
let workers = 1;
/** Why fewer workers compute than the device has threads. @type {string|null} */
let fewer = null;
/** The model's weights file. @type {Blob} */
let weights = new Blob();
/** The helpers of the running separation. @type {Pool|null} */
let pool = null;
/** Why there is no session. @type {unknown} */
let unopened = new Error("the worker was not started");
/** The cancelled jobs. @type {Set<number>} */
const cancelled = new Set();
/** The waiting requests. @type {WorkerRequest[]} */
const waiting = [];
let busy = false;

self.onmessage = (/** @type {MessageEvent<ToWorker>} */ { data }) => {
  if (data.type === "cancel") cancel(data.job);
  else if (data.type === "lose") lose();
  else {
    waiting.push(data);
    work();
  }
};

// A panic inside an asynchronous call rejects no promise. The browser reports it here.
self.onerror = (event) => fail({}, event instanceof ErrorEvent ? event.error ?? event.message : event);
self.onunhandledrejection = (event) => fail({}, event.reason);

/** @param {FromWorker} message @param {Transferable[]} [transfer] */
function send(message, transfer = []) {
  postMessage(message, { transfer });
}

async function work() {
  if (busy) return;
  busy = true;
  for (let request; (request = waiting.shift()); ) await handle(request);
  busy = false;
}

/** @param {WorkerRequest} request */
async function handle(request) {
  try {
    await run(request);
  } catch (error) {
    fail(request, error);
  }
  if ("job" in request) cancelled.delete(request.job);
}

/** @param {WorkerRequest} request @returns {Promise<void>} */
function run(request) {
  switch (request.type) {
    case "start": return start(request);
    case "model": return model(request);
    case "overview": return overview(request);
    case "separate": return separate(request);
    default: throw new Error(`unknown request ${JSON.stringify(/** @satisfies {never} */ (request))}`);
  }
}

/** Reads the waveform of a song that was added during a separation, without waiting for the end of the separation. */
async function overviewOfNext() {
  const index = waiting.findIndex(({ type }) => type === "overview");
  if (index >= 0) await handle(waiting.splice(index, 1)[0]);
}

/**
 * Expected errors have a kind. Any other error is a bug.
 * @param {WorkerRequest|{}} origin
 * @param {unknown} error
 */
function fail(origin, error) {
  const { kind = "bug", message = String(error) } = /** @type {Partial<ErrorMessage>} */ (error ?? {});
  const text = kind === "bug" ? `An internal error occurred (${message}). Your files are unchanged.` : message;
  const job = "job" in origin ? origin.job : null;
  const request = "request" in origin ? origin.request : undefined;
  send({ type: "error", job, request, kind, message: text });
}

/** A waiting job ends at once. A running job ends between two segments. @param {number} job */
function cancel(job) {
  const index = waiting.findIndex((request) => "job" in request && request.job === job);
  if (index < 0) {
    cancelled.add(job);
  } else {
    waiting.splice(index, 1);
    send({ type: "cancelled", job });
  }
}

/**
 * Receives the messages that arrived during the computation. Returns false if the job was cancelled.
 * @param {number} job
 */
async function continues(job) {
  await new Promise((resolve) => setTimeout(resolve));
  if (!cancelled.has(job)) return true;
  send({ type: "cancelled", job });
  return false;
}

function lose() {
  session?.loseDevice();
  pool?.spoil();
}

/** The session, or the error that prevented it. */
function opened() {
  if (!session) throw unopened;
  return session;
}

/** @param {Extract<WorkerRequest, {type: "start"}>} request */
async function start({ device, workers: wanted }) {
  planned = workersFor(wanted);
  workers = planned;
  try {
    await init({ module_or_path: new URL("./wasm/unbraid_wasm_bg.wasm", import.meta.url) });
    session = await Session.open(device);
  } catch (error) {
    unopened = error;
    throw error;
  }
  await ready(session);
}

/** Reports the device. @param {Session} session */
async function ready({ kind, software, note }) {
  const name = kind === "gpu" ? await adapterName() : workers === 1 ? "one thread" : `${workers} threads`;
  send({ type: "ready", device: { kind, name, software, note: fewer ?? note ?? null } });
}

async function adapterName() {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  const { description, vendor, architecture, device } = adapter?.info ?? {};
  return description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed";
}

/** @param {Extract<WorkerRequest, {type: "model"}>} request */
async function model({ request, file }) {
  const session = opened();
  const { kind } = session;
  const before = workers;
  const bytes = await file.arrayBuffer().catch(() => {
    throw Object.assign(new Error("The model file can no longer be read. Choose it again."), { kind: "model" });
  });
  // A copy, because a person may change or delete the file.
  weights = new Blob([bytes]);
  const model = await session.setModel(new Uint8Array(bytes));
  // The workers may have enough memory for another model.
  workers = planned;
  fewer = null;
  // A GPU that fails the test of a new model is replaced by the CPU.
  if (session.kind !== kind || workers !== before) await ready(session);
  send({ type: "model", request, model });
}

/** @param {OverviewRequest} request */
async function overview({ job, file }) {
  const { sampleRate } = opened();
  const song = new Overview(file, sampleRate);
  try {
    for (let start = 0, done = false; !done && (await continues(job)); start = song.samples) {
      const peaks = song.next_peaks();
      done = song.done;
      const samples = done ? song.samples : song.total() ?? null;
      const notices = done ? song.notices() : [];
      send({ type: "overview", job, sampleRate, samples, start, peaks, done, notices }, [peaks.buffer]);
    }
  } finally {
    song.free();
  }
}

/** @param {SeparateRequest} request */
async function separate({ job, file, from, to }) {
  const began = performance.now();
  const session = opened();
  const { sampleRate } = session;
  const elapsed = () => (performance.now() - began) / 1000;
  const helpers = session.kind === "cpu" && workers > 1 ? new Pool(workers, compiledModule(), weights) : null;
  const song = session.separate(file, from, to ?? undefined, helpers ?? undefined);
  pool = helpers;
  const progress = () => {
    const { done, total } = song;
    send({ type: "progress", job, done, total: total ?? null, speed: done / sampleRate / elapsed() });
    send({ type: "memory", wasm: heapBytes() + (helpers?.heap ?? 0), gpu: session.gpuBytes() ?? null });
  };
  try {
    progress();
    while (await continues(job)) {
      await overviewOfNext();
      const block = await song.next();
      const failure = song.recovered();
      if (failure) {
        const message = `The separation continues. The reason: ${failure}.`;
        send({ type: "recovered", job, message });
      }
      if (helpers && helpers.workers < workers) await lessWorkers(session, helpers);
      if (!block) {
        send({ type: "done", job, samples: song.done, seconds: elapsed(), notices: song.notices() });
        break;
      }
      const { start, mixture, stems } = block;
      const buffers = [mixture, ...stems].flat().map((channel) => channel.buffer);
      send({ type: "block", job, start, mixture, stems }, buffers);
      progress();
    }
  } finally {
    song.free();
    helpers?.end();
    pool = null;
  }
}

/** Later separations use no more workers than this one. @param {Session} session @param {Pool} helpers */
async function lessWorkers(session, helpers) {
  const { reason } = helpers;
  // Without helpers, this worker computes.
  const left = Math.max(1, helpers.workers);
  fewer = `${left === 1 ? "One worker computes" : `${left} workers compute`} instead of ${workers} (${reason}). The stems are the same.`;
  workers = left;
  await ready(session);
}
