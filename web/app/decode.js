/** Decodes songs with the browser's own decoder, for formats that the separation program does not read. */
import { BYTES_PER_SAMPLE, wavHeader } from "./wav.js";
import { bytes, spoken } from "./format.js";

/** Bounds, because the browser decodes a song as a whole in memory: of the file in bytes, of the song in seconds. */
export const LIMITS = { file: 300e6, seconds: 30 * 60 };

/** A file whose length is not known may have this many bytes. 30 minutes at the usual 128 kbit/s. */
const UNTIMED = 30e6;

/** Bytes of the decoded samples: the separation program reads no larger file. */
const MOST_SAMPLES = 2e9;

/** Seconds by which the decoded song may differ from the length that the file states. */
const TOLERANCE = 0.5;

/** Frames that become bytes at a time, so that the page stays responsive. */
const PART = 1 << 20;

/** @typedef {{file: File, notices: string[]}} Decoded a wav file with the song, and what a person should know about it */

/**
 * @param {File} file
 * @param {number} sampleRate of the result in Hz
 * @returns {Promise<Decoded|null>} null if the browser does not know the format either
 * @throws {Error} with a reason for the person, if the song is too large
 */
export async function decode(file, sampleRate) {
  if (file.size > LIMITS.file) {
    throw new Error(`The browser could decode it, but only up to ${bytes(LIMITS.file)}, and the file has ${bytes(file.size)}`);
  }
  const stated = await length(file);
  if (stated === null) return null;
  if (stated > LIMITS.seconds || (!Number.isFinite(stated) && file.size > UNTIMED)) {
    const own = Number.isFinite(stated) ? `the song has ${spoken(stated)}` : "the length of the song is not known";
    throw new Error(`The browser could decode it, but only up to ${spoken(LIMITS.seconds)}, and ${own}`);
  }
  const context = new OfflineAudioContext(2, 1, sampleRate);
  const buffer = await file.arrayBuffer().then((data) => context.decodeAudioData(data)).catch(() => null);
  if (!buffer || buffer.length === 0) return null;
  if (buffer.length * buffer.numberOfChannels * BYTES_PER_SAMPLE.float32 > MOST_SAMPLES) {
    throw new Error(`The browser decoded it, but the samples of its ${buffer.numberOfChannels} channels exceed ${bytes(MOST_SAMPLES)}`);
  }
  const notices = [`the browser decoded it, at ${sampleRate} Hz`];
  if (Number.isFinite(stated) && Math.abs(stated - buffer.duration) > TOLERANCE) {
    notices.push(`its length should be ${stated.toFixed(2)} s, and the browser decoded ${buffer.duration.toFixed(2)} s`);
  }
  return { file: await wav(buffer, file.name), notices };
}

/**
 * The length in seconds that the browser finds in a file's header: infinite if it is not stated, and null if the
 * browser does not know the format.
 * @param {File} file @returns {Promise<number|null>}
 */
function length(file) {
  return new Promise((resolve) => {
    const audio = document.createElement("audio");
    // Without the type, which is derived from the file's name, the browser looks at the content.
    const url = URL.createObjectURL(file.slice(0, file.size, ""));
    const settle = (/** @type {number|null} */ seconds) => {
      audio.removeAttribute("src");
      URL.revokeObjectURL(url);
      resolve(seconds);
    };
    audio.addEventListener("loadedmetadata", () => settle(audio.duration), { once: true });
    audio.addEventListener("error", () => settle(null), { once: true });
    audio.preload = "metadata";
    audio.src = url;
  });
}

/** @param {AudioBuffer} buffer @param {string} name */
async function wav(buffer, name) {
  const { numberOfChannels: channels, length: frames, sampleRate } = buffer;
  /** @type {BlobPart[]} */
  const parts = [wavHeader("float32", channels, sampleRate, frames)];
  const planes = Array.from({ length: channels }, (_, channel) => buffer.getChannelData(channel));
  for (let start = 0; start < frames; start += PART) {
    const count = Math.min(PART, frames - start);
    const samples = new Float32Array(count * channels);
    planes.forEach((plane, channel) => {
      for (let i = 0; i < count; i++) samples[i * channels + channel] = plane[start + i];
    });
    // A blob leaves the memory of the page.
    parts.push(new Blob([samples]));
    await new Promise((resolve) => setTimeout(resolve));
  }
  return new File(parts, `${name}.wav`);
}
