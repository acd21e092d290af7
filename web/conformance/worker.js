// Runs the conformance cases away from the page. {device, only: [texts]} → {open}, {began}, {entries}, {done} or {error}.

import init, { Conformance, names } from "./wasm/conformance_web.js";

self.onerror = (event) => postMessage({ error: String(event?.message ?? event) });
self.onunhandledrejection = ({ reason }) => postMessage({ error: String(reason?.message ?? reason) });

self.onmessage = async ({ data: { device, only } }) => {
  await init({ module_or_path: new URL("./wasm/conformance_web_bg.wasm", import.meta.url) });
  const run = await Conformance.open(device);
  const all = names();
  const chosen = all.map((name, index) => ({ name, index })).filter(({ name }) => only.some((text) => name.includes(text)));
  postMessage({ open: { device, adapter: await adapter(device), software: run.software, limits: run.limits, all: all.length, chosen: chosen.length } });
  for (const { name, index } of chosen) {
    postMessage({ began: name });
    const start = performance.now();
    const entries = JSON.parse(await run.run(index));
    postMessage({ entries, name, seconds: (performance.now() - start) / 1000 });
  }
  postMessage({ done: true });
};

async function adapter(device) {
  if (device !== "gpu") return "CPU path, one thread";
  const { description, vendor, architecture, device: model } = (await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }))?.info ?? {};
  return description || [vendor, architecture, model].filter(Boolean).join(" ") || "unnamed";
}
