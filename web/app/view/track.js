/** One row of the mixer: its name, its controls and its pictures. */
import { find, fromTemplate, setPressed, setText } from "./dom.js";
import { drawSoon, drawSpectrum, drawWave, fit } from "./draw.js";
import { decibels } from "../format.js";
import { ROWS } from "../tape/picture.js";

/** @typedef {import("../mix.js").Strip} Strip */
/** @typedef {import("../tape-deck.js").TapeHandle} TapeHandle */

export class TrackView {
  /** Number of drawn cells. */ #drawn = 0;
  /** Cells of the full width at the last drawing. */ #total = 0;
  #wave;
  #spectrum;
  #playhead;

  /**
   * @param {object} options
   * @param {string} options.label
   * @param {string} options.name the value of `data-stem`
   * @param {number|null} options.colour of the stem; null for the original
   * @param {number|null} options.key digit on the keyboard
   * @param {TapeHandle} options.tape
   * @param {number[]} options.gains of all tracks; the row is their sum
   * @param {Strip|null} options.strip null for the original, whose only control is `listen`
   * @param {() => void} options.onChange called after a change of the strip
   * @param {() => void} options.onSave
   * @param {() => void} options.onListen
   */
  constructor({ label, name, colour, key, tape, gains, strip, onChange, onSave, onListen }) {
    const root = fromTemplate("track");
    this.root = root;
    this.strip = strip;
    this.name = name;
    this.tape = tape;
    this.picture = tape.pictureOf(gains);
    root.dataset.stem = name;
    root.setAttribute("aria-label", label);
    if (colour !== null) root.dataset.colour = String(colour);
    const heading = find(root, ".track-name");
    heading.textContent = label;
    if (key !== null) {
      const hint = document.createElement("kbd");
      hint.className = "track-keys";
      hint.textContent = String(key);
      hint.setAttribute("aria-hidden", "true");
      heading.append(hint);
    }
    this.#wave = /** @type {HTMLCanvasElement} */ (find(root, ".wave"));
    this.#spectrum = /** @type {HTMLCanvasElement} */ (find(root, ".spectrum"));
    this.#playhead = find(root, ".playhead");
    const pictures = find(root, ".pictures");
    pictures.setAttribute("role", "img");
    pictures.setAttribute("aria-label", `Waveform and spectrum of ${label}`);

    this.solo = find(root, ".solo");
    this.mute = find(root, ".mute");
    this.volume = /** @type {HTMLInputElement} */ (find(root, ".volume input"));
    this.level = find(root, ".level");
    const save = find(root, ".save");
    if (strip) {
      this.solo.setAttribute("aria-label", `Solo ${label}`);
      this.mute.setAttribute("aria-label", `Mute ${label}`);
      save.setAttribute("aria-label", `Download ${label} as WAV`);
      save.title = `Download ${label} as WAV`;
      find(root, ".volume .unseen").textContent = `Volume of ${label}`;
      this.solo.addEventListener("click", () => { strip.soloed = !strip.soloed; onChange(); });
      this.mute.addEventListener("click", () => { strip.muted = !strip.muted; onChange(); });
      this.volume.addEventListener("input", () => { strip.volume = Number(this.volume.value); onChange(); });
      this.volume.addEventListener("dblclick", () => { strip.volume = 1; onChange(); });
      save.addEventListener("click", onSave);
    } else {
      this.solo.textContent = "Listen";
      this.solo.dataset.test = "listen";
      this.solo.setAttribute("aria-label", `Listen to ${label}`);
      this.solo.addEventListener("click", onListen);
      this.mute.remove();
      save.remove();
      find(root, ".volume").remove();
    }
  }

  /** Updates the controls. @param {boolean} heard whether the row is audible */
  update(heard) {
    this.root.dataset.heard = String(heard);
    const { strip } = this;
    if (!strip) {
      setPressed(this.solo, heard);
      return;
    }
    setPressed(this.solo, strip.soloed);
    setPressed(this.mute, strip.muted);
    this.volume.value = String(strip.volume);
    this.volume.setAttribute("aria-valuetext", decibels(strip.volume));
    setText(this.level, decibels(strip.volume));
  }

  /** @param {number} share of the whole width */
  setPlayhead(share) {
    this.#playhead.style.transform = `translateX(${100 * share}%)`;
  }

  /** Draws new cells soon, or with `all` all cells. @param {boolean} [all] */
  refresh(all = false) {
    if (all) this.#drawn = 0;
    drawSoon(this);
  }

  draw() {
    const total = this.tape.length / this.picture.hop;
    if (!this.root.isConnected || total <= 0) return;
    const look = /** @type {HTMLElement} */ (this.root.parentElement).dataset.look;
    const changed = [
      look !== "spectrum" && fit(this.#wave),
      look !== "wave" && fit(this.#spectrum, ROWS),
    ].includes(true);
    if (changed || total !== this.#total || this.picture.count < this.#drawn) this.#drawn = 0;
    this.#total = total;
    if (look !== "spectrum") {
      const colour = getComputedStyle(this.root).getPropertyValue("--stem");
      drawWave(this.#wave, this.picture, total, this.#drawn, colour);
    }
    if (look !== "wave") drawSpectrum(this.#spectrum, this.picture, total, this.#drawn);
    this.#drawn = this.picture.count;
  }
}
