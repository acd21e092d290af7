/** Downloads stems and mixes as files. */
import { byId } from "./dom.js";
import { announce, notify } from "./notices.js";
import { bytes } from "../format.js";
import { mixGains } from "../mix.js";
import { safeFileName } from "../names.js";

/** @typedef {import("../song.js").Song} Song */
/** @import { ExportItem, SampleFormat } from "../../types/protocol.d.ts" */

/** The note while a separation runs. */
const TOO_EARLY = "You can download the stems when the separation is done or cancelled.";

export class Downloads {
  #mixer;
  /** @type {Song|null} */ #song = null;
  /** The tape of the running download. @type {import("../tape-deck.js").TapeHandle|null} */ #busy = null;
  #url = "";
  #zip = /** @type {HTMLButtonElement} */ (byId("download-zip"));
  #mix = /** @type {HTMLButtonElement} */ (byId("download-mix"));
  #cancel = byId("download-cancel");
  #format = /** @type {HTMLSelectElement} */ (byId("format"));
  #note = byId("download-note");
  #hint = this.#note.textContent ?? "";

  /** @param {import("./mixer.js").Mixer} mixer */
  constructor(mixer) {
    this.#mixer = mixer;
    mixer.addEventListener("save", (event) => this.#saveRow(/** @type {CustomEvent<number>} */ (event).detail));
    this.#zip.addEventListener("click", () => this.#saveAll());
    this.#mix.addEventListener("click", () => this.#saveMix());
    this.#cancel.addEventListener("click", () => this.#busy?.cancelExport());
  }

  /** @param {Song|null} song */
  show(song) {
    if (song !== this.#song && !this.#busy) this.#note.textContent = this.#hint;
    this.#song = song;
    this.update();
  }

  update() {
    const song = this.#song;
    const there = song?.tape?.finished === true && song.tape.frames > 0;
    const saves = /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("#tracks .save"));
    for (const button of [this.#zip, this.#mix, ...saves]) {
      button.disabled = !there;
      // Not `disabled`: the pressed button would lose the keyboard focus.
      button.setAttribute("aria-disabled", String(this.#busy !== null));
    }
    const hadFocus = document.activeElement === this.#cancel;
    this.#cancel.hidden = this.#busy === null;
    if (hadFocus && !this.#busy) this.#zip.focus();
    if (song?.tape && !song.tape.finished) this.#note.textContent = TOO_EARLY;
    else if (!this.#busy && this.#note.textContent === TOO_EARLY) this.#note.textContent = this.#hint;
  }

  /** @param {number} row */
  #saveRow(row) {
    const song = /** @type {Song} */ (this.#song);
    const { name, gains } = this.#mixer.shown()[row];
    this.#save([{ name: safeFileName(song.name, ` - ${stemFile(name)}`), gains }], false);
  }

  #saveAll() {
    const song = /** @type {Song} */ (this.#song);
    const folder = safeFileName(song.name);
    this.#save(this.#mixer.shown().map(({ name, gains }) => ({ name: `${folder}/${stemFile(name)}`, gains })), true);
  }

  #saveMix() {
    const song = /** @type {Song} */ (this.#song);
    const gains = mixGains(song.mix);
    if (gains.every((gain) => gain === 0)) {
      notify({ title: "The mix is silent", message: "Every stem is muted. Unmute at least one, then download the mix.", key: "download" });
      return;
    }
    this.#save([{ name: safeFileName(song.name, " - mix.wav"), gains }], false);
  }

  /** @param {ExportItem[]} items @param {boolean} zip */
  async #save(items, zip) {
    const song = /** @type {Song} */ (this.#song);
    const tape = song.tape;
    if (!tape || this.#busy) return;
    this.#busy = tape;
    this.update();
    const name = zip ? safeFileName(song.name, " - stems.zip") : items[0].name;
    const onShare = (/** @type {Event} */ event) => {
      this.#note.textContent = `Writing ${name}: ${Math.floor(100 * /** @type {CustomEvent<number>} */ (event).detail)} %`;
    };
    tape.addEventListener("export", onShare);
    this.#note.textContent = `Writing ${name}…`;
    try {
      const format = /** @type {SampleFormat} */ (this.#format.value);
      const { blob, clipped } = await tape.export({ items, format, zip });
      // The URL of the previous download is revoked only now, because the browser may read from it for some time.
      if (this.#url) URL.revokeObjectURL(this.#url);
      this.#url = URL.createObjectURL(blob);
      const link = document.createElement("a");
      link.href = this.#url;
      link.download = name;
      link.dataset.test = "download-link";
      document.body.append(link);
      link.click();
      link.remove();
      tape.saved = true;
      const loud = clipped ? ` ${clipped} samples were clipped because they exceed the range of ${format === "int16" ? "16" : "24"} bits. Lower the volume of the mix, or choose 32-bit float.` : "";
      this.#note.textContent = `${name} (${bytes(blob.size)}) is in your downloads.${loud}`;
      announce(this.#note.textContent);
    } catch (error) {
      const { name: kind, message } = /** @type {Error} */ (error);
      this.#note.textContent = kind === "AbortError" ? "The download was cancelled." : this.#hint;
      if (kind === "QuotaExceededError") {
        notify({ title: "Not enough space", message: "The disk is full, or the browser allows no more storage. Remove songs that you no longer need, or choose fewer bits per sample.", key: "download" });
      } else if (kind !== "AbortError") {
        notify({ title: `${name} was not written`, message, key: "download" });
      }
    } finally {
      tape.removeEventListener("export", onShare);
      this.#busy = null;
      this.update();
    }
  }
}

/** @param {string} stem */
function stemFile(stem) {
  return safeFileName(stem, ".wav", 100);
}
