// Runs in a window before the page's own scripts and records what they do.

const watch = { workers: [], sent: [], violations: [], gaps: [], tasks: [] };

document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  watch.violations.push(`${violatedDirective}: ${blockedURI}`);
});

window.Worker = class extends Worker {
  constructor(...how) {
    super(...how);
    watch.workers.push(this);
  }

  postMessage(message, ...rest) {
    watch.sent.push(message?.file?.name);
    super.postMessage(message, ...rest);
  }
};

// Tasks of the main thread that took longer than 50 ms.
new PerformanceObserver((list) => watch.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });

// Uses the clock, because the timestamp of a delayed frame is the time at which it was due.
let before = null;
requestAnimationFrame(function frame() {
  const now = performance.now();
  if (before !== null) watch.gaps.push(now - before);
  before = now;
  requestAnimationFrame(frame);
});

/** Forgets the frames and tasks so far. */
watch.begin = () => Object.assign(watch, { gaps: [], tasks: [] });

/** An element by its hook, in the row of a stem if one is named. */
const $ = (hook, stem) => document.querySelector(`${stem ? `[data-stem="${stem}"] ` : ""}[data-test="${hook}"]`);

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Seconds that a clock shows. */
const seconds = (hook) => $(hook).textContent.split(":").reduce((whole, part) => 60 * whole + Number(part), 0);

/** The stems of the mixer that are audible. */
const heard = () => [...document.querySelectorAll('[data-test="track"][data-heard="true"]')].map((row) => row.dataset.stem);

const notices = () => [...document.querySelectorAll('[data-test="notice"]')].map((notice) => notice.querySelector("p").textContent);

/** Whether a canvas shows at least two colours. */
function painted(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint32Array(data.buffer);
  return pixels.some((pixel) => pixel !== pixels[0]);
}
