/** The page's side of the tape worker. */
import { Picture } from "./picture.js";

/** @typedef {import("./tape/tape.js").Stereo} Stereo */
/** @typedef {import("./tape/export.js").Item} Item */

/** Starts the worker once and passes requests to it. */
export class TapeDeck {
  #worker = new Worker(new URL("./tape/worker.js", import.meta.url), { type: "module", name: "unbraid-tape" });
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */ #open = new Map();
  /** @type {Map<number, TapeHandle>} */ #tapes = new Map();
  #next = 0;

  constructor() {
    this.#worker.onmessage = ({ data }) => {
      if (data.event === "cells") this.#tapes.get(data.song)?.addCells(data);
      else if (data.event === "export") this.#tapes.get(data.song)?.onExport(data.share);
      else {
        const call = this.#open.get(data.id);
        this.#open.delete(data.id);
        if (data.error) call?.reject(new DOMException(data.error.message, data.error.name));
        else call?.resolve(data.result);
      }
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#open.values()) reject(new Error(event.message || "the storage worker could not start"));
      this.#open.clear();
    };
  }

  /**
   * @param {string} call
   * @param {object} request
   * @param {Transferable[]} [transfer]
   * @returns {Promise<any>}
   */
  ask(call, request, transfer = []) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#open.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call, request }, transfer);
    });
  }

  /**
   * @param {number} song
   * @param {{tracks: number, sampleRate: number, expected: number}} shape `expected` in frames
   */
  async openTape(song, { tracks, sampleRate, expected }) {
    const tape = new TapeHandle(this, song, tracks, sampleRate, expected);
    this.#tapes.set(song, tape);
    const { onDisk, hop } = await this.ask("open", { song, tracks, sampleRate, expected });
    tape.onDisk = onDisk;
    for (let track = 0; track < tracks; track++) tape.pictures.set(String(track), new Picture(hop, [track]));
    tape.hop = hop;
    return tape;
  }

  /** @param {number} song */
  async closeTape(song) {
    if (this.#tapes.delete(song)) await this.ask("close", { song });
  }
}

/** One song's tape, as the page sees it. Events: `grow`, `cells`, `export`. */
export class TapeHandle extends EventTarget {
  #deck;
  #song;
  /** @type {Map<string, Picture>} */ pictures = new Map();
  hop = 0;
  frames = 0;
  finished = false;
  /** Something of it, as it is now, was downloaded. */ saved = false;
  /** Frames of the first block: a whole number of steps from one segment to the next. */ firstBlock = 0;
  onDisk = false;

  /** @param {TapeDeck} deck @param {number} song @param {number} tracks @param {number} sampleRate @param {number} expected */
  constructor(deck, song, tracks, sampleRate, expected) {
    super();
    this.#deck = deck;
    this.#song = song;
    this.tracks = tracks;
    this.sampleRate = sampleRate;
    this.expected = expected;
  }

  /** Frames that the whole will have: what is expected, or what came. */
  get length() {
    return this.finished ? this.frames : Math.max(this.expected, this.frames);
  }

  /** @param {Stereo[]} block whose buffers are handed over */
  async append(block) {
    const transfer = block.flatMap((pair) => pair.map(({ buffer }) => buffer));
    const { frames } = await this.#deck.ask("append", { song: this.#song, block }, transfer);
    this.frames = frames;
    this.firstBlock ||= frames;
    this.dispatchEvent(new Event("grow"));
  }

  async finish() {
    await this.#deck.ask("finish", { song: this.#song });
    this.finished = true;
    this.dispatchEvent(new Event("grow"));
    this.dispatchEvent(new Event("cells"));
  }

  /** More audio follows after a `finish`. */
  async reopen() {
    this.finished = false;
    this.saved = false;
    for (const picture of this.pictures.values()) picture.clear();
    const keys = [...this.pictures].map(([key, { tracks }]) => [key, tracks]);
    await this.#deck.ask("reopen", { song: this.#song, keys });
  }

  /** @param {number} from frame @param {number} count frames @returns {Promise<Stereo[]>} all tracks */
  read(from, count) {
    const tracks = Array.from({ length: this.tracks }, (_, track) => track);
    return this.#deck.ask("read", { song: this.#song, tracks, from, count });
  }

  /**
   * The picture of a sum of tracks, drawn on demand.
   * @param {number[]} tracks
   */
  pictureOf(tracks) {
    const key = tracks.join("+");
    let picture = this.pictures.get(key);
    if (!picture) {
      picture = new Picture(this.hop, tracks);
      this.pictures.set(key, picture);
      this.#deck.ask("addPicture", { song: this.#song, key, tracks }).catch(() => {});
    }
    return picture;
  }

  /**
   * @param {{items: Item[], format: import("./wav.js").SampleFormat, zip: boolean}} request
   * @returns {Promise<{blob: Blob, clipped: number}>}
   */
  export(request) {
    return this.#deck.ask("export", { song: this.#song, ...request });
  }

  cancelExport() {
    return this.#deck.ask("cancelExport", {});
  }

  /** @param {{key: string, first: number, peaks: Float32Array, spectrum: Uint8Array}} cells */
  addCells({ key, first, peaks, spectrum }) {
    this.pictures.get(key)?.add(first, peaks, spectrum);
    this.dispatchEvent(new CustomEvent("cells", { detail: key }));
  }

  /** @param {number} share */
  onExport(share) {
    this.dispatchEvent(new CustomEvent("export", { detail: share }));
  }
}
