/** The songs and their separation: what to do next, with which model, and what becomes of the results. */
import { newMix } from "./mix.js";
import { Song } from "./song.js";
import { bytes, sentence, spoken } from "./format.js";

/** @typedef {import("./engine.js").Engine} Engine */
/** @typedef {import("./tape-deck.js").TapeDeck} TapeDeck */

/** Seconds, at least, that a continued separation starts early, so that its first block knows what came before. */
const RUN_IN = 6;
/** More than a song file has; a longer one would only fail later. */
const LARGEST_FILE = 2 ** 31;

/**
 * Events (CustomEvent, `detail` a Song): `songs` (the list), `song` (its state), `overview`, `progress`, `leave` (its
 * tape is about to go), `tape` (a new one). And `trouble` with `{title, message}`.
 */
export class Studio extends EventTarget {
  /** @type {Song[]} */ songs = [];
  #engine;
  #deck;
  /** Job numbers of songs at work. @type {Map<Song, number>} */ #jobs = new Map();
  /** What calls off the start of a song that has no job yet. @type {WeakMap<Song, AbortController>} */ #starts = new WeakMap();
  /** @type {Map<Song, number>} */ #overviews = new Map();

  /** @param {Engine} engine @param {TapeDeck} deck */
  constructor(engine, deck) {
    super();
    this.#engine = engine;
    this.#deck = deck;
  }

  /** @param {File} file @returns {Song|null} */
  add(file) {
    if (file.size > LARGEST_FILE) {
      this.#trouble(`${file.name} is too large`, `It has ${bytes(file.size)}; 2.1 GB is the most that this page reads. Cut it into parts, or save it as FLAC.`);
      return null;
    }
    if (file.size === 0) {
      this.#trouble(`${file.name} is empty`, "There is nothing in this file. Choose another one.");
      return null;
    }
    const song = new Song(file);
    this.songs.push(song);
    this.#tell("songs", song);
    this.#overviews.set(song, this.#engine.overview(file, {
      overview: (message) => this.#addOverview(song, message),
      error: ({ kind, message }) => {
        this.#overviews.delete(song);
        // Without a picture it may still be separated; a file that can't be read can't.
        song.overviewDone = true;
        if (kind === "file") {
          song.unreadable = true;
          song.state = "failed";
        }
        this.#trouble(`${file.name} could not be read`, message);
        this.#tell("overview", song);
        this.#tell("song", song);
      },
    }));
    return song;
  }

  /** @param {Song} song */
  async remove(song) {
    this.cancel(song);
    const overview = this.#overviews.get(song);
    if (overview !== undefined) this.#engine.cancel(overview);
    this.#overviews.delete(song);
    this.songs = this.songs.filter((other) => other !== song);
    song.tape = null;
    this.#tell("songs", song);
    await this.#deck.closeTape(song.id);
  }

  /** Begins anew. @param {Song} song */
  async separate(song) {
    const model = this.#engine.model;
    if (!model || song.busy) return;
    const { sampleRate, stems } = model;
    const seconds = song.chosenSeconds;
    const expected = Math.round((seconds ?? 0) * sampleRate);
    song.progress = { done: 0, total: expected || null, speed: 0 };
    const signal = this.#start(song);
    const refusal = await lackOfSpace(expected, stems.length + 1);
    if (signal.aborted) return;
    if (refusal) return this.#fail(song, refusal);
    this.#tell("leave", song);
    song.tape = null;
    try {
      const tape = await this.#deck.openTape(song.id, { tracks: stems.length + 1, sampleRate, expected });
      if (signal.aborted) return this.#tell("tape", song);
      song.tape = tape;
    } catch (error) {
      this.#tell("tape", song);
      if (!signal.aborted) this.#fail(song, storageMessage(error));
      return;
    }
    song.separated = { ...song.range };
    song.stems = stems;
    song.model = model;
    song.mix = newMix(stems.length);
    this.#tell("tape", song);
    this.#run(song, song.separated, 0);
  }

  /** Whether a part is there to go on from, with the model that made it. @param {Song} song */
  canContinue(song) {
    const { model } = this.#engine;
    return !song.busy && song.state !== "done" && song.tape !== null && song.tape.frames > 0
      && model !== null && song.model?.file === model.file;
  }

  /** Goes on where it stopped. @param {Song} song */
  async continue(song) {
    const { tape } = song;
    if (!this.canContinue(song) || !tape) return;
    const signal = this.#start(song);
    await tape.reopen();
    if (signal.aborted) return;
    const { frames, firstBlock, sampleRate } = tape;
    const drop = runIn(frames, firstBlock, sampleRate);
    const from = song.separated.from + (frames - drop) / sampleRate;
    this.#run(song, { from, to: song.separated.to }, drop);
  }

  /** Ends at once; what is finished stays. @param {Song} song */
  cancel(song) {
    if (!song.busy) return;
    this.#starts.get(song)?.abort();
    const job = this.#jobs.get(song);
    if (job !== undefined) this.#engine.cancel(job);
    this.#jobs.delete(song);
    this.#stop(song, "stopped");
  }

  /** @param {Song} song @returns {AbortSignal} of a cancel before there is a job */
  #start(song) {
    const start = new AbortController();
    this.#starts.set(song, start);
    song.state = "queued";
    this.#tell("song", song);
    return start.signal;
  }

  /** @param {Song} song @param {{from: number, to: number|null}} range in seconds @param {number} drop frames at the start that are there already */
  #run(song, range, drop) {
    const tape = /** @type {import("./tape-deck.js").TapeHandle} */ (song.tape);
    const before = tape.frames;
    /** Appends in flight, so that the end comes after them. */
    let writing = Promise.resolve();
    const breakOff = (/** @type {string} */ problem) => {
      if (this.#jobs.get(song) !== job) return;
      this.#engine.cancel(job);
      this.#jobs.delete(song);
      this.#stop(song, "failed", problem);
    };
    const job = this.#engine.separate(song.file, range, {
      progress: ({ done, total, speed }) => {
        if (song.state === "queued") {
          song.state = "running";
          this.#tell("song", song);
        }
        song.progress = { done: before + Math.max(0, done - drop), total: total === null ? null : before + Math.max(0, total - drop), speed };
        this.#tell("progress", song);
        if (tape.expected > 0 || total === null) return;
        // The file told its length only now.
        tape.expected = total;
        lackOfSpace(total, tape.tracks).then((refusal) => { if (refusal) breakOff(refusal); });
      },
      block: ({ mixture, stems }) => {
        let block = [mixture, ...stems];
        if (drop > 0) {
          const skip = Math.min(drop, mixture[0].length);
          drop -= skip;
          if (skip === mixture[0].length) return;
          block = block.map(([left, right]) => [left.slice(skip), right.slice(skip)]);
        }
        if (song.state === "queued") {
          song.state = "running";
          this.#tell("song", song);
        }
        writing = writing.then(() => tape.append(block)).catch((error) => breakOff(storageMessage(error)));
      },
      done: async () => {
        await writing;
        if (this.#jobs.get(song) !== job) return;
        this.#jobs.delete(song);
        await this.#stop(song, "done");
      },
      error: async ({ kind, message }) => {
        await writing;
        if (this.#jobs.get(song) !== job) return;
        this.#jobs.delete(song);
        const kept = tape.frames ? ` The first ${spoken(tape.frames / tape.sampleRate)} are kept.` : "";
        const what = kind === "bug" ? "The separation program broke off and was started again. Choose “Go on” or “Separate” to try once more. It said: " : "";
        const advice = kind === "device" ? " Choose “Go on” or “Separate” to try once more." : "";
        await this.#stop(song, "failed", `${what}${sentence(message)}${advice}${kept}`);
      },
    });
    this.#jobs.set(song, job);
    this.#tell("song", song);
  }

  /** @param {Song} song @param {import("./song.js").SongState} state @param {string} [problem] */
  async #stop(song, state, problem) {
    song.state = state;
    if (problem) this.#trouble(`${song.name}: not separated to the end`, problem);
    this.#tell("song", song);
    if (!song.tape?.finished) await song.tape?.finish();
    this.#tell("song", song);
  }

  /** @param {Song} song @param {string} message */
  #fail(song, message) {
    song.state = "failed";
    this.#trouble(`${song.name} was not separated`, message);
    this.#tell("song", song);
  }

  /** @param {Song} song @param {{sampleRate: number, samples: number|null, start: number, peaks: Float32Array, done?: boolean}} message */
  #addOverview(song, { sampleRate, samples, start, peaks, done }) {
    song.overviewRate = sampleRate;
    if (peaks.length) song.overview.add(Math.round(start / 1024), peaks);
    if (samples !== null) song.duration = samples / sampleRate;
    if (done) {
      song.overviewDone = true;
      this.#overviews.delete(song);
    }
    this.#tell("overview", song);
  }

  /** @param {string} name @param {Song} song */
  #tell(name, song) {
    this.dispatchEvent(new CustomEvent(name, { detail: song }));
  }

  /** @param {string} title @param {string} message */
  #trouble(title, message) {
    this.dispatchEvent(new CustomEvent("trouble", { detail: { title, message: sentence(message) } }));
  }
}

