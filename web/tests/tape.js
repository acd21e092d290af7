import { equal, near, test, throws } from "./check.js";
import { readWav } from "./wav.js";
import { readZip } from "./zip.js";
import { oneTrack } from "../app/mix.js";
import { TapeDeck } from "../app/tape-deck.js";

/** @import { Stereo } from "../types/protocol.d.ts" */

/** A sample that depends on its track, channel and frame, so that any misplacement shows. */
const sample = (/** @type {number} */ track, /** @type {number} */ channel, /** @type {number} */ frame) => Math.fround(((frame * 7 + track * 13 + channel * 3) % 1000) / 4000);

/** @param {number} tracks @param {number} from @param {number} count @returns {Stereo[]} */
function blockOf(tracks, from, count) {
  return Array.from({ length: tracks }, (_, track) => /** @type {Stereo} */ ([0, 1].map((channel) => Float32Array.from({ length: count }, (_, i) => sample(track, channel, from + i)))));
}

const deck = new TapeDeck();

/** The picture of one track. */
const pictureOf = (/** @type {import("../app/tape-deck.js").TapeHandle} */ tape, /** @type {number} */ track) => tape.pictureOf(oneTrack(tape.tracks, track));

test("a tape returns the appended audio at any position, sample by sample", async () => {
  const tape = await deck.openTape(1, { tracks: 3, sampleRate: 44100, expected: 150_000 });
  let at = 0;
  for (const count of [70_000, 1, 79_999]) {
    await tape.append(blockOf(3, at, count));
    at += count;
  }
  equal(tape.frames, 150_000);
  const parts = await tape.read(69_998, 5);
  equal(parts.map((pair) => pair.map((channel) => [...channel])), blockOf(3, 69_998, 5).map((pair) => pair.map((channel) => [...channel])));
  await tape.finish();
  const single = pictureOf(tape, 1);
  await settle(() => single.count === Math.ceil(150_000 / tape.hop));
  const sum = tape.pictureOf([0, 1, 1]);
  await settle(() => sum.count === Math.ceil(150_000 / tape.hop));
  const first = Array.from({ length: tape.hop }, (_, i) => Math.max(sample(1, 0, i) + sample(2, 0, i), sample(1, 1, i) + sample(2, 1, i)));
  equal(sum.peaks[1], Math.fround(Math.max(...first)), "highest sample of the sum");
  const rest = tape.pictureOf([1, 0, -1]);
  await settle(() => rest.count === Math.ceil(150_000 / tape.hop));
  const least = Array.from({ length: tape.hop }, (_, i) => Math.min(sample(0, 0, i) - sample(2, 0, i), sample(0, 1, i) - sample(2, 1, i)));
  equal(rest.peaks[0], Math.fround(Math.min(...least)), "lowest sample of the difference");
  await deck.closeTape(1);
});

test("a block without a track is rejected and changes nothing", async () => {
  const tape = await deck.openTape(2, { tracks: 2, sampleRate: 44100, expected: 1000 });
  await tape.append(blockOf(2, 0, 400));
  await throws(() => tape.append(blockOf(1, 400, 100)), /wrong number/);
  await tape.append(blockOf(2, 400, 100));
  equal((await tape.read(399, 2)).map(([left]) => [...left]), blockOf(2, 399, 2).map(([left]) => [...left]));
  equal(tape.frames, 500);
  await deck.closeTape(2);
});

test("a finished tape can be reopened, and its pictures are complete again", async () => {
  const tape = await deck.openTape(3, { tracks: 2, sampleRate: 44100, expected: 20_000 });
  await tape.append(blockOf(2, 0, 9000));
  await tape.finish();
  await tape.reopen();
  await tape.append(blockOf(2, 9000, 11_000));
  await tape.finish();
  const picture = pictureOf(tape, 0);
  await settle(() => picture.count === Math.ceil(20_000 / tape.hop));
  const direct = await deck.openTape(4, { tracks: 2, sampleRate: 44100, expected: 20_000 });
  await direct.append(blockOf(2, 0, 20_000));
  await direct.finish();
  const other = pictureOf(direct, 0);
  await settle(() => other.count === picture.count);
  equal([...picture.peaks.slice(0, 2 * picture.count)], [...other.peaks.slice(0, 2 * other.count)]);
  await deck.closeTape(3);
  await deck.closeTape(4);
});

