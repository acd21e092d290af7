import { equal, test, throws } from "./check.js";
import { sine } from "./decode.js";
import { Engine } from "../app/engine.js";

/** A fake separation worker: records the messages to it, and sends the answers of a test. */
class FakeWorker {
  /** @type {any[]} */ sent = [];
  /** @type {(event: {data: any}) => void} */ onmessage = () => {};
  ended = false;

  constructor() { workers.push(this); }
  postMessage(/** @type {any} */ message) { this.sent.push(message); }
  terminate() { this.ended = true; }
  answer(/** @type {any} */ message) { this.onmessage({ data: message }); }
  of(/** @type {string} */ type) { return this.sent.filter((message) => message.type === type); }
}

/** @type {FakeWorker[]} */
let workers = [];

const gpu = { kind: "gpu", name: "a GPU", software: false, note: null };
const song = new File(["song"], "song.wav");

/** A test with an engine with fake workers, and the events of the engine. @param {string} name @param {(engine: Engine, events: [string, any][]) => Promise<void>|void} run */
function engineTest(name, run) {
  test(name, async () => {
    const real = window.Worker;
    /** @type {any} */ (window).Worker = FakeWorker;
    workers = [];
    try {
      const engine = new Engine("auto");
      const events = /** @type {[string, any][]} */ ([]);
      for (const event of ["model", "trouble", "fallback"]) {
        engine.addEventListener(event, (/** @type {any} */ { detail }) => events.push([event, detail]));
      }
      await run(engine, events);
    } finally {
      window.Worker = real;
    }
  });
}

/** Answers the last model request of the last worker. */
function loaded(name = "net") {
  const worker = /** @type {FakeWorker} */ (workers.at(-1));
  worker.answer({ type: "ready", device: gpu });
  worker.answer({ type: "model", request: worker.of("model").at(-1).request, model: { name } });
}

engineTest("a model is in use only after the worker's answer", async (engine) => {
  const [first, second] = [new Blob(["first"]), new Blob(["second"])];
  await engine.useModel(first);
  equal(engine.model, null);
  loaded();
  equal(engine.model?.file === first, true, "its file");
  await engine.useModel(second);
  equal(engine.model, null);
});

engineTest("an answer to an earlier model request is ignored", async (engine, events) => {
  const [kept, added] = [new Blob(["kept"]), new Blob(["added"])];
  await engine.useModel(kept);
  await engine.useModel(added);
  const [first, second] = workers[0].of("model").map(({ request }) => request);
  workers[0].answer({ type: "model", request: first, model: { name: "kept" } });
  workers[0].answer({ type: "error", job: null, request: first, kind: "model", message: "bad" });
  equal([engine.model, events.filter(([, detail]) => detail)], [null, []]);
  workers[0].answer({ type: "error", job: null, request: second, kind: "model", message: "bad" });
  const [[event, trouble]] = events.filter(([, detail]) => detail);
  equal([event, trouble.kind, trouble.file === added], ["trouble", "model", true]);
});

engineTest("a late model file is dropped if another model was requested after it", async (engine) => {
  const added = new Blob(["added"]);
  let find = (/** @type {Blob} */ _) => {};
  const late = engine.useModel(new Promise((resolve) => { find = resolve; }));
  await engine.useModel(added);
  find(new Blob(["built in"]));
  await late;
  equal(workers[0].of("model").length, 1);
  loaded();
  equal(engine.model?.file === added, true, "its file");
});

engineTest("the current model stays if the next model file is not available", async (engine) => {
  await engine.useModel(new Blob(["first"]));
  loaded("first");
  await throws(() => engine.useModel(Promise.reject(new Error("no connection"))), /no connection/);
  equal([engine.model?.name, workers[0].of("model").length], ["first", 1]);
});

engineTest("a new worker gets the same model, then the waiting jobs", async (engine) => {
  const file = new Blob(["model"]);
  await engine.useModel(file);
  loaded();
  engine.separate(song, { from: 0, to: null }, {});
  engine.separate(song, { from: 1, to: null }, {});
  workers[0].answer({ type: "error", job: null, kind: "bug", message: "a crash" });
  equal(workers[1].sent.map(({ type, from }) => from ?? type), ["start", "model", 1]);
  equal(engine.model, null);
  loaded();
  equal(engine.model?.file === file, true, "the same file");
});

