import { equal, near, test } from "./check.js";
import { Fft } from "../app/tape/fft.js";
import { PictureBuilder, ROWS, hopFor } from "../app/tape/picture.js";

test("the FFT equals the definition of the discrete Fourier transform", () => {
  const size = 64;
  const input = Float32Array.from({ length: size + 3 }, (_, i) => Math.sin(i * i * 0.37) + 0.2 * Math.cos(i));
  const window = Float32Array.from({ length: size }, (_, i) => 0.3 + (i % 7) / 7);
  const fft = new Fft(size);
  fft.run(input, 3, window);
  for (let k = 0; k < size; k++) {
    let re = 0;
    let im = 0;
    for (let n = 0; n < size; n++) {
      re += input[3 + n] * window[n] * Math.cos((2 * Math.PI * k * n) / size);
      im -= input[3 + n] * window[n] * Math.sin((2 * Math.PI * k * n) / size);
    }
    near(fft.re[k], re, 1e-4, `real part ${k}`);
    near(fft.im[k], im, 1e-4, `imaginary part ${k}`);
  }
});

test("the length of a cell depends on the length of the song", () => {
  equal([10, 60, 200, 3600].map((seconds) => hopFor(seconds * 44100)), [256, 2048, 4096, 4096]);
  equal(hopFor(0), 4096, "for an unknown length");
});

/** All cells of a signal that comes in blocks of these sizes, in turn. */
function cellsOf(/** @type {Float32Array} */ left, /** @type {Float32Array} */ right, /** @type {number} */ hop, /** @type {number[]} */ blocks) {
  const builder = new PictureBuilder(hop, 44100);
  const parts = [];
  let at = 0;
  for (let i = 0; at < left.length; i++) {
    const end = Math.min(left.length, at + blocks[i % blocks.length]);
    parts.push(builder.push(left.slice(at, end), right.slice(at, end)));
    at = end;
  }
  parts.push(builder.finish());
  let next = 0;
  for (const { first, peaks } of parts) {
    equal(first, next, "first cell of a part");
    next += peaks.length / 2;
  }
  return { peaks: parts.flatMap(({ peaks }) => [...peaks]), spectrum: parts.flatMap(({ spectrum }) => [...spectrum]) };
}

const LENGTH = 30_011;
const LEFT = Float32Array.from({ length: LENGTH }, (_, i) => 0.6 * Math.sin(i * 0.11) * Math.sin(i / 4000));
const RIGHT = Float32Array.from({ length: LENGTH }, (_, i) => 0.3 * Math.cos(i * 0.05));

for (const hop of [256, 1024, 4096]) {
  test(`cells of ${hop} samples do not depend on the sizes of the blocks`, () => {
    const whole = cellsOf(LEFT, RIGHT, hop, [LENGTH]);
    const pieces = cellsOf(LEFT, RIGHT, hop, [1, 977, 4096, 13]);
    equal(pieces.peaks, whole.peaks, "peaks");
    equal(pieces.spectrum, whole.spectrum, "spectrum");
    equal(whole.peaks.length / 2, Math.ceil(LENGTH / hop), "cells");
    equal(whole.spectrum.length, Math.ceil(LENGTH / hop) * ROWS, "shades");
  });

  test(`peaks of ${hop} samples are the minimum and maximum of both channels`, () => {
    const { peaks } = cellsOf(LEFT, RIGHT, hop, [5000]);
    for (let cell = 0; cell * hop < LENGTH; cell++) {
      const both = [...LEFT.slice(cell * hop, (cell + 1) * hop), ...RIGHT.slice(cell * hop, (cell + 1) * hop)];
      equal([peaks[2 * cell], peaks[2 * cell + 1]], [Math.min(0, ...both), Math.max(0, ...both)], `cell ${cell}`);
    }
  });
}

test("a sine appears in the row of its frequency, and silence is black", () => {
  const rowOf = (/** @type {number} */ hertz) => {
    const sine = Float32Array.from({ length: 16384 }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / 44100));
    const { spectrum } = cellsOf(sine, sine, 1024, [4000]);
    const column = spectrum.slice(8 * ROWS, 9 * ROWS);
    return column.indexOf(Math.max(...column));
  };
  for (const hertz of [440, 1000, 3000, 9000]) near(rowOf(hertz), ROWS * Math.log(hertz / 45) / Math.log(16000 / 45), 1.5, `row of ${hertz} Hz`);
  const silence = new Float32Array(8192);
  equal(Math.max(...cellsOf(silence, silence, 1024, [8192]).spectrum), 0);
});

test("a drum stroke appears in its cell", () => {
  for (const hop of [256, 4096]) {
    const stroke = new Float32Array(40_000);
    stroke[21_000] = 1;
    const { spectrum } = cellsOf(stroke, stroke, hop, [3000]);
    const loudness = Array.from({ length: spectrum.length / ROWS }, (_, cell) => spectrum.slice(cell * ROWS, (cell + 1) * ROWS).reduce((a, b) => a + b));
    near(loudness.indexOf(Math.max(...loudness)), Math.floor(21_000 / hop), 1, `loudest cell of hop ${hop}`);
  }
});
