/** The tape worker: stores finished audio on disk, reads it for playback, draws its pictures and writes downloads. */
import { Shelf } from "./files.js";
import { Tape } from "./tape.js";
import { exportSize, writeExport } from "./export.js";
import { oneTrack } from "../mix.js";

/** @import { FromTape, TapeCalls, TapeRequest } from "../../types/protocol.d.ts" */

const shelf = Shelf.open();
/** @type {Map<number, Tape>} */
const tapes = new Map();
/** The last call for each song; the calls for one song run in order. @type {Map<number, Promise<unknown>>} */
const queues = new Map();
/** Number of the current download; another number cancels it. */
let exporting = 0;
/** The file of the last download. @type {{remove: () => Promise<void>}|null} */
let lastExport = null;

/** @param {FromTape} message @param {Transferable[]} [transfer] */
function send(message, transfer = []) {
  postMessage(message, { transfer });
}

/** @param {number} song */
function tapeOf(song) {
  const tape = tapes.get(song);
  if (!tape) throw new Error("this song was removed");
  return tape;
}

/** @template T @param {number} song @param {() => Promise<T>|T} work @returns {Promise<T>} */
function inOrder(song, work) {
  const next = (queues.get(song) ?? Promise.resolve()).then(work);
  queues.set(song, next.catch(() => {}));
  return next;
}

/**
 * @type {{[C in keyof TapeCalls]: (request: TapeCalls[C]["request"]) => TapeCalls[C]["result"]|Promise<TapeCalls[C]["result"]>}}
 */
const calls = {
  open: ({ song, tracks, sampleRate, expected }) => inOrder(song, async () => {
    await tapes.get(song)?.remove();
    const tape = new Tape(sampleRate, expected, (key, { first, peaks, spectrum }) => {
      if (peaks.length === 0) return;
      send({ event: "cells", song, key, first, peaks, spectrum }, [peaks.buffer, spectrum.buffer]);
    });
    tapes.set(song, tape);
    await tape.open(await shelf, `song-${song}-${Date.now()}`, tracks);
    for (let track = 0; track < tracks; track++) await tape.addPicture(oneTrack(tracks, track));
    return { hop: tape.hop };
  }),

  append: ({ song, block }) => inOrder(song, async () => {
    const tape = tapeOf(song);
    await tape.append(block);
    return { frames: tape.frames };
  }),

  finish: ({ song }) => inOrder(song, () => {
    const tape = tapeOf(song);
    tape.finish();
    return { sumSnr: tape.sumSnr };
  }),

  reopen: ({ song, pictures }) => inOrder(song, () => {
    const tape = tapeOf(song);
    tape.reopen();
    // Not awaited: the pictures catch up while more audio is appended.
    for (const gains of pictures) tape.addPicture(gains).catch(() => {});
  }),

  addPicture: ({ song, gains }) => tapeOf(song).addPicture(gains),

  read: ({ song, tracks, from, count }) => tapeOf(song).read(tracks, from, count),

  export: async ({ song, items, format, zip }) => {
    const tape = tapeOf(song);
    const size = exportSize(items, format, tape.frames, zip);
    const ticket = ++exporting;
    await lastExport?.remove();
    const file = await (await shelf).create(`download-${ticket}-${Date.now()}`);
    lastExport = file;
    try {
      let reported = 0;
      const { clipped } = await writeExport(tape, file, { items, format, zip }, new Date(), (share) => {
        if (share - reported < 0.01) return;
        reported = share;
        send({ event: "export", song, share });
      }, () => ticket !== exporting);
      if (file.size !== size) throw new Error(`the download has ${file.size} bytes instead of ${size}`);
      return { blob: await file.toBlob(), clipped };
    } catch (error) {
      await file.remove();
      lastExport = null;
      throw error;
    }
  },

  cancelExport: () => { exporting += 1; },

  close: ({ song }) => inOrder(song, async () => {
    await tapes.get(song)?.remove();
    tapes.delete(song);
  }),
};

/** @template {keyof TapeCalls} C @param {TapeRequest<C>} message */
function perform({ call, request }) {
  return calls[call](request);
}

onmessage = async (/** @type {MessageEvent<TapeRequest>} */ { data }) => {
  const { id } = data;
  try {
    const result = await perform(data);
    // Only `read` returns an array: the samples of each track.
    const transfer = Array.isArray(result) ? result.flatMap((pair) => pair.map(({ buffer }) => buffer)) : [];
    send({ id, result }, transfer);
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    send({ id, error: { name, message } });
  }
};