for (const how of /** @type {const} */ (["device", "bug"])) {
  engineTest(`the engine falls back to the CPU if the GPU fails two jobs (${how})`, async (engine, events) => {
    await engine.useModel(new Blob(["model"]));
    loaded();
    const failed = /** @type {string[]} */ ([]);
    const fail = (/** @type {boolean} */ first) => {
      const job = engine.separate(song, { from: 0, to: null }, { error: ({ kind }) => failed.push(kind) });
      const worker = /** @type {FakeWorker} */ (workers.at(-1));
      worker.answer({ type: "progress", job, done: 0, total: 9, speed: 0 });
      if (first) worker.answer({ type: "block", job });
      worker.answer({ type: "error", job, kind: how, message: "lost" });
      if (worker.ended) loaded();
    };
    const devices = () => workers.map((worker) => worker.of("start")[0].device);
    const fallbacks = () => events.filter(([event]) => event === "fallback").length;
    fail(false);
    // A finished block shows that the GPU can compute.
    fail(true);
    equal([fallbacks(), devices().includes("cpu")], [0, false]);
    fail(false);
    equal([fallbacks(), devices().at(-1), failed], [1, "cpu", [how, how, how]]);
  });
}

engineTest("a worker that cannot start is not restarted forever", (_, events) => {
  for (let crash = 0; crash < 3; crash++) workers.at(-1)?.answer({ type: "error", job: null, kind: "bug", message: "no" });
  equal([workers.length, workers.at(-1)?.ended], [3, true]);
  equal(/three times/.test(events.at(-1)?.[1].message), true, "the message");
});

/** Waits up to two seconds for a condition. @param {() => boolean} ready */
async function settle(ready) {
  for (let i = 0; i < 200 && !ready(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  if (!ready()) throw new Error("the condition did not hold within two seconds");
}

engineTest("the browser decodes a song of a format that the worker does not know", async (engine) => {
  const worker = workers[0];
  const unknown = sine(2, 48000, 4800);
  const messages = /** @type {any[]} */ ([]);
  const job = engine.overview(unknown, { overview: (message) => messages.push(message) });
  worker.answer({ type: "error", job, kind: "format", message: "Opus cannot be read" });
  await settle(() => worker.of("overview").length === 2);
  const [, again] = worker.of("overview");
  equal([again.job, again.file.name], [job, "sine.xyz.wav"]);
  worker.answer({ type: "overview", job, samples: 4410, done: true, notices: ["a fact"] });
  equal(messages[0].notices, ["the browser decoded it, at 44100 Hz", "a fact"]);
  // The song is decoded once.
  const second = engine.separate(unknown, { from: 0, to: null }, {});
  worker.answer({ type: "error", job: second, kind: "format", message: "Opus cannot be read" });
  await settle(() => worker.of("separate").length === 2);
  equal(worker.of("separate")[1].file === again.file, true, "the same file");
});

engineTest("a song that neither the worker nor the browser knows is refused with the worker's reason", async (engine) => {
  const failures = /** @type {any[]} */ ([]);
  const listener = { error: (/** @type {any} */ failure) => failures.push(failure) };
  const job = engine.overview(song, listener);
  workers[0].answer({ type: "error", job, kind: "format", message: "Monkey's Audio cannot be read" });
  await settle(() => failures.length === 1);
  equal([failures[0].kind, workers[0].of("overview").length], ["file", 1]);
  equal(/^Monkey's Audio cannot be read\. This browser cannot decode it either/.test(failures[0].message), true, failures[0].message);
});

engineTest("a job that is cancelled while the browser decodes does not return to the worker", async (engine) => {
  const [job, next] = [0, 1].map(() => engine.overview(sine(1, 44100, 1000), {}));
  for (const each of [job, next]) workers[0].answer({ type: "error", job: each, kind: "format", message: "no" });
  engine.cancel(job);
  await settle(() => workers[0].of("overview").length === 3);
  await new Promise((resolve) => setTimeout(resolve, 100));
  equal([workers[0].of("overview").map((message) => message.job), workers[0].of("cancel").length], [[job, next, next], 0]);
});
