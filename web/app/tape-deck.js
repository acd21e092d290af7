/** The page's side of the tape worker. */
import { Picture } from "./picture.js";

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
    for (let track = 0; track < tracks; track++) tape.pictures.set(String(track), new Picture(hop, [track]));
    tape.hop = hop;
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
    await this.#deck.ask("finish", { song: this.#song });
    this.finished = true;
    this.dispatchEvent(new Event("grow"));
    this.dispatchEvent(new Event("cells"));
  }

  /** Allows more appends after `finish`. */
  async reopen() {
    this.finished = false;
    this.saved = false;
    for (const picture of this.pictures.values()) picture.clear();
    const keys = [...this.pictures].map(([key, { tracks }]) => /** @type {[string, number[]]} */ ([key, tracks]));
    await this.#deck.ask("reopen", { song: this.#song, keys });
  }

  /** @param {number} from frame @param {number} count frames @returns {Promise<Stereo[]>} all tracks */
  read(from, count) {
    const tracks = Array.from({ length: this.tracks }, (_, track) => track);
    return this.#deck.ask("read", { song: this.#song, tracks, from, count });
  }

  /**
   * The picture of a sum of tracks. The first call for a sum starts to draw it.
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
