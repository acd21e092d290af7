// The page: choices, a table that grows, a report. The address may choose too: ?device=cpu&only=a,b&run

const $ = (id) => document.getElementById(id);
const choices = $("choices");
const address = new URLSearchParams(location.search);
if (address.has("device")) choices.device.value = address.get("device");
if (address.has("only")) choices.only.value = address.get("only");

let worker = null;
let report = null;
/** The report so far, for whoever drives this page: complete once `finished` is true. */
globalThis.conformance = () => report;

choices.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
$("stop").addEventListener("click", () => end("Stopped."));
if (address.has("run")) run();

function run() {
  worker?.terminate();
  $("rows").replaceChildren();
  $("download").hidden = true;
  report = { browser: navigator.userAgent, finished: false, seconds: {}, entries: [] };
  const device = choices.device.value;
  const only = choices.only.value.split(",").map((text) => text.trim());
  if (device === "gpu" && !navigator.gpu) return end("This browser offers no WebGPU here. Choose the CPU path.", true);
  $("run").disabled = true;
  $("stop").hidden = $("progress").hidden = false;
  $("progress").removeAttribute("value");
  $("status").textContent = "Opening the device …";
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.onerror = (event) => end(`The worker broke down: ${event.message}`, true);
  worker.onmessage = ({ data }) => {
    if (data.error) end(`The run broke down: ${data.error}`, true);
    else if (data.open) {
      Object.assign(report, data.open);
      $("progress").max = data.open.chosen;
      $("progress").value = 0;
    } else if (data.began) {
      $("status").textContent = `${report.adapter}${report.software ? " (software adapter)" : ""}: ${data.began} …`;
    } else if (data.entries) {
      report.entries.push(...data.entries);
      report.seconds[data.name] = data.seconds;
      $("rows").append(...data.entries.map(row));
      $("progress").value += 1;
    } else if (data.done) end(null);
  };
  worker.postMessage({ device, only });
}

function end(message, broken = false) {
  worker?.terminate();
  worker = null;
  $("run").disabled = false;
  $("stop").hidden = $("progress").hidden = true;
  const count = (verdict) => report.entries.filter((entry) => verdict(entry.verdict)).length;
  const passed = count((verdict) => verdict === "pass");
  const failed = count((verdict) => verdict === "fail");
  const skipped = report.entries.length - passed - failed;
  const sum = `${passed} passed, ${failed} failed, ${skipped} skipped`;
  $("status").textContent = message ? `${message} So far: ${sum}.` : `Done on ${report.adapter}: ${sum}.`;
  report.finished = true;
  if (broken) report.error = message;
  const text = JSON.stringify(report, null, 1);
  URL.revokeObjectURL($("download").href);
  $("download").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  $("download").hidden = false;
}

function row({ case: name, tensor, max_error, snr_db, bound, reason, verdict }) {
  const word = typeof verdict === "string" ? verdict : "skipped";
  const small = (value) => (value == null ? "–" : value.toExponential(2));
  const cells = [name, tensor, small(max_error), snr_db == null ? "–" : snr_db.toFixed(1), small(bound), word, verdict.skipped ?? reason];
  const line = document.createElement("tr");
  cells.forEach((text, index) => {
    const cell = line.insertCell();
    cell.textContent = text;
    if (index >= 2 && index <= 4) cell.className = "number";
    if (index === 5) cell.className = word;
  });
  return line;
}
