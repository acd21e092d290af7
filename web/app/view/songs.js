/** The list of songs, and the card of the chosen song with its controls and its progress. */
import { byId, find, fromTemplate, setText } from "./dom.js";
import { announce } from "./notices.js";
import { RangeView } from "./range.js";
import { bytes, clock, sentence, spoken } from "../format.js";

/** @typedef {import("../song.js").Song} Song */
/** @typedef {import("../studio.js").Studio} Studio */

/** Seconds between two announcements of the progress to screen readers. */
const REPORT = 20;

/** Event: `choose` with a Song. */
export class SongsView extends EventTarget {
  #studio;
  /** @type {() => boolean} */ #modelReady;
  /** @type {Song|null} */ #song = null;
  /** @type {Map<Song, HTMLElement>} */ #items = new Map();
  #range = new RangeView();
  #reported = 0;
  #listing = false;
  #card = byId("song");
  #separate = /** @type {HTMLButtonElement} */ (byId("separate"));
  #continue = /** @type {HTMLButtonElement} */ (byId("continue"));
  #cancel = byId("cancel");

  /** @param {Studio} studio @param {() => boolean} modelReady */
  constructor(studio, modelReady) {
    super();
    this.#studio = studio;
    this.#modelReady = modelReady;
    this.#separate.addEventListener("click", () => this.#begin(() => this.#song && studio.separate(this.#song)));
    this.#continue.addEventListener("click", () => this.#begin(() => this.#song && studio.continue(this.#song)));
    this.#cancel.addEventListener("click", () => this.#song && studio.cancel(this.#song));
    byId("remove").addEventListener("click", () => this.#song && this.#remove(this.#song));
    byId("separate-all").addEventListener("click", () => {
      for (const song of studio.songs) if (song.state === "ready") studio.separate(song);
    });
    this.#range.addEventListener("change", () => this.update());
  }

  /** @param {Song} song */
  #remove(song) {
    this.#studio.remove(song);
    byId("choose").focus();
  }

  /** @param {() => void} work */
  #begin(work) {
    this.#reported = 0;
    work();
    // The pressed button is hidden now, so the focus moves to the next useful one.
    if (!this.#cancel.hidden) this.#cancel.focus();
  }

  /** @param {Song|null} song */
  show(song) {
    this.#song = song;
    this.#card.hidden = song === null;
    this.#range.show(song);
    this.updateList();
    this.update();
  }

  /** @param {Song} song has more of its waveform */
  updateOverview(song) {
    if (song === this.#song) {
      this.#range.update();
      this.update();
    }
  }

