/** What is drawn of a track: for each cell of `hop` samples the lowest and highest sample and a column of its spectrum. */
import { Fft } from "./fft.js";

/** Rows of a spectrum column, lowest frequency first, evenly spaced in pitch. */
export const ROWS = 96;
const WINDOW = 2048;
const LOWEST = 45; // Hz
const HIGHEST = 16000; // Hz
const FLOOR = -88; // dB below a sine of full scale: black
const CEILING = -14; // dB: brightest

/**
 * Samples in a cell, so that a song has one to two thousand of them: as many as a screen has columns. From 4096 samples
 * on cells stay as they are (an hour then has 38 760), and so they are where nobody knows the length.
 * @param {number} frames expected length, 0 if it is not known
 */
export function hopFor(frames) {
  let hop = frames === 0 ? 4096 : 256;
  while (hop < 4096 && frames / hop > 2400) hop *= 2;
  return hop;
}

/** @typedef {{first: number, peaks: Float32Array<ArrayBuffer>, spectrum: Uint8Array<ArrayBuffer>}} Cells `peaks`: min, max pairs; `spectrum`: ROWS bytes a cell */

/** Takes samples as they come, gives cells as they become complete. */
export class PictureBuilder {
  /** @param {number} hop @param {number} sampleRate */
  constructor(hop, sampleRate) {
    this.hop = hop;
    this.#fft = new Fft(WINDOW);
    this.#window = Float32Array.from({ length: WINDOW }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
    // Windows no further apart than they are long, or a drum stroke could fall between two.
    this.#columns = Math.max(1, hop / WINDOW);
    const top = Math.min(HIGHEST, 0.48 * sampleRate);
    const binOf = (/** @type {number} */ row) => ((LOWEST * (top / LOWEST) ** (row / ROWS)) / sampleRate) * WINDOW;
    this.#edges = Float32Array.from({ length: ROWS + 1 }, (_, row) => binOf(row));
    this.#mono = new Float32Array(WINDOW / 2); // silence before the song
    this.#monoStart = -WINDOW / 2;
  }

  hop;
  #fft;
  #window;
  #columns;
  #edges;
  #mono;
  #monoStart;
  #frames = 0;
  #low = 0;
  #high = 0;
  /** @type {number[]} complete pairs whose spectrum is not yet known */ #pairs = [];
  #cells = 0;

  /**
   * @param {Float32Array} left
   * @param {Float32Array} right
   * @returns {Cells} those that are now complete, maybe none
   */
  push(left, right) {
    const count = left.length;
    const keep = this.#mono.length;
    const mono = new Float32Array(keep + count);
    mono.set(this.#mono);
    for (let i = 0; i < count; i++) {
      const l = left[i];
      const r = right[i];
      mono[keep + i] = 0.5 * (l + r);
      if (l < this.#low) this.#low = l;
      if (r < this.#low) this.#low = r;
      if (l > this.#high) this.#high = l;
      if (r > this.#high) this.#high = r;
      this.#frames += 1;
      if (this.#frames % this.hop === 0) this.#closePair();
    }
    this.#mono = mono;
    return this.#take(this.#frames);
  }

  /** The last cells, with silence after the song. @returns {Cells} */
  finish() {
    if (this.#frames % this.hop) this.#closePair();
    const padded = new Float32Array(this.#mono.length + this.hop + WINDOW);
    padded.set(this.#mono);
    this.#mono = padded;
    return this.#take(Infinity);
  }

  #closePair() {
    this.#pairs.push(this.#low, this.#high);
    this.#low = 0;
    this.#high = 0;
  }

  /** @param {number} known samples that exist @returns {Cells} */
  #take(known) {
    const first = this.#cells;
    const last = (/** @type {number} */ cell) => (cell + 1 - 0.5 / this.#columns) * this.hop + WINDOW / 2;
    let count = 0;
    while (2 * count < this.#pairs.length && last(first + count) <= known) count += 1;
    const spectrum = new Uint8Array(count * ROWS);
    for (let i = 0; i < count; i++) {
      const column = spectrum.subarray(i * ROWS, (i + 1) * ROWS);
      for (let k = 0; k < this.#columns; k++) {
        const centre = (first + i + (k + 0.5) / this.#columns) * this.hop;
        this.#column(centre - WINDOW / 2 - this.#monoStart, column);
      }
    }
    const peaks = Float32Array.from(this.#pairs.splice(0, 2 * count));
    this.#cells += count;
    // Half a window before the next cell is all that will be looked at again.
    const next = Math.min((this.#cells + 0.5 / this.#columns) * this.hop - WINDOW / 2, this.#frames);
    const drop = Math.max(0, Math.floor(next - this.#monoStart));
    this.#mono = this.#mono.slice(drop);
    this.#monoStart += drop;
    return { first, peaks, spectrum };
  }

  /** Raises `column` to the spectrum of the window at `from`. @param {number} from @param {Uint8Array} column */
  #column(from, column) {
    this.#fft.run(this.#mono, from, this.#window);
    const { re, im } = this.#fft;
    const power = (/** @type {number} */ bin) => re[bin] * re[bin] + im[bin] * im[bin];
    for (let row = 0; row < ROWS; row++) {
      const low = this.#edges[row];
      const high = this.#edges[row + 1];
      const start = Math.ceil(low);
      let value = 0;
      if (start < high) {
        for (let bin = start; bin < high; bin++) value = Math.max(value, power(bin));
      } else {
        // Low rows are narrower than a bin: between the two neighbours.
        const bin = Math.floor(low);
        const part = 0.5 * (low + high) - bin;
        value = power(bin) * (1 - part) + power(bin + 1) * part;
      }
      const level = 10 * Math.log10(value / (WINDOW / 4) ** 2 + 1e-12);
      const shade = Math.min(255, Math.max(0, (255 * (level - FLOOR)) / (CEILING - FLOOR)));
      if (shade > column[row]) column[row] = shade;
    }
  }
}
