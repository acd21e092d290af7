/** The page's side of the tape worker. */
import { oneTrack } from "./mix.js";
import { Picture } from "./picture.js";
import { pictureKey } from "./tape/picture.js";

/** @import { ExportRequest, FromTape, Stereo, TapeCalls } from "../types/protocol.d.ts" */

/** Starts the worker and sends calls to it. */
export class TapeDeck {
  #worker = new Worker(new URL("./tape/worker.js", import.meta.url), { type: "module", name: "unbraid-tape" });
  /**
   * The calls without a reply.
   * @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>}
   */
  #open = new Map();
  /** @type {Map<number, TapeHandle>} */ #tapes = new Map();
  #next = 0;

  constructor() {
    this.#worker.onmessage = (/** @type {MessageEvent<FromTape>} */ { data }) => {
      if ("event" in data) {
        const tape = this.#tapes.get(data.song);
        if (data.event === "cells") tape?.addCells(data);
        else tape?.onExport(data.share);
        return;
      }
      const call = this.#open.get(data.id);
      this.#open.delete(data.id);
      if ("error" in data) call?.reject(new DOMException(data.error.message, data.error.name));
      else call?.resolve(data.result);
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#open.values()) reject(new Error(event.message || "the tape worker could not start"));
      this.#open.clear();
    };
  }

  /**
   * @template {keyof TapeCalls} C
   * @param {C} call
   * @param {TapeCalls[C]["request"]} request
   * @param {Transferable[]} [transfer]
   * @returns {Promise<TapeCalls[C]["result"]>}
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
    const { hop } = await this.ask("open", { song, tracks, sampleRate, expected });
    tape.hop = hop;
    // The worker draws these from the start.
    for (let track = 0; track < tracks; track++) tape.addPicture(oneTrack(tracks, track));
    return tape;
  }

  /** @param {number} song */
  async closeTape(song) {
    if (this.#tapes.delete(song)) await this.ask("close", { song });
  }
}

/**
 * The page's handle of one song's tape. Events: `grow` (more audio, or its end), `cells` (more of a picture; `detail` is
 * its key), `export` (`detail` is the finished share of a download).
 */
export class TapeHandle extends EventTarget {
  #deck;
  #song;
  /** @type {Map<string, Picture>} */ pictures = new Map();
  hop = 0;
  frames = 0;
  finished = false;
  /** A part of the present audio was downloaded. */ saved = false;
  /**
   * Signal-to-noise ratio in dB of the sum of the stems against the original. Infinite if they are equal; null for a
   * silent original, and before the tape is finished.
   * @type {number|null}
   */
  sumSnr = null;
  /** Frames of the first block: a multiple of the step between segments. */ firstBlock = 0;

  /**
   * @param {TapeDeck} deck
   * @param {number} song
   * @param {number} tracks
   * @param {number} sampleRate
   * @param {number} expected
   */
  constructor(deck, song, tracks, sampleRate, expected) {
    super();
    this.#deck = deck;
    this.#song = song;
    this.tracks = tracks;
    this.sampleRate = sampleRate;
    this.expected = expected;
  }

  /** Frames of the whole tape: the expected number until the tape is finished. */
  get length() {
    return this.finished ? this.frames : Math.max(this.expected, this.frames);
  }

  /** @param {Stereo[]} block its buffers are transferred to the worker */
  async append(block) {
    const transfer = block.flatMap((pair) => pair.map(({ buffer }) => buffer));
    const { frames } = await this.#deck.ask("append", { song: this.#song, block }, transfer);
    this.frames = frames;
    this.firstBlock ||= frames;
    this.dispatchEvent(new Event("grow"));
  }

  async finish() {
    ({ sumSnr: this.sumSnr } = await this.#deck.ask("finish", { song: this.#song }));
    this.finished = true;
    this.dispatchEvent(new Event("grow"));
    this.dispatchEvent(new Event("cells"));
  }

  /** Allows more appends after `finish`. */
  async reopen() {
    this.finished = false;
    this.saved = false;
    this.sumSnr = null;
    for (const picture of this.pictures.values()) picture.clear();
    const pictures = [...this.pictures.values()].map(({ gains }) => gains);
    await this.#deck.ask("reopen", { song: this.#song, pictures });
  }

  /** @param {number} from frame @param {number} count frames @returns {Promise<Stereo[]>} all tracks */
  read(from, count) {
    const tracks = Array.from({ length: this.tracks }, (_, track) => track);
    return this.#deck.ask("read", { song: this.#song, tracks, from, count });
  }

  /**
   * The picture of a sum of tracks. The first call for a sum starts to draw it.
   * @param {number[]} gains of all tracks
   */
  pictureOf(gains) {
    const picture = this.pictures.get(pictureKey(gains));
    if (picture) return picture;
    this.#deck.ask("addPicture", { song: this.#song, gains }).catch(() => {});
    return this.addPicture(gains);
  }

  /** @param {number[]} gains of all tracks */
  addPicture(gains) {
    const picture = new Picture(this.hop, gains);
    this.pictures.set(pictureKey(gains), picture);
    return picture;
  }

  /**
   * @param {ExportRequest} request
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
