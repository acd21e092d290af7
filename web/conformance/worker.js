// Runs the conformance cases outside the page's thread. ../types/protocol.d.ts describes its messages.

import init, { Conformance, names } from "./wasm/conformance_web.js";

/** @import { FromConformance, ToConformance } from "../types/protocol.d.ts" */

/** @param {FromConformance} message */
const send = (message) => postMessage(message);

self.onerror = (event) => send({ type: "error", message: event instanceof ErrorEvent ? event.message : String(event) });
self.onunhandledrejection = ({ reason }) => send({ type: "error", message: String(reason?.message ?? reason) });

self.onmessage = async (/** @type {MessageEvent<ToConformance>} */ { data: { device, only } }) => {
  await init({ module_or_path: new URL("./wasm/conformance_web_bg.wasm", import.meta.url) });
  const run = await Conformance.open(device);
  const all = names();
  const chosen = all.map((name, index) => ({ name, index })).filter(({ name }) => only.some((text) => name.includes(text)));
  const { software, limits } = run;
  send({ type: "open", open: { device, adapter: await adapter(device), software, limits, all: all.length, chosen: chosen.length } });
  for (const { name, index } of chosen) {
    send({ type: "began", name });
    const start = performance.now();
    const entries = JSON.parse(await run.run(index));
    send({ type: "entries", name, entries, seconds: (performance.now() - start) / 1000 });
  }
  send({ type: "done" });
};

/** @param {string} device */
async function adapter(device) {
  if (device !== "gpu") return "CPU, one thread";
  const { description, vendor, architecture, device: model } = (await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }))?.info ?? {};
  return description || [vendor, architecture, model].filter(Boolean).join(" ") || "unnamed";
}
