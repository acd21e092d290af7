/** The picture of a track: for each cell of `hop` samples the minimum, the maximum and a column of the spectrum. */
import { Fft } from "./fft.js";

/** Rows of a spectrum column, lowest frequency first, on a logarithmic frequency scale. */
export const ROWS = 96;
const WINDOW = 2048;
const LOWEST = 45; // Hz
const HIGHEST = 16000; // Hz
const FLOOR = -88; // dB relative to a full-scale sine: black
const CEILING = -14; // dB relative to a full-scale sine: brightest

/**
 * Samples per cell. A song then has one to two thousand cells, as many as a screen has columns. The limit is 4096
 * samples (38 760 cells per hour), which is also the value for an unknown length.
 * @param {number} frames expected length, 0 if unknown
 */
export function hopFor(frames) {
  let hop = frames === 0 ? 4096 : 256;
  while (hop < 4096 && frames / hop > 2400) hop *= 2;
  return hop;
}

/** Identifies the picture of a sum of tracks. @param {number[]} gains of all tracks */
export function pictureKey(gains) {
  return gains.join();
}

/** @typedef {{first: number, peaks: Float32Array<ArrayBuffer>, spectrum: Uint8Array<ArrayBuffer>}} Cells `peaks`: (minimum, maximum) pairs; `spectrum`: ROWS bytes per cell */

/** Turns a stream of samples into cells. */
export class PictureBuilder {
  /** @param {number} hop @param {number} sampleRate */
  constructor(hop, sampleRate) {
    this.hop = hop;
    this.#fft = new Fft(WINDOW);
    this.#window = Float32Array.from({ length: WINDOW }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
    // The windows leave no gap that a drum stroke could fall into.
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
  /** Complete (minimum, maximum) pairs without a spectrum. @type {number[]} */ #pairs = [];
  #cells = 0;

  /**
   * @param {Float32Array} left
   * @param {Float32Array} right
   * @returns {Cells} the newly complete cells, possibly none
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

  /** The last cells, padded with silence. @returns {Cells} */
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

  /** The cells whose windows end within the first `known` samples. @param {number} known @returns {Cells} */
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
    // The next cell's first window starts half a window before its centre. Earlier samples are no longer needed.
    const next = Math.min((this.#cells + 0.5 / this.#columns) * this.hop - WINDOW / 2, this.#frames);
    const drop = Math.max(0, Math.floor(next - this.#monoStart));
    this.#mono = this.#mono.slice(drop);
    this.#monoStart += drop;
    return { first, peaks, spectrum };
  }

  /**
   * Sets `column` to its maximum with the spectrum of the window at `from`.
   * @param {number} from
   * @param {Uint8Array} column
   */
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
        // Low rows are narrower than a bin, so interpolate between two bins.
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
