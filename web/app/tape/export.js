/** Writes stems and mixes slice by slice: one WAV file, or a zip archive of WAV files. */
import { WAV_LIMIT, encode, wavHeader, wavSize } from "../wav.js";
import { ZIP_ENTRY_LIMIT, ZipWriter, zipSize } from "../zip.js";
import { SLICE, breathe } from "./tape.js";

/** @import { ExportItem, ExportRequest, SampleFormat } from "../../types/protocol.d.ts" */

/**
 * The size of an export. Throws a RangeError with a sentence for the person if a file would exceed 4 GiB.
 * @param {ExportItem[]} items
 * @param {SampleFormat} format
 * @param {number} frames
 * @param {boolean} zip
 * @returns {number} bytes of the result
 */
export function exportSize(items, format, frames, zip) {
  const one = wavSize(format, 2, frames);
  if (one - 8 > WAV_LIMIT || (zip && one > ZIP_ENTRY_LIMIT)) {
    throw new RangeError("This WAV file would exceed 4 GiB, the limit of the format. Choose fewer bits per sample, or separate a shorter part.");
  }
  return zip ? zipSize(items.map(({ name }) => ({ name, size: one }))) : one;
}

/**
 * Writes `items` to `sink`: one WAV file, or a zip archive.
 * @param {import("./tape.js").Tape} tape
 * @param {import("./files.js").Sink} sink
 * @param {ExportRequest} request
 * @param {Date} date of the files in the archive
 * @param {(done: number) => void} onProgress receives the finished share of the work, 0 to 1
 * @param {() => boolean} cancelled
 * @returns {Promise<{clipped: number}>} the number of samples that were limited to full scale
 */
export async function writeExport(tape, sink, { items, format, zip }, date, onProgress, cancelled) {
  const { frames, sampleRate } = tape;
  let clipped = 0;
  let passed = 0;

  /** @param {ExportItem} item @param {(bytes: Uint8Array<ArrayBuffer>) => Promise<void>|void} put */
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
    // No padding byte: every frame has an even number of bytes.
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
 * The sum of all tracks with their gains, interleaved.
 * @param {import("./tape.js").Tape} tape
 * @param {number[]} gains
 * @param {number} from frame
 * @param {number} count frames
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
