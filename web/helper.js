// A helper of the separation worker: computes single segments. pool.js starts it and sends it segments.

import init, { Helper, heapBytes } from "./wasm/unbraid_wasm.js";

/** @import { FromHelper, ToHelper } from "./types/protocol.d.ts" */

/** @type {Helper|null} */
let helper = null;

/** The end of the last message's work. One segment is computed at a time. */
let last = Promise.resolve();

self.onmessage = (/** @type {MessageEvent<ToHelper>} */ { data }) => {
  last = last.then(() => handle(data));
};

/** @param {ToHelper} data */
async function handle(data) {
  try {
    if (data.type === "start") {
      await init({ module_or_path: data.module });
      helper = new Helper(new Uint8Array(await data.model.arrayBuffer()));
      send({ type: "ready", heap: heapBytes() });
    } else {
      const stems = await /** @type {Helper} */ (helper).run(...data.segment);
      send({ type: "stems", stems, heap: heapBytes() }, stems.flat().map(({ buffer }) => buffer));
    }
  } catch (error) {
    fail(error);
  }
}

// A panic inside an asynchronous call rejects no promise. The browser reports it here.
self.onerror = (event) => fail(event instanceof ErrorEvent ? event.message : event);
self.onunhandledrejection = (event) => fail(event.reason);

/** @param {unknown} error */
function fail(error) {
  send({ type: "failed", message: String(/** @type {Partial<Error>|null} */ (error)?.message ?? error) });
}

/** @param {FromHelper} message @param {Transferable[]} [transfer] */
function send(message, transfer = []) {
  postMessage(message, { transfer });
}
