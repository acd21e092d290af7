/** One song on the page: the file, what is known of it, and how far its separation is. */
import { newMix } from "./mix.js";
import { Picture } from "./picture.js";
import { withoutExtension } from "./format.js";

/** @typedef {"ready"|"queued"|"running"|"done"|"stopped"|"failed"} SongState */
/** @typedef {import("./tape-deck.js").TapeHandle} TapeHandle */

let next = 1;

export class Song {
  id = next++;
  /** @type {SongState} */ state = "ready";
  /** The file itself can't be decoded. */ unreadable = false;
  /** Shape of the wave, of the whole file; hop 1024. */
  overview = new Picture(1024, []);
  overviewRate = 44100;
  overviewDone = false;
  /** Seconds of the whole file, once known. @type {number|null} */ duration = null;
  /** Chosen part in seconds; `to` null is the end. @type {{from: number, to: number|null}} */ range = { from: 0, to: null };
  /** The part that `tape` is of. @type {{from: number, to: number|null}} */ separated = { from: 0, to: null };
  /** @type {TapeHandle|null} */ tape = null;
  /** Names of the stems on the tape. @type {string[]} */ stems = [];
  /** The model that made the tape. @type {import("./engine.js").Model|null} */ model = null;
  mix = newMix(0);
  progress = { done: 0, total: /** @type {number|null} */ (null), speed: 0 };
  /** Where the original lies in the song's tracks. */
  static ORIGINAL = 0;

  /** @param {File} file */
  constructor(file) {
    this.file = file;
    this.name = withoutExtension(file.name);
  }

  get busy() {
    return this.state === "queued" || this.state === "running";
  }

  /** Seconds that are to be separated, if known. */
  get chosenSeconds() {
    const end = this.range.to ?? this.duration;
    return end === null ? null : Math.max(0, end - this.range.from);
  }
}