test("a finished tape knows how well its stems add up to the original", async () => {
  const frames = 5000;
  const noise = (/** @type {number} */ seed) => Float32Array.from({ length: frames }, (_, i) => Math.sin(seed * (i + 1) ** 2));
  const pair = (/** @type {(channel: number) => Float32Array<ArrayBuffer>} */ of) => /** @type {Stereo} */ ([of(0), of(1)]);
  const original = () => pair((channel) => noise(1 + channel));
  const [half, less] = [0.5, 0.49].map((gain) => () => pair((channel) => noise(1 + channel).map((sample) => gain * sample)));
  const silence = () => pair(() => new Float32Array(frames));
  const snr = async (/** @type {Stereo[][]} */ ...blocks) => {
    const tape = await deck.openTape(6, { tracks: 3, sampleRate: 44100, expected: 0 });
    for (const block of blocks) await tape.append(block);
    equal(tape.sumSnr, null);
    await tape.finish();
    await deck.closeTape(6);
    return tape.sumSnr;
  };
  equal(await snr([original(), half(), half()]), Infinity);
  near(await snr([original(), half(), less()]) ?? NaN, 40, 1e-4, "1 % is missing");
  // The second block is exact, so the share of the difference is halved.
  near(await snr([original(), half(), less()], [original(), half(), half()]) ?? NaN, 40 + 10 * Math.log10(2), 1e-4, "two blocks");
  equal(await snr([silence(), silence(), silence()]), null);
});

test("a download is a WAV file of the mix, or a zip archive of one WAV file per item", async () => {
  const frames = 140_000; // more than one slice
  const tape = await deck.openTape(5, { tracks: 3, sampleRate: 48000, expected: frames });
  await tape.append(blockOf(3, 0, frames));
  await tape.finish();
  const { blob, clipped } = await tape.export({ items: [{ name: "mix.wav", gains: [0, 1, 0.5] }], format: "float32", zip: false });
  const wav = readWav(new Uint8Array(await blob.arrayBuffer()));
  equal([wav.sampleRate, wav.fact, wav.samples.length, clipped], [48000, frames, 2 * frames, 0]);
  for (const frame of [0, 131_071, 131_072, frames - 1]) {
    for (const channel of [0, 1]) equal(wav.samples[2 * frame + channel], Math.fround(sample(1, channel, frame) + 0.5 * sample(2, channel, frame)), `frame ${frame}`);
  }
  const items = [1, 2].map((track) => ({ name: `song/${track}.wav`, gains: [0, 1, 2].map((other) => Number(other === track)) }));
  const zip = await tape.export({ items, format: "int24", zip: true });
  const entries = readZip(new Uint8Array(await zip.blob.arrayBuffer()));
  equal([...entries.keys()], ["song/1.wav", "song/2.wav"]);
  const second = readWav(/** @type {Uint8Array} */ (entries.get("song/2.wav")).slice());
  equal([second.bits, second.samples.length], [24, 2 * frames]);
  equal(Math.abs(second.samples[262_143] - sample(2, 1, 131_071)) <= 2 ** -24, true, "a sample of the second file");
  const loud = await tape.export({ items: [{ name: "loud", gains: [0, 100, 0] }], format: "int16", zip: false });
  equal(loud.clipped > 0, true, "clipped samples are counted");
  await deck.closeTape(5);
});

/** Waits up to 4 s for the cells of a picture. @param {() => boolean} ready */
async function settle(ready) {
  for (let i = 0; i < 200 && !ready(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  if (!ready()) throw new Error("the pictures were not finished within 4 s");
}
