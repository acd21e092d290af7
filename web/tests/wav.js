import { equal, near, test } from "./check.js";
import { BYTES_PER_SAMPLE, encode, wavHeader, wavSize } from "../app/wav.js";

/** Reads a WAV file chunk by chunk, after the specification. @param {Uint8Array} file */
export function readWav(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const tag = (/** @type {number} */ at) => String.fromCharCode(...file.subarray(at, at + 4));
  equal(tag(0), "RIFF");
  equal(tag(8), "WAVE");
  equal(view.getUint32(4, true), file.length - 8, "RIFF size");
  const wav = { format: 0, channels: 0, sampleRate: 0, bits: 0, fact: -1, samples: /** @type {number[]} */ ([]) };
  for (let at = 12; at < file.length;) {
    const name = tag(at);
    const size = view.getUint32(at + 4, true);
    const body = at + 8;
    if (name === "fmt ") {
      wav.format = view.getUint16(body, true);
      wav.channels = view.getUint16(body + 2, true);
      wav.sampleRate = view.getUint32(body + 4, true);
      wav.bits = view.getUint16(body + 14, true);
      equal(view.getUint32(body + 8, true), (wav.sampleRate * wav.channels * wav.bits) / 8, "byte rate");
      equal(view.getUint16(body + 12, true), (wav.channels * wav.bits) / 8, "block align");
    } else if (name === "fact") {
      wav.fact = view.getUint32(body, true);
    } else if (name === "data") {
      for (let i = body; i < body + size; i += wav.bits / 8) {
        if (wav.format === 3) wav.samples.push(view.getFloat32(i, true));
        else if (wav.bits === 16) wav.samples.push(view.getInt16(i, true) / 32768);
        else wav.samples.push(((view.getUint8(i + 2) << 24) | (view.getUint8(i + 1) << 16) | (view.getUint8(i) << 8)) / 2 ** 31);
      }
    }
    at = body + size + (size % 2);
  }
  return wav;
}

const SAMPLES = Float32Array.of(0, 0.5, -0.5, 0.123456789, -0.987654321, 1, -1, 1e-5);

for (const format of /** @type {const} */ (["int16", "int24", "float32"])) {
  test(`a ${format} file is read back within half a quantisation step`, () => {
    const { bytes, clipped } = encode(format, SAMPLES);
    const header = wavHeader(format, 2, 44100, SAMPLES.length / 2);
    const file = new Uint8Array(header.length + bytes.length);
    file.set(header);
    file.set(bytes, header.length);
    equal(file.length, wavSize(format, 2, SAMPLES.length / 2), "size");
    const wav = readWav(file);
    equal([wav.format, wav.channels, wav.sampleRate, wav.bits], [format === "float32" ? 3 : 1, 2, 44100, 8 * BYTES_PER_SAMPLE[format]]);
    equal(wav.fact, format === "float32" ? 4 : -1, "fact");
    equal(wav.samples.length, SAMPLES.length, "samples");
    const step = { int16: 2 ** -15, int24: 2 ** -23, float32: 0 }[format];
    SAMPLES.forEach((sample, i) => near(wav.samples[i], sample, sample === 1 ? step : step / 2 + 1e-9 * step, `sample ${i}`));
    equal(clipped, 0, "clipped");
  });
}

test("integers are limited to full scale, and the limited samples are counted", () => {
  const { bytes, clipped } = encode("int16", Float32Array.of(1.5, -1.5, 1, -1, 0.2, 7));
  equal([...new Int16Array(bytes.buffer)], [32767, -32768, 32767, -32768, 6554, 32767]);
  equal(clipped, 3);
});

test("floats beyond full scale do not change", () => {
  equal([...new Float32Array(encode("float32", Float32Array.of(1.5, -7)).bytes.buffer)], [1.5, -7]);
});
