import { equal, test } from "./check.js";
import { Studio, runIn } from "../app/studio.js";

/** A studio whose tapes open when a test lets them, with the jobs that it gave to the engine. */
function studioWith(/** @type {any} */ model) {
  const jobs = /** @type {any[]} */ ([]);
  const opens = /** @type {((tape: any) => void)[]} */ ([]);
  const engine = {
    model,
    overview: () => 0,
    separate: (/** @type {File} */ file, /** @type {object} */ range, /** @type {object} */ listener) => jobs.push({ file, range, listener }),
    cancel: () => {},
  };
  const deck = { openTape: () => new Promise((resolve) => opens.push(resolve)), closeTape: async () => {} };
  return { studio: new Studio(/** @type {any} */ (engine), /** @type {any} */ (deck)), engine, jobs, opens };
}

const model = { file: new Blob(["model"]), stems: ["a", "b"], sampleRate: 100 };
const file = () => new File(["song"], "song.wav");
const tape = () => ({
  frames: 0, firstBlock: 0, expected: 0, tracks: 3, sampleRate: 100, finished: false,
  async finish() { this.finished = true; },
  async reopen() { this.finished = false; },
});

/** Waits for what comes by promises. @param {() => boolean} ready */
async function settle(ready) {
  for (let i = 0; i < 100 && !ready(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  if (!ready()) throw new Error("it did not come to that in a second");
}

test("a separation goes on a whole number of blocks before what is done", () => {
  equal(runIn(4500, 450, 100), 900);
  equal(runIn(900, 450, 100), 900);
  equal(runIn(450, 450, 100), 450);
  equal(runIn(4500, 600, 100), 600);
});

test("going on computes anew only what it needs, and from where a segment began", async () => {
  const { studio, jobs, opens } = studioWith(model);
  const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
  song.range = { from: 2, to: null };
  studio.separate(song);
  await settle(() => opens.length === 1);
  const there = tape();
  opens[0](there);
  await settle(() => jobs.length === 1);
  studio.cancel(song);
  Object.assign(there, { frames: 1350, firstBlock: 450 });
  await studio.continue(song);
  equal(jobs[1].range, { from: 2 + 4.5, to: null });
});

test("only the model that made a part goes on with it", async () => {
  const { studio, engine, opens, jobs } = studioWith(model);
  const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
  studio.separate(song);
  await settle(() => opens.length === 1);
  const there = tape();
  opens[0](there);
  await settle(() => jobs.length === 1);
  studio.cancel(song);
  Object.assign(there, { frames: 450, firstBlock: 450 });
  engine.model = { ...model };
  equal(studio.canContinue(song), true, "after a restart of the worker");
  engine.model = { ...model, file: new Blob(["another"]) };
  equal(studio.canContinue(song), false, "with another file of the same description");
});

test("a song that is cancelled or removed while its tape is opened is not separated", async () => {
  for (const end of /** @type {const} */ (["cancel", "remove"])) {
    const { studio, jobs, opens } = studioWith(model);
    const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
    const separating = studio.separate(song);
    await settle(() => opens.length === 1);
    studio[end](song);
    equal(song.state, "stopped", end);
    opens[0](tape());
    await separating;
    equal([jobs.length, song.tape], [0, null], end);
  }
});

test("a song that is removed while its tape is opened again does not go on", async () => {
  const { studio, jobs, opens } = studioWith(model);
  const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
  studio.separate(song);
  await settle(() => opens.length === 1);
  const there = tape();
  opens[0](there);
  await settle(() => jobs.length === 1);
  studio.cancel(song);
  Object.assign(there, { frames: 450, firstBlock: 450 });
  const going = studio.continue(song);
  studio.remove(song);
  await going;
  equal(jobs.length, 1);
});

test("where only the separation tells a song's length, the room for it is looked at then", async () => {
  const { studio, jobs, opens } = studioWith(model);
  const told = /** @type {any[]} */ ([]);
  studio.addEventListener("trouble", (/** @type {any} */ { detail }) => told.push(detail));
  const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
  studio.separate(song);
  await settle(() => opens.length === 1);
  opens[0](tape());
  await settle(() => jobs.length === 1);
  jobs[0].listener.progress({ done: 0, total: 1e15, speed: 0 });
  await settle(() => song.state === "failed");
  equal(/need .* on disk/.test(told[0].message), true, "what is told");
});
