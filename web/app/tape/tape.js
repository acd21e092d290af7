/** The finished audio of one song: a file for each track (the original, then the stems), 32-bit float, interleaved. */
import { PictureBuilder, hopFor, pictureKey } from "./picture.js";

/** Bytes of one sample of both channels. */
const FRAME = 8;
/** Frames in one read of a pass over a whole song: 1 MB. */
export const SLICE = 131072;

/** @typedef {import("./files.js").TapeFile} TapeFile */
/** @typedef {import("./files.js").Shelf} Shelf */
/** @typedef {import("./picture.js").Cells} Cells */
/** @import { Stereo } from "../../types/protocol.d.ts" */

/**
 * Lets the worker receive messages during long work. Browsers slow down timers in hidden tabs, so this uses a message.
 */
export function breathe() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve(undefined); };
    port2.postMessage(null);
  });
}

export class Tape {
  /** @type {TapeFile[]} */ #files = [];
  /** @type {Map<string, {gains: number[], builder: PictureBuilder, fed: number, busy: boolean}>} */ #pictures = new Map();
  #onCells;
  #finished = false;
  #closed = false;
  /** The energy of the original, and of its difference from the sum of the stems. */
  #energy = { signal: 0, difference: 0 };
  /** Complete frames. */
  frames = 0;

  /**
   * @param {number} sampleRate
   * @param {number} expected frames, 0 if unknown
   * @param {(key: string, cells: Cells) => void} onCells
   */
  constructor(sampleRate, expected, onCells) {
    this.sampleRate = sampleRate;
    /** Samples per picture cell. */
    this.hop = hopFor(expected);
    this.#onCells = onCells;
  }

  /** @param {Shelf} shelf @param {string} name @param {number} tracks */
  async open(shelf, name, tracks) {
    for (let track = 0; track < tracks; track++) this.#files.push(await shelf.create(`${name}-${track}`));
  }

  /**
   * Appends a block to all tracks. If an error occurs, no track changes.
   * @param {Stereo[]} block
   */
  async append(block) {
    if (block.length !== this.#files.length) throw new Error("a block has the wrong number of tracks");
    const count = block[0][0].length;
    try {
      for (const [track, [left, right]] of block.entries()) {
        const both = new Float32Array(2 * count);
        for (let i = 0; i < count; i++) {
          both[2 * i] = left[i];
          both[2 * i + 1] = right[i];
        }
        await this.#files[track].append(new Uint8Array(both.buffer));
      }
    } catch (error) {
      // The disk may be full. All tracks must keep the same length.
      for (const file of this.#files) await file.truncate(this.frames * FRAME);
      throw error;
    }
    const before = this.frames;
    this.frames += count;
    this.#measure(block);
    for (const [key, picture] of this.#pictures) {
      if (picture.busy || picture.fed !== before) continue;
      picture.fed = this.frames;
      this.#onCells(key, picture.builder.push(...sum(picture.gains, block)));
    }
  }

  /** @param {Stereo[]} block */
  #measure([original, ...stems]) {
    let signal = 0;
    let difference = 0;
    for (const channel of [0, 1]) {
      const parts = stems.map((stem) => stem[channel]);
      for (let i = 0; i < original[channel].length; i++) {
        const sample = original[channel][i];
        let rest = sample;
        for (const part of parts) rest -= part[i];
        signal += sample * sample;
        difference += rest * rest;
      }
    }
    this.#energy.signal += signal;
    this.#energy.difference += difference;
  }

  /** Ends the tape. Only `reopen` allows more appends. */
  finish() {
    this.#finished = true;
    for (const [key, picture] of this.#pictures) {
      if (!picture.busy && picture.fed === this.frames) this.#onCells(key, picture.builder.finish());
    }
  }

  /**
   * Signal-to-noise ratio in dB of the sum of the stems against the original; null for a silent original. Infinite if
   * they are equal.
   */
  get sumSnr() {
    const { signal, difference } = this.#energy;
    return signal === 0 ? null : 10 * Math.log10(signal / difference);
  }

  /**
   * Draws another picture: of the sum of the tracks, from the start.
   * @param {number[]} gains of all tracks
   */
  async addPicture(gains) {
    const key = pictureKey(gains);
    const builder = new PictureBuilder(this.hop, this.sampleRate);
    const picture = { gains, builder, fed: 0, busy: true };
    this.#pictures.set(key, picture);
    const tracks = gains.flatMap((gain, track) => (gain === 0 ? [] : [track]));
    while (picture.fed < this.frames && this.#pictures.get(key) === picture && !this.#closed) {
      const count = Math.min(SLICE, this.frames - picture.fed);
      const parts = await this.read(tracks, picture.fed, count);
      picture.fed += count;
      this.#onCells(key, builder.push(...sum(tracks.map((track) => gains[track]), parts)));
      await breathe();
    }
    picture.busy = false;
    if (this.#finished && this.#pictures.get(key) === picture) this.#onCells(key, builder.finish());
  }

  /** Allows more appends after `finish`. The caller adds the pictures again. */
  reopen() {
    this.#finished = false;
  }

  /**
   * @param {number} track
   * @param {number} from frame
   * @param {number} count frames
   * @returns {Promise<Float32Array<ArrayBuffer>>} interleaved
   */
  async readInterleaved(track, from, count) {
    const bytes = await this.#files[track].read(from * FRAME, (from + count) * FRAME);
    return new Float32Array(bytes.buffer);
  }

  /**
   * @param {number[]} tracks
   * @param {number} from frame
   * @param {number} count frames
   * @returns {Promise<Stereo[]>}
   */
  async read(tracks, from, count) {
    const out = /** @type {Stereo[]} */ ([]);
    for (const track of tracks) {
      const both = await this.readInterleaved(track, from, count);
      const left = new Float32Array(count);
      const right = new Float32Array(count);
      for (let i = 0; i < count; i++) {
        left[i] = both[2 * i];
        right[i] = both[2 * i + 1];
      }
      out.push([left, right]);
    }
    return out;
  }

  async remove() {
    this.#closed = true;
    this.#pictures.clear();
    for (const file of this.#files) await file.remove();
    this.#files = [];
    this.frames = 0;
  }
}

/**
 * @param {number[]} gains one per part
 * @param {Stereo[]} parts
 * @returns {Stereo}
 */
function sum(gains, parts) {
  const heard = gains.flatMap((gain, part) => (gain === 0 ? [] : [{ gain, samples: parts[part] }]));
  if (heard.length === 1 && heard[0].gain === 1) return heard[0].samples;
  const count = parts[0][0].length;
  /** @type {Stereo} */
  const out = [new Float32Array(count), new Float32Array(count)];
  for (const { gain, samples } of heard) {
    for (const [channel, whole] of out.entries()) {
      for (let i = 0; i < count; i++) whole[i] += gain * samples[channel][i];
    }
  }
  return out;
}
