/** The songs and their separation: starts, continues and cancels jobs, and stores the stems on tapes. */
import { newMix } from "./mix.js";
import { Song } from "./song.js";
import { bytes, sentence, spoken } from "./format.js";

/** @typedef {import("./engine.js").Engine} Engine */
/** @typedef {import("./tape-deck.js").TapeDeck} TapeDeck */
/** @import { OverviewMessage, Stereo } from "../types/protocol.d.ts" */

/**
 * Minimum seconds by which a continued separation starts early, so that the network sees the audio before its first
 * block.
 */
const RUN_IN = 6;
/**
 * Bytes. The wasm module has the same limit (crates/wasm/src/source.rs). This check refuses the file before it is read.
 */
const LARGEST_FILE = 2 ** 31;

/**
 * Events (CustomEvent, `detail` is a Song): `songs` (the list changed), `song` (its state changed), `overview`,
 * `progress`, `leave` (its tape will be replaced), `tape` (it has another tape). `trouble` has the detail
 * `{title, message}`.
 */
export class Studio extends EventTarget {
  /** @type {Song[]} */ songs = [];
  #engine;
  #deck;
  /** The separation jobs. @type {Map<Song, number>} */ #jobs = new Map();
  /** Cancels the start of a song that has no job yet. @type {WeakMap<Song, AbortController>} */ #starts = new WeakMap();
  /** The songs without a waveform. The first one has a job. @type {Song[]} */ #unread = [];
  /** The waveform job. @type {number|null} */ #overview = null;

  /** @param {Engine} engine @param {TapeDeck} deck */
  constructor(engine, deck) {
    super();
    this.#engine = engine;
    this.#deck = deck;
  }

  /** @param {File} file @returns {Song|null} */
  add(file) {
    if (file.size > LARGEST_FILE) {
      this.#trouble(`${file.name} is too large`, `The file has ${bytes(file.size)}, and the limit is ${bytes(LARGEST_FILE)}. Cut it into parts, or convert it to FLAC.`);
      return null;
    }
    if (file.size === 0) {
      this.#trouble(`${file.name} is empty`, "The file contains no data. Choose another file.");
      return null;
    }
    const song = new Song(file);
    this.songs.push(song);
    this.#emit("songs", song);
    this.#unread.push(song);
    this.#readNext();
    return song;
  }

