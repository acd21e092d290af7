/** The song's waveform, and the part to separate. A person sets the part by pointer, by keyboard or as text. */
import { byId, setPressed, setText } from "./dom.js";
import { drawSoon, drawWave, fit } from "./draw.js";
import { clock, parseClock, spoken } from "../format.js";

/** @typedef {import("../song.js").Song} Song */

/** Seconds of the trial part. */
const TRIAL = 10;
/** Minimum length of a part in seconds. */
const SHORTEST = 1;

/** Event: `change`. */
export class RangeView extends EventTarget {
  /** @type {Song|null} */ #song = null;
  #root = byId("range");
  #canvas = /** @type {HTMLCanvasElement} */ (byId("overview"));
  #from = /** @type {HTMLInputElement} */ (byId("from"));
  #to = /** @type {HTMLInputElement} */ (byId("to"));
  /** Identifies the drawn waveform. */ #drawn = "";
  #thumbs = { from: byId("range-from"), to: byId("range-to") };

  constructor() {
    super();
    byId("part-whole").addEventListener("click", () => this.#set(0, null));
    byId("part-ten").addEventListener("click", () => this.#tryPart());
    this.#from.addEventListener("change", () => this.#typed(this.#from));
    this.#to.addEventListener("change", () => this.#typed(this.#to));
    for (const end of /** @type {("from"|"to")[]} */ (["from", "to"])) {
      this.#thumbs[end].addEventListener("keydown", (event) => this.#key(end, event));
    }
    this.#root.addEventListener("pointerdown", (event) => this.#pointer(event));
    new ResizeObserver(() => drawSoon(this)).observe(this.#root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawSoon(this));
  }

  /** @param {Song|null} song */
  show(song) {
    this.#song = song;
    this.update();
  }

  update() {
    const song = this.#song;
    if (!song) return;
    const { duration, range, overviewDone } = song;
    const end = range.to ?? duration;
    this.#root.classList.toggle("unknown", duration === null);
    if (duration) {
      this.#root.style.setProperty("--from", `${(100 * range.from) / duration}%`);
      this.#root.style.setProperty("--to", `${(100 * (end ?? duration)) / duration}%`);
    }
    const hint = byId("range-hint");
    hint.hidden = overviewDone && song.overview.count > 0;
    setText(hint, !overviewDone ? (song.overview.count > 0 ? "" : "Reading the song…") : "No waveform");
    for (const [end, value] of /** @type {[("from"|"to"), number|null][]} */ ([["from", range.from], ["to", range.to ?? duration]])) {
      const thumb = this.#thumbs[end];
      thumb.setAttribute("aria-valuemin", "0");
      thumb.setAttribute("aria-valuemax", String(Math.round(duration ?? 0)));
      thumb.setAttribute("aria-valuenow", String(Math.round(value ?? 0)));
      thumb.setAttribute("aria-valuetext", value === null ? "end of the song" : spoken(value));
      thumb.setAttribute("aria-disabled", String(song.busy || duration === null));
    }
    for (const [input, text] of /** @type {[HTMLInputElement, string][]} */ ([[this.#from, clock(range.from, 1)], [this.#to, end === null ? "end" : clock(end, 1)]])) {
      if (document.activeElement === input) continue;
      input.value = text;
      input.removeAttribute("aria-invalid");
    }
    for (const input of [this.#from, this.#to, byId("part-whole"), byId("part-ten")]) {
      /** @type {HTMLInputElement} */ (input).disabled = song.busy;
    }
    // A song that is not longer than the trial part has no trial part.
    if (duration !== null && duration <= TRIAL) /** @type {HTMLButtonElement} */ (byId("part-ten")).disabled = true;
    setPressed(byId("part-whole"), range.from === 0 && range.to === null);
    setPressed(byId("part-ten"), range.to !== null && Math.abs(range.to - range.from - TRIAL) < 0.05);
    const picture = `${song.id} ${song.overview.count} ${duration}`;
    if (picture === this.#drawn) return;
    this.#drawn = picture;
    drawSoon(this);
  }

  draw() {
    const song = this.#song;
    if (!song || this.#canvas.clientWidth === 0) return;
    fit(this.#canvas);
    const { overview, duration, overviewRate } = song;
    const total = duration === null ? overview.count : (duration * overviewRate) / overview.hop;
    const colour = getComputedStyle(this.#root).getPropertyValue("--original");
    if (total > 0) drawWave(this.#canvas, overview, total, 0, colour);
    else this.#canvas.getContext("2d")?.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  /** @param {number} from @param {number|null} to seconds; null is the end */
  #set(from, to) {
    const song = this.#song;
    if (!song || song.busy) return;
    const end = song.duration;
    if (end !== null) {
      const shortest = Math.min(SHORTEST, end);
      from = Math.min(Math.max(0, from), end - shortest);
      if (to !== null) to = Math.min(Math.max(to, from + shortest), end);
      if (to !== null && end - to < 0.05) to = null;
    }
    song.range = { from, to };
    this.update();
    this.dispatchEvent(new Event("change"));
  }

  /**
   * Chooses ten seconds: from the start of the chosen part, or else after a third of the song, past most introductions.
   */
  #tryPart() {
    const song = this.#song;
    if (!song) return;
    const end = song.duration;
    let from = song.range.from;
    if (from === 0 && end !== null && end > 3 * TRIAL) from = Math.floor(end / 3);
    if (end !== null) from = Math.max(0, Math.min(from, end - TRIAL));
    this.#set(from, from + TRIAL);
  }

  /** @param {HTMLInputElement} changed */
  #typed(changed) {
    const song = this.#song;
    if (!song) return;
    // A field shows tenths only, so an end that was not typed keeps its exact value from the song. A rejected field still
    // counts as typed, so that a person can type both ends one after the other.
    const isTyped = (/** @type {HTMLInputElement} */ input) => input === changed || input.getAttribute("aria-invalid") === "true";
    const [typedFrom, typedTo] = [isTyped(this.#from), isTyped(this.#to)];
    const from = typedFrom ? parseClock(this.#from.value) : song.range.from;
    const open = typedTo ? /^\s*(end)?\s*$/i.test(this.#to.value) : song.range.to === null;
    const to = open ? null : typedTo ? parseClock(this.#to.value) : song.range.to;
    const crossed = from !== null && to !== null && to <= from;
    const wrongFrom = from === null || (song.duration !== null && from >= song.duration) || (crossed && typedFrom);
    const wrongTo = (!open && to === null) || (crossed && typedTo);
    this.#from.setAttribute("aria-invalid", String(wrongFrom));
    this.#to.setAttribute("aria-invalid", String(wrongTo));
    if (from !== null && !wrongFrom && !wrongTo) this.#set(from, to);
  }

  /** @param {"from"|"to"} end @param {KeyboardEvent} event */
  #key(end, event) {
    const song = this.#song;
    if (!song || song.duration === null || song.busy) return;
    const at = end === "from" ? song.range.from : song.range.to ?? song.duration;
    const target = {
      ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1,
      PageDown: at - 10, PageUp: at + 10, Home: 0, End: song.duration,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.#move(end, target);
  }

  /** @param {"from"|"to"} end @param {number} seconds */
  #move(end, seconds) {
    const song = /** @type {Song} */ (this.#song);
    const duration = /** @type {number} */ (song.duration);
    const { from, to } = song.range;
    if (end === "from") this.#set(Math.min(seconds, (to ?? duration) - SHORTEST), to);
    else this.#set(from, Math.max(seconds, from + SHORTEST));
  }

  /** A drag on a thumb moves it. A drag elsewhere chooses a new part. @param {PointerEvent} event */
  #pointer(event) {
    const song = this.#song;
    if (!song || song.duration === null || song.busy || event.button !== 0) return;
    const { duration } = song;
    const place = this.#root.getBoundingClientRect();
    const at = (/** @type {Event} */ pointer) => {
      const share = (/** @type {PointerEvent} */ (pointer).clientX - place.left) / place.width;
      return Math.min(1, Math.max(0, share)) * duration;
    };
    const thumb = /** @type {Element} */ (event.target).closest(".range-thumb");
    /** @type {"from"|"to"|null} */
    let end = thumb === this.#thumbs.from ? "from" : thumb === this.#thumbs.to ? "to" : null;
    const anchor = at(event);
    const startX = event.clientX;
    this.#root.setPointerCapture(event.pointerId);
    if (end) this.#thumbs[end].focus();
    const move = (/** @type {Event} */ moved) => {
      if (end) return this.#move(end, at(moved));
      if (Math.abs(/** @type {PointerEvent} */ (moved).clientX - startX) < 4) return undefined;
      const other = at(moved);
      return this.#set(Math.min(anchor, other), Math.max(anchor, other));
    };
    const stop = () => {
      this.#root.removeEventListener("pointermove", move);
      this.#root.removeEventListener("pointerup", stop);
      this.#root.removeEventListener("pointercancel", stop);
    };
    this.#root.addEventListener("pointermove", move);
    this.#root.addEventListener("pointerup", stop);
    this.#root.addEventListener("pointercancel", stop);
  }
}
