/** A radix-2 fast Fourier transform for the pictures. The network's STFT is in the wasm module. */

export class Fft {
  /** @param {number} size a power of two */
  constructor(size) {
    this.size = size;
    this.re = new Float32Array(size);
    this.im = new Float32Array(size);
    const bits = Math.log2(size);
    this.#order = Uint16Array.from({ length: size }, (_, i) => {
      let reversed = 0;
      for (let bit = 0; bit < bits; bit++) reversed |= ((i >> bit) & 1) << (bits - 1 - bit);
      return reversed;
    });
    this.#cos = Float32Array.from({ length: size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.#sin = Float32Array.from({ length: size / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / size));
  }

  #order;
  #cos;
  #sin;

  /**
   * Transforms `input[from..from + size]` times `window` into `re` and `im`.
   * @param {Float32Array} input
   * @param {number} from
   * @param {Float32Array} window
   */
  run(input, from, window) {
    const { size, re, im } = this;
    for (let i = 0; i < size; i++) {
      const source = this.#order[i];
      re[i] = input[from + source] * window[source];
      im[i] = 0;
    }
    for (let half = 1; half < size; half *= 2) {
      const step = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const c = this.#cos[k * step];
          const s = this.#sin[k * step];
          const a = start + k;
          const b = a + half;
          const x = re[b] * c - im[b] * s;
          const y = re[b] * s + im[b] * c;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }
}
