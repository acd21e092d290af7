// The page: the choices, a growing table and a report. The address can also choose: ?device=cpu&only=a,b&run

import { byId } from "../app/view/dom.js";

/** @import { ConformanceDevice, ConformanceEntry, FromConformance, ToConformance } from "../types/protocol.d.ts" */

/** @typedef {Partial<ConformanceDevice> & {browser: string, finished: boolean, seconds: Record<string, number>, entries: ConformanceEntry[], error?: string}} Report */

const choices = /** @type {HTMLFormElement} */ (byId("choices"));
const devices = /** @type {RadioNodeList} */ (choices.elements.namedItem("device"));
const filter = /** @type {HTMLInputElement} */ (choices.elements.namedItem("only"));
const start = /** @type {HTMLButtonElement} */ (byId("run"));
const stop = byId("stop");
const progress = /** @type {HTMLProgressElement} */ (byId("progress"));
const status = byId("status");
const download = /** @type {HTMLAnchorElement} */ (byId("download"));
const rows = byId("rows");

const address = new URLSearchParams(location.search);
devices.value = address.get("device") ?? devices.value;
filter.value = address.get("only") ?? filter.value;

/** @type {Worker|null} */
let worker = null;
/** @type {Report|null} */
let report = null;
// The report so far, for a program that drives this page. The report is complete once `finished` is true.
Object.assign(globalThis, { conformance: () => report });

choices.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
stop.addEventListener("click", () => { if (report) end(report, "Stopped."); });
if (address.has("run")) run();

function run() {
  worker?.terminate();
  rows.replaceChildren();
  download.hidden = true;
  /** @type {Report} */
  const current = { browser: navigator.userAgent, finished: false, seconds: {}, entries: [] };
  report = current;
  const device = devices.value;
  const only = filter.value.split(",").map((text) => text.trim());
  if (device === "gpu" && !navigator.gpu) return end(current, "This browser offers no WebGPU here. Choose the CPU.", true);
  start.disabled = true;
  stop.hidden = progress.hidden = false;
  progress.removeAttribute("value");
  status.textContent = "Opening the device …";
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.onerror = (event) => end(current, `The worker failed: ${event.message}`, true);
  worker.onmessage = (/** @type {MessageEvent<FromConformance>} */ { data }) => {
    switch (data.type) {
      case "open":
        Object.assign(current, data.open);
        progress.max = data.open.chosen;
        progress.value = 0;
        break;
      case "began":
        status.textContent = `${current.adapter}${current.software ? " (software adapter)" : ""}: ${data.name} …`;
        break;
      case "entries":
        current.entries.push(...data.entries);
        current.seconds[data.name] = data.seconds;
        rows.append(...data.entries.map(row));
        progress.value += 1;
        break;
      case "done":
        end(current, null);
        break;
      case "error":
        end(current, `The run failed: ${data.message}`, true);
        break;
    }
  };
  /** @type {ToConformance} */
  const request = { device, only };
  worker.postMessage(request);
}

/** @param {Report} report @param {string|null} message null at the regular end @param {boolean} [broken] */
function end(report, message, broken = false) {
  worker?.terminate();
  worker = null;
  start.disabled = false;
  stop.hidden = progress.hidden = true;
  const count = (/** @type {string} */ verdict) => report.entries.filter((entry) => entry.verdict === verdict).length;
  const [passed, failed] = [count("pass"), count("fail")];
  const skipped = report.entries.length - passed - failed;
  const sum = `${passed} passed, ${failed} failed, ${skipped} skipped`;
  status.textContent = message === null ? `Done on ${report.adapter}: ${sum}.` : `${message} So far: ${sum}.`;
  report.finished = true;
  if (broken && message !== null) report.error = message;
  const text = JSON.stringify(report, null, 1);
  URL.revokeObjectURL(download.href);
  download.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  download.hidden = false;
}

/** @param {ConformanceEntry} entry */
function row({ case: name, tensor, max_error, snr_db, bound, reason, verdict }) {
  const [word, why] = typeof verdict === "string" ? [verdict, reason] : ["skipped", verdict.skipped];
  const small = (/** @type {number|null} */ value) => (value === null ? "–" : value.toExponential(2));
  const cells = [name, tensor, small(max_error), snr_db === null ? "–" : snr_db.toFixed(1), small(bound), word, why];
  const line = document.createElement("tr");
  cells.forEach((text, index) => {
    const cell = line.insertCell();
    cell.textContent = text;
    if (index >= 2 && index <= 4) cell.className = "number";
    if (index === 5) cell.className = word;
  });
  return line;
}
