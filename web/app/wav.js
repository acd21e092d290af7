/** WAV files: the header, and samples in three formats. */

/** @import { SampleFormat } from "../types/protocol.d.ts" */

/** The largest value of a RIFF size field, which has 32 bits. */
export const WAV_LIMIT = 0xffffffff;

/** @type {Record<SampleFormat, number>} */
export const BYTES_PER_SAMPLE = { int16: 2, int24: 3, float32: 4 };

/** PCM needs 44 bytes. Float also needs the extension size and a `fact` chunk. @param {SampleFormat} format @param {number} channels */
const headerSize = (format, channels) => (format === "float32" ? 58 : 44) + extensionSize(channels);

/** The bytes that tell the loudspeakers of more than two channels, in a float file. @param {number} channels */
const extensionSize = (channels) => (channels > 2 ? 22 : 0);

/**
 * The loudspeakers in the usual layout of a number of channels: 3.0, 4.0, 5.0, 5.1, 6.1 and 7.1, with the surround
 * channels at the sides. The channels of an `AudioBuffer` are in the order of these bits.
 * @type {Record<number, number>}
 */
const SPEAKERS = { 3: 0x7, 4: 0x33, 5: 0x607, 6: 0x60f, 7: 0x70f, 8: 0x63f };

/** The end of a GUID that begins with a format tag. */
const GUID = [0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71];

/**
 * The size of a whole file in bytes, with its padding byte.
 * @param {SampleFormat} format
 * @param {number} channels
 * @param {number} frames
 */
export function wavSize(format, channels, frames) {
  const data = frames * channels * BYTES_PER_SAMPLE[format];
  return headerSize(format, channels) + data + (data % 2);
}

/**
 * @param {SampleFormat} format `float32` for more than two channels
 * @param {number} channels
 * @param {number} sampleRate in Hz
 * @param {number} frames samples of one channel
 * @returns {Uint8Array<ArrayBuffer>} everything up to the first sample
 */
export function wavHeader(format, channels, sampleRate, frames) {
  const float = format === "float32";
  const sample = BYTES_PER_SAMPLE[format];
  const header = headerSize(format, channels);
  const extension = extensionSize(channels);
  const out = new DataView(new ArrayBuffer(header));
  let at = 0;
  const tag = (/** @type {string} */ text) => { for (const c of text) out.setUint8(at++, c.charCodeAt(0)); };
  const u16 = (/** @type {number} */ value) => { out.setUint16(at, value, true); at += 2; };
  const u32 = (/** @type {number} */ value) => { out.setUint32(at, value, true); at += 4; };
  tag("RIFF");
  u32(wavSize(format, channels, frames) - 8);
  tag("WAVEfmt ");
  u32((float ? 18 : 16) + extension);
  u16(extension ? 0xfffe : float ? 3 : 1);
  u16(channels);
  u32(sampleRate);
  u32(sampleRate * channels * sample);
  u16(channels * sample);
  u16(8 * sample);
  if (float) {
    u16(extension);
    if (extension) {
      u16(8 * sample);
      u32(SPEAKERS[channels] ?? 0);
      u16(3);
      for (const byte of GUID) out.setUint8(at++, byte);
    }
    tag("fact");
    u32(4);
    u32(frames);
  }
  tag("data");
  u32(frames * channels * sample);
  return new Uint8Array(out.buffer);
}

/**
 * Samples as bytes of a WAV file. Integers are rounded to nearest and limited to full scale; `clipped` counts the limited
 * samples.
 * @param {SampleFormat} format
 * @param {Float32Array} samples interleaved, full scale ±1
 * @returns {{bytes: Uint8Array<ArrayBuffer>, clipped: number}}
 */
export function encode(format, samples) {
  if (format === "float32") {
    return { bytes: new Uint8Array(new Float32Array(samples).buffer), clipped: 0 };
  }
  const full = format === "int16" ? 0x8000 : 0x800000;
  const size = BYTES_PER_SAMPLE[format];
  const bytes = new Uint8Array(samples.length * size);
  let clipped = 0;
  let at = 0;
  for (const sample of samples) {
    let value = Math.round(sample * full);
    if (value > full - 1) {
      // +1.0 itself is off by one step, which is inaudible, so it is not counted.
      if (value > full) clipped += 1;
      value = full - 1;
    } else if (value < -full) {
      clipped += 1;
      value = -full;
    }
    bytes[at++] = value;
    bytes[at++] = value >> 8;
    if (size === 3) bytes[at++] = value >> 16;
  }
  return { bytes, clipped };
}