  /** Starts the next waveform job. There is one at a time, so that a separation need not wait for the others. */
  #readNext() {
    const [song] = this.#unread;
    if (!song || this.#overview !== null) return;
    this.#overview = this.#engine.overview(song.file, {
      overview: (message) => this.#addOverview(song, message),
      error: ({ kind, message }) => {
        song.overviewDone = true;
        // After other failures the song has no waveform, but it may still be separated.
        if (kind === "file") {
          song.unreadable = true;
          song.state = "failed";
        }
        this.#trouble(`${song.file.name} could not be read`, message);
        this.#emit("overview", song);
        this.#emit("song", song);
        this.#read(song);
      },
    });
  }

  /** The waveform of a song is complete, or no longer needed. @param {Song} song */
  #read(song) {
    if (this.#unread[0] === song) this.#overview = null;
    this.#unread = this.#unread.filter((other) => other !== song);
    this.#readNext();
  }

  /** @param {Song} song */
  async remove(song) {
    this.cancel(song);
    if (this.#unread[0] === song && this.#overview !== null) this.#engine.cancel(this.#overview);
    this.#read(song);
    this.songs = this.songs.filter((other) => other !== song);
    song.tape = null;
    this.#emit("songs", song);
    await this.#deck.closeTape(song.id);
  }

  /** Separates the chosen part and replaces earlier stems. @param {Song} song */
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
    this.#emit("leave", song);
    song.tape = null;
    try {
      const tape = await this.#deck.openTape(song.id, { tracks: stems.length + 1, sampleRate, expected });
      if (signal.aborted) return this.#emit("tape", song);
      song.tape = tape;
    } catch (error) {
      this.#emit("tape", song);
      if (!signal.aborted) this.#fail(song, storageMessage(error));
      return;
    }
    song.separated = { ...song.range };
    song.stems = stems;
    song.model = model;
    song.mix = newMix(stems.length);
    this.#emit("tape", song);
    this.#run(song, song.separated, 0);
  }

  /** Whether there is a finished part, and its model is still in use. @param {Song} song */
  canContinue(song) {
    const { model } = this.#engine;
    return !song.busy && song.state !== "done" && song.tape !== null && song.tape.frames > 0
      && model !== null && song.model?.file === model.file;
  }

  /** Continues a stopped separation. @param {Song} song */
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

  /** Ends the separation at once and keeps the finished part. @param {Song} song */
  cancel(song) {
    if (!song.busy) return;
    this.#starts.get(song)?.abort();
    const job = this.#jobs.get(song);
    if (job !== undefined) this.#engine.cancel(job);
    this.#jobs.delete(song);
    this.#stop(song, "stopped");
  }

  /** @param {Song} song @returns {AbortSignal} aborted if the song is cancelled before it has a job */
  #start(song) {
    const start = new AbortController();
    this.#starts.set(song, start);
    song.state = "queued";
    this.#emit("song", song);
    return start.signal;
  }

  /**
   * @param {Song} song
   * @param {{from: number, to: number|null}} range in seconds
   * @param {number} drop frames at the start that are on the tape already
   */
  #run(song, range, drop) {
    const tape = /** @type {import("./tape-deck.js").TapeHandle} */ (song.tape);
    const before = tape.frames;
    /** The pending appends. The end of the job waits for them. */
    let writing = Promise.resolve();
    const stopJob = (/** @type {string} */ problem) => {
      if (this.#jobs.get(song) !== job) return;
      this.#engine.cancel(job);
      this.#jobs.delete(song);
      this.#stop(song, "failed", problem);
    };
    const job = this.#engine.separate(song.file, range, {
      progress: ({ done, total, speed }) => {
        if (song.state === "queued") {
          song.state = "running";
          this.#emit("song", song);
        }
        song.progress = { done: before + Math.max(0, done - drop), total: total === null ? null : before + Math.max(0, total - drop), speed };
        this.#emit("progress", song);
        if (tape.expected > 0 || total === null) return;
        // The length of the song is known only now.
        tape.expected = total;
        lackOfSpace(total, tape.tracks).then((refusal) => { if (refusal) stopJob(refusal); });
      },
      block: ({ mixture, stems }) => {
        /** @type {Stereo[]} */
        let block = [mixture, ...stems];
        if (drop > 0) {
          const skip = Math.min(drop, mixture[0].length);
          drop -= skip;
          if (skip === mixture[0].length) return;
          block = block.map(([left, right]) => [left.slice(skip), right.slice(skip)]);
        }
        if (song.state === "queued") {
          song.state = "running";
          this.#emit("song", song);
        }
        writing = writing.then(() => tape.append(block)).catch((error) => stopJob(storageMessage(error)));
      },
      done: async ({ notices }) => {
        await writing;
        if (this.#jobs.get(song) !== job) return;
        this.#jobs.delete(song);
        song.learn(notices);
        await this.#stop(song, "done");
      },
      error: async ({ kind, message }) => {
        await writing;
        if (this.#jobs.get(song) !== job) return;
        this.#jobs.delete(song);
        const kept = tape.frames ? ` The first ${spoken(tape.frames / tape.sampleRate)} are kept.` : "";
        const what = kind === "bug" ? "The separation program crashed and was restarted. Choose “Continue” or “Separate” to try again. The error: " : "";
        const advice = kind === "device" ? " Choose “Continue” or “Separate” to try again." : "";
        await this.#stop(song, "failed", `${what}${sentence(message)}${advice}${kept}`);
      },
    });
    this.#jobs.set(song, job);
    this.#emit("song", song);
  }

  /** @param {Song} song @param {import("./song.js").SongState} state @param {string} [problem] */
  async #stop(song, state, problem) {
    song.state = state;
    if (problem) this.#trouble(`${song.name}: the separation stopped early`, problem);
    this.#emit("song", song);
    if (!song.tape?.finished) await song.tape?.finish();
    this.#emit("song", song);
  }

  /** @param {Song} song @param {string} message */
  #fail(song, message) {
    song.state = "failed";
    this.#trouble(`${song.name} was not separated`, message);
    this.#emit("song", song);
  }

  /** @param {Song} song @param {OverviewMessage} message */
  #addOverview(song, { sampleRate, samples, start, peaks, done, notices }) {
    song.learn(notices);
    song.overviewRate = sampleRate;
    if (peaks.length) song.overview.add(Math.round(start / 1024), peaks);
    if (samples !== null) song.duration = samples / sampleRate;
    if (done) {
      song.overviewDone = true;
      this.#read(song);
    }
    this.#emit("overview", song);
  }

  /** @param {string} name @param {Song} song */
  #emit(name, song) {
    this.dispatchEvent(new CustomEvent(name, { detail: song }));
  }

  /** @param {string} title @param {string} message */
  #trouble(title, message) {
    this.dispatchEvent(new CustomEvent("trouble", { detail: { title, message } }));
  }
}

/**
 * The number of finished frames that a continued separation computes again. It is a whole number of blocks, or all
 * frames. The segments are then at the same positions as in the first run, so the stems continue without a seam.
 * @param {number} done finished frames
 * @param {number} block frames of the first run's first block
 * @param {number} sampleRate
 */
export function runIn(done, block, sampleRate) {
  return Math.min(done, block * Math.ceil((RUN_IN * sampleRate) / block));
}

/**
 * @param {number} frames
 * @param {number} tracks
 * @returns {Promise<string|null>} a sentence if they exceed the free space
 */
async function lackOfSpace(frames, tracks) {
  const need = 8 * frames * tracks;
  // Pages without https have no estimate. There the first block that does not fit fails.
  const estimate = await navigator.storage?.estimate().catch(() => null);
  const free = (estimate?.quota ?? Infinity) - (estimate?.usage ?? 0);
  if (need <= free) return null;
  return `The stems need ${bytes(need)} on disk while this page is open, but the browser allows only ${bytes(free)}. Choose a shorter part, remove songs that you no longer need, or free disk space.`;
}

/** @param {unknown} error */
function storageMessage(error) {
  const { name, message } = /** @type {Error} */ (error);
  return name === "QuotaExceededError"
    ? "The disk is full, or the browser allows no more storage. Remove songs that you no longer need, or choose a shorter part, then continue."
    : `The stems could not be stored: ${message}. Reload the page and try again.`;
}