/**
 * Frames that a continued separation starts before those that are done. A whole number of blocks, or all: its segments
 * then lie where the first run's lay, and the stems go on as if nothing had been between.
 * @param {number} done frames
 * @param {number} block frames of the first run's first block
 * @param {number} sampleRate
 */
export function runIn(done, block, sampleRate) {
  return Math.min(done, block * Math.ceil((RUN_IN * sampleRate) / block));
}

/** @param {number} frames @param {number} tracks @returns {Promise<string|null>} why they would not fit */
async function lackOfSpace(frames, tracks) {
  const need = 8 * frames * tracks;
  // Pages without https have no estimate; there the answer comes with the first block that does not fit.
  const estimate = await navigator.storage?.estimate().catch(() => null);
  const free = (estimate?.quota ?? Infinity) - (estimate?.usage ?? 0);
  if (need <= free) return null;
  return `The stems need ${bytes(need)} on disk while this page is open, and the browser allows ${bytes(free)}. Choose a shorter part, remove songs that you no longer need, or free space on the disk.`;
}

/** @param {unknown} error */
function storageMessage(error) {
  const { name, message } = /** @type {Error} */ (error);
  return name === "QuotaExceededError"
    ? "The disk is full, or the browser allows no more. Remove songs that you no longer need, or choose a shorter part, then go on."
    : `The stems could not be stored: ${message}. Reload the page and try again.`;
}
