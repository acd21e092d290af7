/** The tape worker: keeps finished audio on disk, reads it back for playing, draws its pictures, writes downloads. */
import { Shelf } from "./files.js";
import { Tape } from "./tape.js";
import { exportSize, writeExport } from "./export.js";

const shelf = Shelf.open();
/** @type {Map<number, Tape>} */
const tapes = new Map();
/** Appends to one song go one after the other. @type {Map<number, Promise<unknown>>} */
const queues = new Map();
let exporting = 0;
/** @type {{remove: () => Promise<void>}|null} the last download's file */
let lastExport = null;

/** @param {number} song */
function tapeOf(song) {
  const tape = tapes.get(song);
  if (!tape) throw new Error("this song is no longer here");
  return tape;
}

/** @template T @param {number} song @param {() => Promise<T>|T} work @returns {Promise<T>} */
function inOrder(song, work) {
  const next = (queues.get(song) ?? Promise.resolve()).then(work);
  queues.set(song, next.catch(() => {}));
  return next;
}

const calls = {
  /** @param {{song: number, tracks: number, sampleRate: number, expected: number}} request */
  open: ({ song, tracks, sampleRate, expected }) => inOrder(song, async () => {
    await tapes.get(song)?.remove();
    const tape = new Tape(sampleRate, expected, (key, { first, peaks, spectrum }) => {
      if (peaks.length === 0) return;
      postMessage({ event: "cells", song, key, first, peaks, spectrum }, { transfer: [peaks.buffer, spectrum.buffer] });
    });
    tapes.set(song, tape);
    const open = await shelf;
    await tape.open(open, `song-${song}-${Date.now()}`, tracks);
    for (let track = 0; track < tracks; track++) await tape.addPicture(String(track), [track]);
    return { onDisk: open.onDisk, hop: tape.hop };
  }),

  /** @param {{song: number, block: import("./tape.js").Stereo[]}} request */
  append: ({ song, block }) => inOrder(song, async () => {
    const tape = tapeOf(song);
    await tape.append(block);
    return { frames: tape.frames };
  }),

  /** @param {{song: number}} request */
  finish: ({ song }) => inOrder(song, () => tapeOf(song).finish()),

  /** @param {{song: number, keys: [string, number[]][]}} request pictures to draw anew, since more audio will come */
  reopen: ({ song, keys }) => inOrder(song, () => {
    const tape = tapeOf(song);
    tape.reopen();
    // They catch up with the appends by themselves.
    for (const [key, tracks] of keys) tape.addPicture(key, tracks).catch(() => {});
  }),

  /** @param {{song: number, key: string, tracks: number[]}} request */
  addPicture: ({ song, key, tracks }) => tapeOf(song).addPicture(key, tracks),

  /** @param {{song: number, key: string}} request */
  removePicture: ({ song, key }) => tapeOf(song).removePicture(key),

  /** @param {{song: number, tracks: number[], from: number, count: number}} request */
  read: ({ song, tracks, from, count }) => tapeOf(song).read(tracks, from, count),

  /** @param {{song: number, items: import("./export.js").Item[], format: import("../wav.js").SampleFormat, zip: boolean}} request */
  export: async ({ song, items, format, zip }) => {
    const tape = tapeOf(song);
    const size = exportSize(items, format, tape.frames, zip);
    const ticket = ++exporting;
    await lastExport?.remove();
    const file = await (await shelf).create(`download-${ticket}-${Date.now()}`);
    lastExport = file;
    try {
      let told = 0;
      const { clipped } = await writeExport(tape, file, { items, format, zip, date: new Date() }, (share) => {
        if (share - told < 0.01) return;
        told = share;
        postMessage({ event: "export", song, share });
      }, () => ticket !== exporting);
      if (file.size !== size) throw new Error(`a download of ${file.size} bytes where ${size} were expected`);
      return { blob: await file.toBlob(), clipped };
    } catch (error) {
      await file.remove();
      lastExport = null;
      throw error;
    }
  },

  cancelExport: () => { exporting += 1; },

  /** @param {{song: number}} request */
  close: ({ song }) => inOrder(song, async () => {
    await tapes.get(song)?.remove();
    tapes.delete(song);
  }),
};

onmessage = async ({ data: { id, call, request } }) => {
  try {
    const result = await calls[/** @type {keyof typeof calls} */ (call)](request);
    const transfer = call === "read"
      ? /** @type {import("./tape.js").Stereo[]} */ (result).flatMap((pair) => pair.map(({ buffer }) => buffer))
      : [];
    postMessage({ id, result }, { transfer });
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    postMessage({ id, error: { name, message } });
  }
};
