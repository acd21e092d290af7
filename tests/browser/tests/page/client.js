// A client of the separation worker, for any document of the page's origin. The tests prepend it to their scripts.

/** @import { BlockMessage, Device, DeviceChoice, ErrorMessage, FromWorker, ModelInfo, ToWorker } from "../../../../web/types/protocol.d.ts" */

function openWorker() {
  const worker = new Worker("/worker.js", { type: "module" });
  /** @type {FromWorker[]} */
  const messages = [];
  /** @type {Set<() => void>} */
  const waiting = new Set();
  const receive = (/** @type {FromWorker} */ message) => {
    messages.push(message);
    waiting.forEach((check) => check());
  };
  worker.onmessage = ({ data }) => receive(data);
  worker.onerror = (event) => receive({ type: "error", job: null, kind: "bug", message: event.message });
  return {
    messages,
    device: /** @type {Device|null} */ (null),
    model: /** @type {ModelInfo|null} */ (null),
    send: (/** @type {ToWorker} */ message) => worker.postMessage(message),
    /**
     * The first message from index `from` on that `wanted` accepts. Rejects if an unwanted error comes.
     * @template {FromWorker} M
     * @param {(message: FromWorker) => message is M} wanted
     * @param {number} [from]
     * @returns {Promise<M>}
     */
    until: (wanted, from = 0) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const found = messages.slice(from).find(wanted);
          const error = messages.slice(from).find(is("error"));
          if (!found && !error) return;
          waiting.delete(check);
          if (found) resolve(found);
          else reject(new Error(`${error?.kind}: ${error?.message}`));
        };
        waiting.add(check);
        check();
      }),
    end: () => worker.terminate(),
  };
}

/** @template {FromWorker["type"]} T @param {T} type */
function is(type) {
  /** @param {FromWorker} message @returns {message is Extract<FromWorker, {type: T}>} */
  const matches = (message) => message.type === type;
  return matches;
}

/** @param {DeviceChoice} device @param {number|null} [workers] without a GPU */
async function started(device, workers = null) {
  const worker = openWorker();
  worker.send({ type: "start", device, workers });
  worker.device = (await worker.until(is("ready"))).device;
  return worker;
}

/** @param {DeviceChoice} device @param {number|null} [workers] without a GPU */
async function withModel(device, workers = null) {
  const worker = await started(device, workers);
  const file = await (await fetch("/models/default.safetensors")).blob();
  worker.send({ type: "model", request: 1, file });
  worker.model = (await worker.until(is("model"))).model;
  return worker;
}

/** The chosen file in the input of this document. */
const chosen = () => /** @type {HTMLInputElement} */ (document.querySelector("input[type=file]")).files?.[0];

/** Joins blocks: planar stereo of the mixture and of each stem, in base64. @param {BlockMessage[]} blocks */
function together(blocks) {
  let end = 0;
  for (const block of blocks) {
    if (block.start !== end) throw new Error(`a block starts at ${block.start}, not at ${end}`);
    end += block.mixture[0].length;
  }
  const join = (/** @type {Float32Array[][]} */ channels) => {
    const whole = new Float32Array(end * 2);
    channels.forEach((channel, index) => {
      let at = index * end;
      for (const part of channel) {
        whole.set(part, at);
        at += part.length;
      }
    });
    const bytes = new Uint8Array(whole.buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
    return btoa(text);
  };
  const stems = blocks[0].stems.map((_, stem) => join([0, 1].map((channel) => blocks.map((block) => block.stems[stem][channel]))));
  return { samples: end, mixture: join([0, 1].map((channel) => blocks.map((block) => block.mixture[channel]))), stems };
}
