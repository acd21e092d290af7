/** The mixer: playback controls, one row per stem, comparison with the original, two-stem view. */
import { REST, colours } from "./colours.js";
import { byId, setPressed, setText } from "./dom.js";
import { TrackView } from "./track.js";
import { clock, spoken, title } from "../format.js";
import { oneTrack, shownStrips, stripGains, trackGains } from "../mix.js";
import { Song } from "../song.js";
import { pictureKey } from "../tape/picture.js";

/** @typedef {import("../player.js").Player} Player */

const PLAY_LABEL = { stopped: "Play", playing: "Pause", waiting: "Pause" };

/** Event: `save`; its `detail` is the index of a row in `shown()`. */
export class Mixer extends EventTarget {
  #player;
  /** @type {Song|null} */ #song = null;
  /** @type {import("../tape-deck.js").TapeHandle|null} */ #tape = null;
  /** @type {TrackView[]} */ #rows = [];
  /** The frame under the pointer during a drag. @type {number|null} */ #scrub = null;
  #root = byId("mixer");
  #tracks = byId("tracks");
  #play = /** @type {HTMLButtonElement} */ (byId("play"));
  #seek = /** @type {HTMLInputElement} */ (byId("seek"));
  #pair = /** @type {HTMLSelectElement} */ (byId("pair"));
  #look = /** @type {HTMLSelectElement} */ (byId("look"));
  #onCells = (/** @type {Event} */ event) => this.#cells(/** @type {CustomEvent<string|undefined>} */ (event).detail);
  #onGrow = () => this.#update();

