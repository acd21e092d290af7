/** Keeps the screen on and the tab running while there is work. Without these locks the work goes on, but may be slow. */

export class Awake {
  /** Ends the hold of the Web Lock; null without work. @type {(() => void)|null} */ #release = null;
  /** @type {WakeLockSentinel|null} */ #screen = null;
  #asking = false;

  constructor() {
    // The browser takes the screen's lock away when the tab is hidden.
    document.addEventListener("visibilitychange", () => this.#keepScreen());
  }

  /** @param {boolean} work whether there is work */
  set(work) {
    if (work === (this.#release !== null)) return;
    if (work) {
      const end = new Promise((resolve) => { this.#release = () => resolve(null); });
      // Browsers do not freeze a hidden tab that holds a lock. It is shared, so no tab waits for another.
      navigator.locks?.request("unbraid-work", { mode: "shared" }, () => end).catch(() => {});
      this.#keepScreen();
    } else {
      this.#release?.();
      this.#release = null;
      this.#darken();
    }
  }

  async #keepScreen() {
    if (!this.#release || document.hidden || this.#asking || this.#screen?.released === false) return;
    this.#asking = true;
    try {
      this.#screen = await navigator.wakeLock?.request("screen") ?? null;
    } catch {
      // The browser refuses it, for example to save the battery.
    }
    this.#asking = false;
    // The work may have ended during the request.
    if (!this.#release) this.#darken();
  }

  #darken() {
    this.#screen?.release();
    this.#screen = null;
  }
}
