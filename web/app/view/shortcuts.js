/** The keyboard shortcuts of the page, and the dialog that lists them. */
import { byId } from "./dom.js";

/** Elements that use these keys themselves. */
const TAKES_TEXT = "input:not([type=range]):not([type=checkbox]), select, textarea";
const TAKES_SPACE = "button, summary, a, input[type=checkbox]";
const TAKES_ARROWS = "[role=slider], input[type=range]";

/**
 * @param {import("./mixer.js").Mixer} mixer
 * @param {import("../player.js").Player} player
 */
export function installShortcuts(mixer, player) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("keys"));
  const on = /** @type {HTMLInputElement} */ (byId("keys-on"));
  try { on.checked = localStorage.getItem("unbraid-keys") !== "off"; } catch { /* storage may be forbidden */ }
  on.addEventListener("change", () => {
    try { localStorage.setItem("unbraid-keys", on.checked ? "on" : "off"); } catch { /* storage may be forbidden */ }
  });
  byId("help").addEventListener("click", () => dialog.showModal());
  byId("keys-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  document.addEventListener("keydown", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (!on.checked || dialog.open || event.ctrlKey || event.metaKey || event.altKey || target.matches(TAKES_TEXT)) return;
    if (event.key === "?") {
      dialog.showModal();
      event.preventDefault();
      return;
    }
    if (!mixer.ready) return;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    if (digit) {
      mixer.toggleRow(Number(digit[1]) - 1, event.shiftKey ? "muted" : "soloed");
    } else if (event.key === " " && !target.matches(TAKES_SPACE)) {
      player.toggle();
    } else if (event.key === "ArrowLeft" && !target.matches(TAKES_ARROWS)) {
      mixer.skip(-5);
    } else if (event.key === "ArrowRight" && !target.matches(TAKES_ARROWS)) {
      mixer.skip(5);
    } else if (event.key === "Home" && !target.matches(TAKES_ARROWS)) {
      mixer.toStart();
    } else if (event.key.toLowerCase() === "k") {
      player.toggle();
    } else if (event.key.toLowerCase() === "o") {
      mixer.toggleOriginal();
    } else if (event.key.toLowerCase() === "t") {
      mixer.nextPair();
    } else {
      return;
    }
    event.preventDefault();
  });
}
