/** The colours of spectrograms, from dark violet over rose to cream, with increasing lightness. */

/** Position, red, green, blue. */
const STOPS = [
  [0.0, 13, 10, 22], [0.18, 33, 20, 66], [0.38, 88, 32, 116], [0.56, 156, 48, 116],
  [0.72, 220, 84, 88], [0.86, 248, 152, 84], [1.0, 254, 242, 205],
];

/** One pixel per shade, as the 32-bit words of ImageData. */
export const SHADES = new Uint32Array(256);

const pixels = new Uint8Array(SHADES.buffer);
for (let shade = 0; shade < 256; shade++) {
  const at = shade / 255;
  const upper = Math.max(1, STOPS.findIndex(([stop]) => stop >= at));
  const [from, ...low] = STOPS[upper - 1];
  const [to, ...high] = STOPS[upper];
  const part = (at - from) / (to - from);
  for (let channel = 0; channel < 3; channel++) {
    pixels[4 * shade + channel] = Math.round(low[channel] + (high[channel] - low[channel]) * part);
  }
  pixels[4 * shade + 3] = 255;
}