  /** Updates the list once after the present task, which may add many songs. */
  updateList() {
    if (this.#listing) return;
    this.#listing = true;
    queueMicrotask(() => {
      this.#listing = false;
      this.#list();
    });
  }

  #list() {
    const { songs } = this.#studio;
    // The card shows a single song already.
    byId("songs").hidden = songs.length < 2;
    for (const [song, item] of this.#items) {
      if (songs.includes(song)) continue;
      item.remove();
      this.#items.delete(song);
    }
    for (const song of songs) {
      let item = this.#items.get(song);
      if (!item) {
        item = fromTemplate("song-item");
        this.#items.set(song, item);
        find(item, ".song-name").textContent = song.name;
        find(item, ".song-pick").addEventListener("click", () => this.dispatchEvent(new CustomEvent("choose", { detail: song })));
        const remove = find(item, ".song-remove");
        remove.setAttribute("aria-label", `Remove ${song.name}`);
        remove.addEventListener("click", () => this.#remove(song));
        byId("song-list").append(item);
      }
      item.classList.toggle("chosen", song === this.#song);
      item.dataset.state = song.state;
      find(item, ".song-pick").setAttribute("aria-current", String(song === this.#song));
      setText(find(item, ".song-state"), this.#brief(song));
    }
    const open = songs.filter(({ state }) => state === "ready").length;
    byId("separate-all").hidden = open < 2;
    /** @type {HTMLButtonElement} */ (byId("separate-all")).disabled = !this.#modelReady();
  }

  /** @param {Song} song */
  #brief(song) {
    const { share } = song;
    switch (song.state) {
      case "ready": return song.duration === null ? "" : clock(song.duration);
      case "queued": return "waiting";
      case "running": return share === null ? "separating" : `${Math.floor(100 * share)} %`;
      case "done": return "done";
      case "stopped": return song.tape?.frames ? "partly done" : "cancelled";
      case "failed": return "failed";
    }
  }

  /** Updates the card. */
  update() {
    const song = this.#song;
    if (!song) return;
    const { state, busy, tape, duration } = song;
    const hadFocus = document.activeElement === this.#cancel;
    this.#card.dataset.state = state;
    setText(byId("song-title"), song.name);
    byId("remove").setAttribute("aria-label", `Remove ${song.name}`);
    setText(byId("song-facts"), [duration === null ? null : clock(duration), bytes(song.file.size)].filter(Boolean).join(" · "));
    const whole = song.range.from === 0 && song.range.to === null;
    const seconds = song.chosenSeconds;
    const what = seconds === null || whole ? "the whole song" : seconds < 60 ? `${Math.round(seconds * 10) / 10} seconds` : spoken(seconds);
    setText(this.#separate, `Separate ${what}${tape && !busy ? " again" : ""}`);
    this.#separate.disabled = !this.#modelReady() || song.unreadable || (seconds !== null && seconds <= 0);
    this.#separate.hidden = busy;
    const canContinue = this.#studio.canContinue(song);
    this.#continue.hidden = !canContinue;
    if (canContinue && tape) setText(this.#continue, `Continue from ${clock(song.separated.from + tape.frames / tape.sampleRate)}`);
    // Only the most likely next step stands out.
    this.#separate.classList.toggle("primary", state !== "done" && !canContinue);
    this.#cancel.hidden = !busy;
    byId("progress").hidden = !busy;
    setText(byId("state"), this.#sentence(song));
    this.#showNotices(song);
    this.#range.update();

    const bar = /** @type {HTMLProgressElement} */ (byId("bar"));
    const { share } = song;
    if (share === null || state === "queued") bar.removeAttribute("value");
    else bar.value = share;
    setText(byId("progress-text"), this.#progress(song));
    if (hadFocus && !busy) (byId("mixer").hidden ? this.#separate : byId("play")).focus();
    if (state === "running" && performance.now() - this.#reported > 1000 * REPORT) {
      if (this.#reported) announce(this.#progress(song));
      this.#reported = performance.now();
    }
  }

  /** @param {Song} song */
  #showNotices({ notices }) {
    const list = byId("song-notices");
    list.hidden = notices.length === 0;
    // Screen readers announce every write.
    if (list.dataset.shown === notices.join("\n")) return;
    list.dataset.shown = notices.join("\n");
    list.replaceChildren(...notices.map((notice) => {
      const item = document.createElement("li");
      item.textContent = sentence(notice);
      return item;
    }));
  }

  /** @param {Song} song */
  #progress(song) {
    if (song.state === "queued") return this.#studio.songs.some((other) => other.state === "running") ? "Waiting for its turn" : "Starting…";
    const { share, timeLeft: left } = song;
    const { done, speed } = song.progress;
    const where = share === null ? `${clock(done / (song.tape?.sampleRate ?? 44100))} done` : `${Math.floor(100 * share)} %`;
    const rate = speed > 0 ? ` (${speed < 10 ? speed.toFixed(speed < 1 ? 2 : 1) : Math.round(speed)}× playback speed)` : "";
    return left === null ? where : `${where}, ${left < 1 ? "nearly done" : `${spoken(left)} left`}${rate}`;
  }

  /** @param {Song} song */
  #sentence(song) {
    const there = song.tape?.frames ? spoken(song.tape.frames / song.tape.sampleRate) : null;
    switch (song.state) {
      case "ready": return this.#modelReady() ? "" : "The model is loading…";
      case "queued":
      case "running": return there ? "You can listen already: press Play below." : "";
      case "done": return `Done: ${there ?? "0 seconds"} in ${song.stems.length} stems.`;
      case "stopped": return there ? `Cancelled. The first ${there} are kept.` : "Cancelled.";
      case "failed": return there ? `The separation stopped early. The first ${there} are kept.` : song.unreadable ? "This file could not be read." : "This song could not be separated.";
    }
  }
}
