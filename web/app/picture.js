/** The page's copy of the cells of a picture. */
import { ROWS } from "./tape/picture.js";

export class Picture {
  /** @type {Float32Array} */ peaks = new Float32Array(0);
  /** @type {Uint8Array} */ spectrum = new Uint8Array(0);
  /** Number of cells. */
  count = 0;

  /**
   * @param {number} hop samples per cell
   * @param {number[]} gains of the tracks whose sum the picture shows
   */
  constructor(hop, gains) {
    this.hop = hop;
    this.gains = gains;
  }

  clear() {
    this.count = 0;
  }

  /**
   * @param {number} first index of the first cell
   * @param {Float32Array} peaks (minimum, maximum) pairs
   * @param {Uint8Array} [spectrum]
   */
  add(first, peaks, spectrum) {
    const count = first + peaks.length / 2;
    if (2 * count > this.peaks.length) {
      const room = Math.max(2 * this.peaks.length, 2 * count, 1024);
      const grown = new Float32Array(room);
      grown.set(this.peaks);
      this.peaks = grown;
      if (spectrum) {
        const shades = new Uint8Array((room / 2) * ROWS);
        shades.set(this.spectrum);
        this.spectrum = shades;
      }
    }
    this.peaks.set(peaks, 2 * first);
    if (spectrum) this.spectrum.set(spectrum, first * ROWS);
    this.count = count;
  }
}
