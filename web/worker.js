// The page's worker: all computing happens here. Speaks plain messages, answers in plain messages; what they are is
// said below, at the function that handles each. One job runs at a time, later ones wait.

import init, { Overview, Session, heapBytes } from "./wasm/unbraid_wasm.js";

/** @type {Session | null} */
let session = null;
/** Jobs that the page no longer wants. */
const cancelled = new Set();
/** Messages that wait for their turn. */
const waiting = [];
let busy = false;

self.onmessage = ({ data }) => {
  if (data.type === "cancel") cancel(data.job);
  else if (data.type === "lose") session?.loseDevice();
  else {
    waiting.push(data);
    work();
  }
};

// A panic inside an asynchronous call reaches no promise; the browser reports it here.
self.onerror = (event) => fail({}, event instanceof ErrorEvent ? event.error ?? event.message : event);
self.onunhandledrejection = (event) => fail({}, event.reason);

const handlers = { start, model, clear, overview, separate };

async function work() {
  if (busy) return;
  busy = true;
  for (let message; (message = waiting.shift()); ) await handle(message);
  busy = false;
}

async function handle(message) {
  try {
    await handlers[message.type](message);
  } catch (error) {
    fail(message, error);
  }
  cancelled.delete(message.job);
}

/** Looks at a song that came meanwhile: it need not wait for the end of a separation. */
async function overviewOfNext() {
  const index = waiting.findIndex(({ type }) => type === "overview");
  if (index >= 0) await handle(waiting.splice(index, 1)[0]);
}

/** Errors of ours have a kind; anything else is a bug. `message` is for the person. */
function fail({ job = null, request }, error) {
  const kind = error?.kind ?? "bug";
  const text = String(error?.message ?? error);
  const message = kind === "bug" ? `Something in this page went wrong (${text}). Your files are untouched.` : text;
  postMessage({ type: "error", job, request, kind, message });
}

/** A job that waits is gone at once; the one that runs is seen to be cancelled between two segments. */
function cancel(job) {
  const index = waiting.findIndex((message) => message.job === job);
  if (index < 0) {
    cancelled.add(job);
  } else {
    waiting.splice(index, 1);
    postMessage({ type: "cancelled", job });
  }
}

/** Lets messages in that arrived while the thread was computing, and tells whether the job goes on. */
async function goesOn(job) {
  await new Promise((resolve) => setTimeout(resolve));
  if (!cancelled.has(job)) return true;
  postMessage({ type: "cancelled", job });
  return false;
}

/** `{device: "auto" | "gpu" | "cpu"}` → `ready` */
async function start({ device }) {
  await init({ module_or_path: new URL("./wasm/unbraid_wasm_bg.wasm", import.meta.url) });
  session = await Session.open(device);
  await ready();
}

/** What computes. Sent again where it changes: a GPU that fails a new model's test is left for the CPU. */
async function ready() {
  const { kind, software, note } = session;
  const name = kind === "gpu" ? await adapterName() : "CPU, one thread";
  postMessage({ type: "ready", device: { kind, name, software, note: note ?? null } });
}

async function adapterName() {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  const { description, vendor, architecture, device } = adapter?.info ?? {};
  return description || [vendor, architecture, device].filter(Boolean).join(" ") || "GPU";
}

/** `{request, file: Blob}` → `model`; it and an error bear the `request`. */
async function model({ request, file }) {
  const { kind } = session;
  const bytes = await file.arrayBuffer().catch(() => {
    throw Object.assign(new Error("The model's file can no longer be read. Choose it again."), { kind: "model" });
  });
  const model = await session.setModel(new Uint8Array(bytes));
  if (session.kind !== kind) await ready();
  postMessage({ type: "model", request, model });
}

/** The model goes. */
async function clear() {
  session.clear();
}

/** `{job, file}` → `overview`s: peaks of 1024 samples each, in pieces. */
async function overview({ job, file }) {
  const { sampleRate } = session;
  const song = new Overview(file, sampleRate);
  try {
    for (let start = 0, done = false; !done && (await goesOn(job)); start = song.samples) {
      const peaks = song.next_peaks();
      done = song.done;
      const samples = done ? song.samples : song.total() ?? null;
      postMessage({ type: "overview", job, sampleRate, samples, start, peaks, done }, [peaks.buffer]);
    }
  } finally {
    song.free();
  }
}

/** `{job, file, from, to, overlap}` → `block`s and `progress`, at last `done`. */
async function separate({ job, file, from, to, overlap }) {
  const began = performance.now();
  const { sampleRate } = session;
  const song = session.separate(file, from ?? 0, to ?? undefined, overlap ?? 0.25);
  const elapsed = () => (performance.now() - began) / 1000;
  const progress = () => {
    const { done, total } = song;
    postMessage({ type: "progress", job, done, total: total ?? null, speed: done / sampleRate / elapsed() });
    postMessage({ type: "memory", wasm: heapBytes(), gpu: session.gpuBytes() ?? null });
  };
  try {
    progress();
    while (await goesOn(job)) {
      await overviewOfNext();
      const block = await song.next();
      const failure = song.recovered();
      if (failure) {
        const message = `The GPU failed (${failure}); it was opened again, and the separation goes on.`;
        postMessage({ type: "recovered", job, message });
      }
      if (!block) {
        postMessage({ type: "done", job, samples: song.done, seconds: elapsed() });
        break;
      }
      const { start, mixture, stems } = block;
      const buffers = [mixture, ...stems].flat().map((channel) => channel.buffer);
      postMessage({ type: "block", job, start, mixture, stems }, buffers);
      progress();
    }
  } finally {
    song.free();
  }
}