  /** @param {Player} player */
  constructor(player) {
    super();
    this.#player = player;
    this.#play.addEventListener("click", () => player.toggle());
    byId("hear-stems").addEventListener("click", () => this.hearOriginal(false));
    byId("hear-original").addEventListener("click", () => this.hearOriginal(true));
    this.#seek.addEventListener("input", () => this.#scrubTo(Number(this.#seek.value) * this.#rate));
    this.#seek.addEventListener("change", () => this.#drop());
    this.#seek.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -30, PageUp: 30 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      this.skip(step);
    });
    this.#pair.addEventListener("change", () => this.showPair(this.#pair.value === "" ? null : Number(this.#pair.value)));
    this.#look.addEventListener("change", () => this.#setLook(this.#look.value));
    player.addEventListener("state", () => this.#onPlayer());
    this.#tracks.addEventListener("pointerdown", (event) => this.#pointer(event));
    new ResizeObserver(() => this.#refresh(true)).observe(this.#tracks);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#refresh(true));
    let look = "both";
    try { look = localStorage.getItem("unbraid-look") ?? look; } catch { /* storage may be forbidden */ }
    this.#setLook(["both", "wave", "spectrum"].includes(look) ? look : "both");
  }

  /** @param {Song|null} song with or without a tape */
  show(song) {
    const tape = song?.tape ?? null;
    this.#root.hidden = tape === null;
    if (song === this.#song && tape === this.#tape) return this.#update();
    this.#tape?.removeEventListener("cells", this.#onCells);
    this.#tape?.removeEventListener("grow", this.#onGrow);
    this.#song = song;
    this.#tape = tape;
    this.#scrub = null;
    this.#player.load(tape);
    if (!song || !tape) return;
    tape.addEventListener("cells", this.#onCells);
    tape.addEventListener("grow", this.#onGrow);
    const options = song.stems.map((stem, index) => new Option(`${stem} and everything else`, String(index)));
    this.#pair.replaceChildren(new Option("all stems", ""), ...options);
    this.#build();
  }

  get #rate() {
    return this.#tape?.sampleRate ?? 1;
  }

  /** Replaces all rows. */
  #build() {
    const song = /** @type {Song} */ (this.#song);
    const tape = /** @type {import("../tape-deck.js").TapeHandle} */ (this.#tape);
    const common = { tape, onChange: () => this.#update(), onListen: () => this.hearOriginal(!song.mix.original) };
    const original = new TrackView({
      ...common, label: "Original", name: "original", colour: null, key: null, gains: oneTrack(tape.tracks, Song.ORIGINAL), strip: null, onSave: () => {},
    });
    const stems = this.shown().map(({ name, label, colour, strip, gains }, row) => new TrackView({
      ...common, label, name, colour, strip, gains,
      key: row < 9 ? row + 1 : null,
      onSave: () => this.dispatchEvent(new CustomEvent("save", { detail: row })),
    }));
    this.#rows = [original, ...stems];
    this.#tracks.replaceChildren(...this.#rows.map(({ root }) => root));
    this.#update();
    this.#refresh(true);
  }

  /** The content of the rows: all stems, or the chosen stem and the original without it. */
  shown() {
    const song = /** @type {Song} */ (this.#song);
    const { mix, stems } = song;
    const strands = colours(stems);
    return shownStrips(mix).map(({ strip, stem, rest, gains }) => ({
      strip,
      gains,
      // The command line names the files of `--two-stems` like this.
      name: rest ? `no_${stems[stem]}` : stems[stem],
      label: rest ? `All except ${stems[stem]}` : title(stems[stem]),
      colour: rest ? REST : strands[stem],
    }));
  }

  /** Updates all controls. The pictures have `#refresh`. */
  #update() {
    const tape = this.#tape;
    if (!this.#song || !tape) return;
    const { mix } = this.#song;
    this.#player.setGains(trackGains(mix));
    const [original, ...rows] = this.#rows;
    original.update(mix.original);
    for (const [row, gain] of stripGains(mix).entries()) rows[row].update(!mix.original && gain > 0);
    setPressed(byId("hear-stems"), !mix.original);
    setPressed(byId("hear-original"), mix.original);
    this.#pair.value = mix.pair === null ? "" : String(mix.pair);
    setText(byId("download-zip"), mix.pair === null ? "All stems as zip" : "Both rows as zip");
    this.#play.disabled = tape.frames === 0;
    this.#seek.disabled = tape.frames === 0;
    this.#seek.max = String(tape.length / tape.sampleRate);
    if (this.#scrub === null) this.#showSeek(this.#player.position / tape.sampleRate);
    setText(byId("length"), clock(tape.length / tape.sampleRate));
    setText(byId("sum"), tape.sumSnr === null ? "" : mix.pair === null ? sumText(tape.sumSnr) : "Both rows together are exactly the original.");
    this.#showTime();
  }

  /** @param {boolean} all */
  #refresh(all) {
    for (const row of this.#rows) row.refresh(all);
  }

  /** @param {string|undefined} key of the picture with new cells; undefined: all pictures */
  #cells(key) {
    for (const row of this.#rows) {
      if (key === undefined || pictureKey(row.picture.gains) === key) row.refresh();
    }
  }

  /** @param {string} look */
  #setLook(look) {
    this.#look.value = look;
    this.#tracks.dataset.look = look;
    try { localStorage.setItem("unbraid-look", look); } catch { /* storage may be forbidden */ }
    this.#refresh(true);
  }

  /** @param {boolean} original */
  hearOriginal(original) {
    if (!this.#song) return;
    this.#song.mix.original = original;
    this.#update();
  }

  toggleOriginal() {
    if (this.#song) this.hearOriginal(!this.#song.mix.original);
  }

  /** @param {number|null} stem */
  showPair(stem) {
    if (!this.#song || !this.#tape) return;
    this.#song.mix.pair = stem;
    this.#build();
  }

  nextPair() {
    if (!this.#song) return;
    const next = (this.#song.mix.pair ?? -1) + 1;
    this.showPair(next < this.#song.stems.length ? next : null);
  }

  /** @param {number} row @param {"soloed"|"muted"} what */
  toggleRow(row, what) {
    const strip = this.#tape ? this.#rows[row + 1]?.strip : null;
    if (!strip) return;
    strip[what] = !strip[what];
    this.#update();
  }

  /** @param {number} seconds */
  skip(seconds) {
    if (this.#tape) this.#player.seek(this.#player.position + seconds * this.#rate);
  }

  toStart() {
    if (this.#tape) this.#player.seek(0);
  }

  get ready() {
    return !this.#root.hidden && !this.#play.disabled;
  }

  #onPlayer() {
    const { state } = this.#player;
    this.#play.dataset.state = state;
    this.#play.setAttribute("aria-label", PLAY_LABEL[state]);
    byId("waiting").hidden = state !== "waiting" || this.#tape?.finished !== false;
    this.#showTime();
    if (state === "playing") this.#follow();
  }

  #following = false;

  /** Moves the playhead during playback. The sound does not depend on animation frames. */
  #follow() {
    if (this.#following) return;
    this.#following = true;
    const step = () => {
      this.#showTime();
      this.#following = this.#player.state === "playing";
      if (this.#following) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  #showTime() {
    const tape = this.#tape;
    if (!tape) return;
    const frame = this.#scrub ?? this.#player.position;
    const seconds = frame / tape.sampleRate;
    for (const row of this.#rows) row.setPlayhead(tape.length ? frame / tape.length : 0);
    const text = clock(seconds, 1);
    // Only the playhead moves more often than ten times a second.
    if (byId("time").textContent === text) return;
    setText(byId("time"), text);
    if (this.#scrub === null) this.#showSeek(seconds);
  }

  /** @param {number} seconds */
  #showSeek(seconds) {
    this.#seek.value = String(seconds);
    const words = spoken(seconds);
    if (this.#seek.getAttribute("aria-valuetext") !== words) this.#seek.setAttribute("aria-valuetext", words);
  }

  /** @param {number} frame */
  #scrubTo(frame) {
    this.#scrub = frame;
    this.#showTime();
  }

  #drop() {
    const frame = this.#scrub;
    this.#scrub = null;
    if (frame === null) return;
    this.#player.seek(frame);
    this.#showSeek(frame / this.#rate);
  }

  /** Seeks by a press or a drag on a picture. @param {PointerEvent} event */
  #pointer(event) {
    const pictures = /** @type {Element} */ (event.target).closest(".pictures");
    const tape = this.#tape;
    if (!pictures || !tape || event.button !== 0 || tape.frames === 0) return;
    const place = pictures.getBoundingClientRect();
    const to = (/** @type {PointerEvent} */ { clientX }) => {
      const share = Math.min(1, Math.max(0, (clientX - place.left) / place.width));
      this.#scrubTo(share * tape.length);
    };
    pictures.setPointerCapture(event.pointerId);
    const move = (/** @type {Event} */ moved) => to(/** @type {PointerEvent} */ (moved));
    const end = (/** @type {Event} */ ended) => {
      pictures.removeEventListener("pointermove", move);
      pictures.removeEventListener("pointerup", end);
      pictures.removeEventListener("pointercancel", end);
      if (ended.type === "pointercancel") this.#scrub = null;
      this.#drop();
    };
    pictures.addEventListener("pointermove", move);
    pictures.addEventListener("pointerup", end);
    pictures.addEventListener("pointercancel", end);
    to(event);
  }
}

/** @param {number} snr of the sum of the stems, in dB */
function sumText(snr) {
  if (snr === Infinity) return "All stems together are exactly the original.";
  return `All stems together are the original with a signal-to-noise ratio of ${snr.toFixed(1).replace("-", "−")} dB.`;
}
