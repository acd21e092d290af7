/** One song on the page: its file, its waveform, and the state of its separation. */
import { newMix } from "./mix.js";
import { Picture } from "./picture.js";
import { songName } from "./names.js";

/** @typedef {"ready"|"queued"|"running"|"done"|"stopped"|"failed"} SongState */
/** @typedef {import("./tape-deck.js").TapeHandle} TapeHandle */

let next = 1;

export class Song {
  id = next++;
  /** @type {SongState} */ state = "ready";
  /** The file cannot be decoded. */ unreadable = false;
  /** Facts about the file that the person should know, as clauses. @type {string[]} */ notices = [];
  /** The waveform of the whole file. */ overview = new Picture(1024, []);
  overviewRate = 44100;
  overviewDone = false;
  /** Seconds of the whole file, once known. @type {number|null} */ duration = null;
  /** The chosen part in seconds; `to` null is the end. @type {{from: number, to: number|null}} */ range = { from: 0, to: null };
  /** The part on the tape. @type {{from: number, to: number|null}} */ separated = { from: 0, to: null };
  /** @type {TapeHandle|null} */ tape = null;
  /** Names of the stems on the tape. @type {string[]} */ stems = [];
  /** The model that made the tape. @type {import("./engine.js").Model|null} */ model = null;
  mix = newMix(0);
  /** `done` and `total` in samples; `speed` in seconds of audio per second. */
  progress = { done: 0, total: /** @type {number|null} */ (null), speed: 0 };
  /** Index of the original among the tracks of the tape. */
  static ORIGINAL = 0;

  /** @param {File} file */
  constructor(file) {
    this.file = file;
    this.name = songName(file.name);
  }

  /** The waveform and the separation report some facts twice. @param {string[]} notices */
  learn(notices) {
    this.notices = [...new Set([...this.notices, ...notices])];
  }

  get busy() {
    return this.state === "queued" || this.state === "running";
  }

  /** The finished share of the separation, 0 to 1; null if unknown. */
  get share() {
    const { done, total } = this.progress;
    return total ? Math.min(1, done / total) : null;
  }

  /** Seconds until the end of the separation; null if unknown. */
  get timeLeft() {
    const { done, total, speed } = this.progress;
    if (!total || !this.tape || !(speed > 0)) return null;
    return Math.max(0, total - done) / this.tape.sampleRate / speed;
  }

  /** Length of the chosen part in seconds; null if unknown. */
  get chosenSeconds() {
    const end = this.range.to ?? this.duration;
    return end === null ? null : Math.max(0, end - this.range.from);
  }
}
