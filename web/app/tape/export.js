/** Stems and mixes as WAV files, alone or in one zip archive, written slice by slice. */
import { WAV_LIMIT, encode, wavHeader, wavSize } from "../wav.js";
import { ZIP_LIMIT, ZipWriter, zipSize } from "../zip.js";
import { SLICE, breathe } from "./tape.js";

/** @typedef {import("../wav.js").SampleFormat} SampleFormat */
/** @typedef {{name: string, gains: number[]}} Item a file name with its ending, and the gain of each track */

/**
 * Refuses in words what would not fit, before anything is written.
 * @param {Item[]} items
 * @param {SampleFormat} format
 * @param {number} frames
 * @param {boolean} zip
 * @returns {number} bytes of the result
 */
export function exportSize(items, format, frames, zip) {
  const one = wavSize(format, 2, frames);
  if (one - 8 > WAV_LIMIT) {
    throw new RangeError("A WAV file ends at 4 GiB, and this one would be longer. Choose 16-bit samples, or separate a shorter part.");
  }
  if (!zip) return one;
  const whole = zipSize(items.map(({ name }) => ({ name, size: one })));
  if (whole > ZIP_LIMIT) {
    throw new RangeError("A zip file ends at 4 GiB, and this one would be longer. Choose fewer bits per sample, or download the stems one by one.");
  }
  return whole;
}

/**
 * Writes `items` to `sink`: one WAV file, or a zip archive of all.
 * @param {import("./tape.js").Tape} tape
 * @param {import("./files.js").Sink} sink
 * @param {{items: Item[], format: SampleFormat, zip: boolean, date: Date}} request
 * @param {(done: number) => void} onProgress share of the work, 0 to 1
 * @param {() => boolean} cancelled
 * @returns {Promise<{clipped: number}>} samples held at full scale
 */
export async function writeExport(tape, sink, { items, format, zip, date }, onProgress, cancelled) {
  const { frames, sampleRate } = tape;
  let clipped = 0;
  let passed = 0;

  /** @param {Item} item @param {(bytes: Uint8Array<ArrayBuffer>) => Promise<void>|void} put */
  const wav = async (item, put) => {
    await put(wavHeader(format, 2, sampleRate, frames));
    for (let from = 0; from < frames; from += SLICE) {
      if (cancelled()) throw new DOMException("Cancelled", "AbortError");
      const count = Math.min(SLICE, frames - from);
      const encoded = encode(format, await mixed(tape, item.gains, from, count));
      clipped += encoded.clipped;
      await put(encoded.bytes);
      passed += count;
      onProgress(passed / (frames * items.length));
      await breathe();
    }
    // Every frame has an even number of bytes, so no padding byte is needed.
  };

  if (zip) {
    const writer = new ZipWriter(sink, date);
    for (const item of items) await writer.entry(item.name, (put) => wav(item, put));
    await writer.finish();
  } else {
    await wav(items[0], (bytes) => sink.append(bytes));
  }
  return { clipped };
}

/**
 * @param {import("./tape.js").Tape} tape
 * @param {number[]} gains
 * @param {number} from
 * @param {number} count
 */
async function mixed(tape, gains, from, count) {
  const audible = gains.flatMap((gain, track) => (gain === 0 ? [] : [track]));
  if (audible.length === 1 && gains[audible[0]] === 1) return tape.readInterleaved(audible[0], from, count);
  const out = new Float32Array(2 * count);
  for (const track of audible) {
    const gain = gains[track];
    const samples = await tape.readInterleaved(track, from, count);
    for (let i = 0; i < out.length; i++) out[i] += gain * samples[i];
  }
  return out;
}
