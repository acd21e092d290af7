// Runs in a window before the page's own scripts, and records what they do.

const watch = {
  workers: /** @type {Worker[]} */ ([]),
  sent: /** @type {(string|undefined)[]} */ ([]),
  violations: /** @type {string[]} */ ([]),
  /** Times between successive frames in milliseconds. */
  gaps: /** @type {number[]} */ ([]),
  /** Durations of the long tasks in milliseconds. */
  tasks: /** @type {number[]} */ ([]),
  /** Clears the records of frames and tasks. */
  begin: () => Object.assign(watch, { gaps: [], tasks: [] }),
};

document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
  watch.violations.push(`${violatedDirective}: ${blockedURI}`);
});

window.Worker = class extends Worker {
  /** @param {ConstructorParameters<typeof Worker>} how */
  constructor(...how) {
    super(...how);
    watch.workers.push(this);
  }

  /** @param {any} message @param {any} options */
  postMessage(message, options) {
    watch.sent.push(message?.file?.name);
    super.postMessage(message, options);
  }
};

// Tasks of the main thread that took longer than 50 ms.
new PerformanceObserver((list) => watch.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });

// `performance.now()`, not the frame's timestamp: on a busy main thread the timestamp is the time when the frame was due.
/** @type {number|null} */
let before = null;
requestAnimationFrame(function frame() {
  const now = performance.now();
  if (before !== null) watch.gaps.push(now - before);
  before = now;
  requestAnimationFrame(frame);
});

/** An element by its `data-test`, in the mixer row of `stem` if given. @param {string} hook @param {string} [stem] */
const $ = (hook, stem) => /** @type {HTMLElement} */ (document.querySelector(`${stem ? `[data-stem="${stem}"] ` : ""}[data-test="${hook}"]`));

const sleep = (/** @type {number} */ milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The time of a clock in seconds. @param {string} hook */
const seconds = (hook) => ($(hook).textContent ?? "").split(":").reduce((whole, part) => 60 * whole + Number(part), 0);

/** The audible rows of the mixer. */
const heard = () => [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-test="track"][data-heard="true"]'))].map((row) => row.dataset.stem);

const notices = () => [...document.querySelectorAll('[data-test="notice"]')].map((notice) => notice.querySelector("p")?.textContent);

/** Whether a canvas has at least two colours. @param {HTMLCanvasElement} canvas */
function painted(canvas) {
  const { data } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint32Array(data.buffer);
  return pixels.some((pixel) => pixel !== pixels[0]);
}
