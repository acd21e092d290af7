/** Draws pictures onto canvases: only the changed columns, with a time limit per frame. */
import { ROWS } from "../tape/picture.js";
import { SHADES } from "./palette.js";

/** @typedef {import("../picture.js").Picture} Picture */

/** Milliseconds of drawing per frame. */
const BUDGET = 6;
/** @type {Set<{draw: () => void}>} */
const waiting = new Set();
let asked = false;

/** Draws `view` in one of the next frames. @param {{draw: () => void}} view */
export function drawSoon(view) {
  waiting.add(view);
  if (asked) return;
  asked = true;
  requestAnimationFrame(work);
}

function work() {
  asked = false;
  const end = performance.now() + BUDGET;
  for (const view of waiting) {
    waiting.delete(view);
    view.draw();
    if (performance.now() > end) break;
  }
  if (waiting.size > 0) {
    asked = true;
    requestAnimationFrame(work);
  }
}

/**
 * Sets the resolution of a canvas to its size on the screen.
 * @param {HTMLCanvasElement} canvas
 * @param {number} [height] fixed number of rows
 * @returns {boolean} true if the resolution changed, which clears the canvas
 */
export function fit(canvas, height) {
  const scale = Math.min(devicePixelRatio || 1, 2);
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const rows = height ?? Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width === width && canvas.height === rows) return false;
  canvas.width = width;
  canvas.height = rows;
  return true;
}

/**
 * Height of a sample's bar, 0 to 0.5. The curve is compressed, so that quiet passages are visible.
 * @param {number} sample at least 0
 */
function rise(sample) {
  return 0.5 * Math.min(1, sample) ** 0.65;
}

/**
 * Draws the waveform, one bar per column.
 * @param {HTMLCanvasElement} canvas
 * @param {Picture} picture
 * @param {number} total cells of the full width
 * @param {number} from the first new cell
 * @param {string} colour
 */
export function drawWave(canvas, picture, total, from, colour) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const { width, height } = canvas;
  const middle = height / 2;
  const start = Math.max(0, Math.floor((from / total) * width) - 1);
  const end = Math.min(width, Math.ceil((picture.count / total) * width));
  context.clearRect(start, 0, width - start, height);
  context.fillStyle = colour;
  for (let x = start; x < end; x++) {
    const first = Math.min(picture.count - 1, Math.floor((x / width) * total));
    const last = Math.min(picture.count, Math.max(first + 1, Math.floor(((x + 1) / width) * total)));
    let low = 0;
    let high = 0;
    for (let cell = first; cell < last; cell++) {
      low = Math.min(low, picture.peaks[2 * cell]);
      high = Math.max(high, picture.peaks[2 * cell + 1]);
    }
    const top = middle - height * rise(high);
    const bottom = middle + height * rise(-low);
    context.fillRect(x, top, 1, Math.max(1, bottom - top));
  }
}

/**
 * Draws the spectrum, ROWS pixels high. The style sheet scales it.
 * @param {HTMLCanvasElement} canvas
 * @param {Picture} picture
 * @param {number} total cells of the full width
 * @param {number} from the first new cell
 */
export function drawSpectrum(canvas, picture, total, from) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const { width } = canvas;
  const start = Math.max(0, Math.floor((from / total) * width) - 1);
  const end = Math.min(width, Math.ceil((picture.count / total) * width));
  context.clearRect(start, 0, width - start, ROWS);
  if (end <= start) return;
  const columns = end - start;
  const image = context.createImageData(columns, ROWS);
  const pixels = new Uint32Array(image.data.buffer);
  const shades = picture.spectrum;
  for (let column = 0; column < columns; column++) {
    const x = start + column;
    const first = Math.min(picture.count - 1, Math.floor((x / width) * total));
    const last = Math.min(picture.count, Math.max(first + 1, Math.floor(((x + 1) / width) * total)));
    for (let row = 0; row < ROWS; row++) {
      let shade = 0;
      for (let at = first * ROWS + row; at < last * ROWS; at += ROWS) {
        if (shades[at] > shade) shade = shades[at];
      }
      pixels[(ROWS - 1 - row) * columns + column] = SHADES[shade];
    }
  }
  context.putImageData(image, start, 0);
}
