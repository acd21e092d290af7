import { equal, near, test, throws } from "./check.js";
import { readWav } from "./wav.js";
import { LIMITS, decode } from "../app/decode.js";
import { encode, wavHeader } from "../app/wav.js";

/** A wav file of a sine in every channel, each of another level. @param {number} channels @param {number} rate @param {number} frames */
export function sine(channels, rate, frames) {
  const samples = new Float32Array(channels * frames);
  for (let i = 0; i < samples.length; i++) {
    const [frame, channel] = [Math.floor(i / channels), i % channels];
    samples[i] = (0.9 * Math.sin((2 * Math.PI * 440 * frame) / rate)) / (1 + channel);
  }
  return new File([wavHeader("float32", channels, rate, frames), encode("float32", samples).bytes], "sine.xyz");
}

/** @param {File} file */
const bytesOf = async (file) => new Uint8Array(await file.arrayBuffer());

test("the browser decodes a song into a wav file of floats at the wanted rate", async () => {
  const decoded = await decode(sine(2, 48000, 48000), 44100);
  const wav = readWav(await bytesOf(/** @type {File} */ (decoded?.file)));
  equal([wav.format, wav.channels, wav.sampleRate, wav.bits], [3, 2, 44100, 32]);
  // Chromium's resampler drops the last sample.
  near(wav.samples.length / 2, 44100, 1, "the length");
  const error = wav.samples.map((sample, i) => sample - 0.9 / (1 + (i % 2)) * Math.sin((2 * Math.PI * 440 * Math.floor(i / 2)) / 44100));
  near(Math.max(...error.slice(2000, -2000).map(Math.abs)), 0, 1e-3, "the largest error");
  equal([decoded?.file.name, decoded?.notices], ["sine.xyz.wav", ["the browser decoded it, at 44100 Hz"]]);
});

test("the samples stay the same at the same rate", async () => {
  const song = sine(2, 44100, 5000);
  const decoded = await decode(song, 44100);
  const [before, after] = await Promise.all([song, /** @type {File} */ (decoded?.file)].map(bytesOf));
  equal(readWav(after).samples.every((sample, i) => sample === readWav(before).samples[i]), true, "the samples");
});

test("more than two channels keep their loudspeakers", async () => {
  const decoded = await decode(sine(6, 44100, 3000), 44100);
  const bytes = await bytesOf(/** @type {File} */ (decoded?.file));
  const view = new DataView(bytes.buffer);
  equal([view.getUint16(20, true), view.getUint16(22, true), view.getUint32(40, true), view.getUint16(44, true)], [0xfffe, 6, 0x60f, 3]);
  equal(view.getUint32(4, true), bytes.length - 8, "RIFF size");
  const start = bytes.length - 6 * 4 * 3000;
  const frame = Array.from({ length: 6 }, (_, channel) => view.getFloat32(start + 4 * (6 * 25 + channel), true));
  frame.forEach((sample, channel) => near(sample, frame[0] / (1 + channel), 1e-6, `channel ${channel}`));
});

test("what the browser does not know is no song", async () => {
  equal(await decode(new File(["This is a letter, and not a song. ".repeat(500)], "letter.ogg"), 44100), null);
});

test("a song that is too large for the browser is refused before it is read", async () => {
  const file = sine(1, 44100, 100);
  Object.defineProperty(file, "size", { value: LIMITS.file + 1 });
  await throws(() => decode(file, 44100), /only up to 300 MB/);
  const long = new File([wavHeader("int16", 1, 8000, 8000 * (LIMITS.seconds + 1)), new Uint8Array(2 * 8000 * (LIMITS.seconds + 1))], "long.wav");
  await throws(() => decode(long, 44100), /only up to 30 minutes/);
});
