import { equal, test } from "./check.js";
import { Studio, runIn } from "../app/studio.js";

/** A studio with a fake engine and a fake deck. `jobs`: its separation jobs; `opens`: functions that open the tapes. */
function studioWith(/** @type {any} */ model) {
  const jobs = /** @type {any[]} */ ([]);
  const opens = /** @type {((tape: any) => void)[]} */ ([]);
  const overviews = /** @type {any[]} */ ([]);
  const engine = {
    model,
    overview: (/** @type {File} */ file, /** @type {object} */ listener) => overviews.push({ file, listener }),
    separate: (/** @type {File} */ file, /** @type {object} */ range, /** @type {object} */ listener) => jobs.push({ file, range, listener }),
    cancel: () => {},
  };
  const deck = { openTape: () => new Promise((resolve) => opens.push(resolve)), closeTape: async () => {} };
  return { studio: new Studio(/** @type {any} */ (engine), /** @type {any} */ (deck)), engine, jobs, opens, overviews };
}

const model = { file: new Blob(["model"]), stems: ["a", "b"], sampleRate: 100 };
const file = () => new File(["song"], "song.wav");
const tape = () => ({
  frames: 0, firstBlock: 0, expected: 0, tracks: 3, sampleRate: 100, finished: false,
  async finish() { this.finished = true; },
  async reopen() { this.finished = false; },
});

/** Waits up to a second for a condition. @param {() => boolean} ready */
async function settle(ready) {
  for (let i = 0; i < 100 && !ready(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  if (!ready()) throw new Error("the condition did not hold within a second");
}

test("waveforms are read one after the other, in the order of the songs", () => {
  const { studio, overviews } = studioWith(model);
  const songs = ["a", "b", "c", "d"].map((name) => /** @type {import("../app/song.js").Song} */ (studio.add(new File(["song"], name))));
  const read = () => overviews.map(({ file }) => file.name).join("");
  equal(read(), "a");
  overviews[0].listener.overview({ sampleRate: 100, samples: 9, start: 0, peaks: [], done: false, notices: [] });
  equal(read(), "a");
  overviews[0].listener.overview({ sampleRate: 100, samples: 9, start: 0, peaks: [], done: true, notices: ["it is joined", "it is old"] });
  equal([read(), songs[0].overviewDone, songs[0].notices], ["ab", true, ["it is joined", "it is old"]]);
  studio.remove(songs[2]);
  equal(read(), "ab", "a waiting song was removed");
  overviews[1].listener.error({ kind: "file", message: "bad" });
  equal([read(), songs[1].unreadable], ["abd", true]);
  studio.remove(songs[3]);
  studio.add(new File(["song"], "e"));
  equal(read(), "abde", "the song under way was removed");
});

test("a continued separation starts a whole number of blocks before the end of the finished part", () => {
  equal(runIn(4500, 450, 100), 900);
  equal(runIn(900, 450, 100), 900);
  equal(runIn(450, 450, 100), 450);
  equal(runIn(4500, 600, 100), 600);
});

test("a continued separation starts as late as possible, at the start of a segment", async () => {
  const { studio, jobs, opens } = studioWith(model);
  const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
  song.range = { from: 2, to: null };
  studio.separate(song);
  await settle(() => opens.length === 1);
  const opened = tape();
  opens[0](opened);
  await settle(() => jobs.length === 1);
  studio.cancel(song);
  Object.assign(opened, { frames: 1350, firstBlock: 450 });
  await studio.continue(song);
  equal(jobs[1].range, { from: 2 + 4.5, to: null });
});

test("a separation can be continued only with the same model", async () => {
  const { studio, engine, opens, jobs } = studioWith(model);
  const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
  studio.separate(song);
  await settle(() => opens.length === 1);
  const opened = tape();
  opens[0](opened);
  await settle(() => jobs.length === 1);
  studio.cancel(song);
  Object.assign(opened, { frames: 450, firstBlock: 450 });
  engine.model = { ...model };
  equal(studio.canContinue(song), true, "after a restart of the worker");
  engine.model = { ...model, file: new Blob(["another"]) };
  equal(studio.canContinue(song), false, "with another file of the same description");
});

test("a song that is cancelled or removed while its tape opens is not separated", async () => {
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

test("a song that is removed while its tape reopens is not continued", async () => {
  const { studio, jobs, opens } = studioWith(model);
  const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
  studio.separate(song);
  await settle(() => opens.length === 1);
  const opened = tape();
  opens[0](opened);
  await settle(() => jobs.length === 1);
  studio.cancel(song);
  Object.assign(opened, { frames: 450, firstBlock: 450 });
  const going = studio.continue(song);
  studio.remove(song);
  await going;
  equal(jobs.length, 1);
});

test("facts about a file that the separation repeats are shown once", async () => {
  const { studio, jobs, opens } = studioWith(model);
  const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
  song.learn(["it is joined"]);
  studio.separate(song);
  await settle(() => opens.length === 1);
  opens[0](tape());
  await settle(() => jobs.length === 1);
  jobs[0].listener.done({ samples: 9, seconds: 1, notices: ["it is joined", "a part is missing"] });
  await settle(() => song.state === "done");
  equal(song.notices, ["it is joined", "a part is missing"]);
});

test("the free space is checked as soon as the separation reports the song's length", async () => {
  const { studio, jobs, opens } = studioWith(model);
  const troubles = /** @type {any[]} */ ([]);
  studio.addEventListener("trouble", (/** @type {any} */ { detail }) => troubles.push(detail));
  const song = /** @type {import("../app/song.js").Song} */ (studio.add(file()));
  studio.separate(song);
  await settle(() => opens.length === 1);
  opens[0](tape());
  await settle(() => jobs.length === 1);
  jobs[0].listener.progress({ done: 0, total: 1e15, speed: 0 });
  await settle(() => song.state === "failed");
  equal(/need .* on disk/.test(troubles[0].message), true, "the message");
});
