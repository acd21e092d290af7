/** Plays a tape: all tracks in one AudioContext at the model's rate, every chunk of every track at the same sample. */

/** @typedef {import("./tape-deck.js").TapeHandle} TapeHandle */

/** Seconds that are scheduled ahead: more than a hidden tab may sleep. */
const AHEAD = 3;
/** Seconds of a chunk; the first is shorter, so that playing begins at once. */
const CHUNK = 1;
const FIRST_CHUNK = 0.25;
/** Seconds between scheduling and sounding. */
const LEAD = 0.06;
/** Seconds of new audio that end a wait. */
const ENOUGH = 1.5;
/** Milliseconds after which a sound device that does not answer is given up. */
const PATIENCE = 4000;
/** Seconds of a fade that no one hears as a click. */
const FADE = 0.008;

/** Events: `state`; `trouble` with a message (CustomEvent). */
export class Player extends EventTarget {
  /** @type {AudioContext|null} */ #context = null;
  /** @type {TapeHandle|null} */ #tape = null;
  /** @type {number[]} */ #gains = [];
  /** What sounds now: a bus with a gain per track. Replaced by every start, so that old chunks fade out with theirs.
   * @type {{bus: GainNode, gains: GainNode[], sources: Set<AudioBufferSourceNode>}|null} */
  #deck = null;
  /** Counts starts and stops; work of an earlier one is dropped. */
  #turn = 0;
  /** @type {"stopped"|"playing"|"waiting"} */ state = "stopped";
  /** Frame at which playing stands or began. */ #frame = 0;
  /** Context time at which `#frame` sounds. */ #time = 0;
  /** Frame up to which chunks are scheduled. */ #scheduled = 0;
  #pumping = false;
  #onGrow = () => this.#grown();

  /** @param {TapeHandle|null} tape */
  load(tape) {
    if (tape === this.#tape) return;
    this.stop();
    this.#tape?.removeEventListener("grow", this.#onGrow);
    this.#tape = tape;
    this.#frame = 0;
    tape?.addEventListener("grow", this.#onGrow);
    if (this.#context && tape && this.#context.sampleRate !== tape.sampleRate) {
      this.#context.close();
      this.#context = null;
    }
  }

  /**
   * Opens the sound device, silent. The browser holds the page up for that, some 100 ms the first time: better now than
   * when something plays.
   * @param {number} sampleRate
   */
  open(sampleRate) {
    if (this.#context) return;
    this.#context = new AudioContext({ sampleRate, latencyHint: "interactive" });
    this.#context.suspend();
  }

  /** @param {number[]} gains one per track */
  setGains(gains) {
    this.#gains = gains;
    const now = this.#context?.currentTime ?? 0;
    this.#deck?.gains.forEach((node, track) => node.gain.setTargetAtTime(gains[track] ?? 0, now, FADE));
  }

  /** The frame that is heard now. */
  get position() {
    if (this.state !== "playing" || !this.#context || !this.#tape) return this.#frame;
    const latency = this.#context.outputLatency || 0;
    const passed = Math.max(0, this.#context.currentTime - latency - this.#time) * this.#tape.sampleRate;
    return Math.min(this.#frame + passed, this.#scheduled);
  }

  async play() {
    const tape = this.#tape;
    if (!tape || this.state !== "stopped") return;
    if (tape.finished && this.#frame >= tape.frames) this.#frame = 0;
    this.open(tape.sampleRate);
    const turn = ++this.#turn;
    this.#become("waiting");
    const resumed = /** @type {AudioContext} */ (this.#context).resume().then(() => true, () => false);
    const late = new Promise((resolve) => { setTimeout(() => resolve(false), PATIENCE); });
    const sounds = await Promise.race([resumed, late]);
    if (turn !== this.#turn) return;
    if (sounds) {
      // Meanwhile new audio may have started it.
      if (!this.#deck) this.#begin();
    } else {
      this.stop();
      this.#trouble("No sound device answered. Connect speakers or headphones, then press play again.");
    }
  }

  /** Stops at the current position. */
  stop() {
    this.#frame = Math.round(this.position);
    this.#turn += 1;
    this.#silence();
    this.#become("stopped");
  }

  toggle() {
    return this.state === "stopped" ? this.play() : this.stop();
  }

  /** @param {number} frame */
  seek(frame) {
    const end = this.#tape?.length ?? 0;
    const target = Math.round(Math.min(Math.max(0, frame), end));
    this.#silence();
    this.#turn += 1;
    this.#frame = target;
    if (this.state === "stopped") this.dispatchEvent(new Event("state"));
    else this.#begin();
  }

  /** Starts to sound at `#frame`, or waits until there is something. */
  #begin() {
    const tape = /** @type {TapeHandle} */ (this.#tape);
    const context = /** @type {AudioContext} */ (this.#context);
    if (!this.#enough()) {
      if (tape.finished) {
        this.#become("stopped");
        return;
      }
      this.#become("waiting");
      return;
    }
    const bus = new GainNode(context);
    bus.connect(context.destination);
    const gains = Array.from({ length: tape.tracks }, (_, track) => {
      const node = new GainNode(context, { gain: this.#gains[track] ?? 0 });
      node.connect(bus);
      return node;
    });
    this.#deck = { bus, gains, sources: new Set() };
    this.#scheduled = this.#frame;
    this.#time = 0; // set with the first chunk
    this.#pump(true);
  }

  #enough() {
    const tape = /** @type {TapeHandle} */ (this.#tape);
    const there = tape.frames - this.#frame;
    return tape.finished ? there > 0 : there >= ENOUGH * tape.sampleRate;
  }

  /** Schedules chunks until `AHEAD` is reached. @param {boolean} [first] */
  async #pump(first = false) {
    const [tape, context, deck, turn] = [this.#tape, this.#context, this.#deck, this.#turn];
    if (!tape || !context || !deck || this.#pumping) return;
    const rate = tape.sampleRate;
    this.#pumping = true;
    try {
      for (;;) {
        const playing = this.state === "playing";
        if (playing && this.#scheduled - this.position > AHEAD * rate) break;
        const length = first ? FIRST_CHUNK : CHUNK;
        const count = Math.min(Math.round(length * rate), tape.frames - this.#scheduled);
        if (count <= 0) break;
        const from = this.#scheduled;
        const parts = await tape.read(from, count);
        if (turn !== this.#turn) return;
        // On the grid of samples: a start between two would be interpolated.
        const grid = (/** @type {number} */ time) => Math.ceil(time * rate) / rate;
        const earliest = grid(context.currentTime + LEAD);
        let start = first ? earliest : this.#time + (from - this.#frame) / rate;
        if (start < context.currentTime) {
          // Too late, all tracks alike: go on from here without skipping anything.
          this.#time += earliest - start;
          start = earliest;
        }
        for (const [track, [left, right]] of parts.entries()) {
          const buffer = new AudioBuffer({ length: count, numberOfChannels: 2, sampleRate: rate });
          buffer.copyToChannel(left, 0);
          buffer.copyToChannel(right, 1);
          const source = new AudioBufferSourceNode(context, { buffer });
          source.connect(deck.gains[track]);
          source.start(start);
          deck.sources.add(source);
          source.onended = () => {
            deck.sources.delete(source);
            source.disconnect();
            if (turn !== this.#turn) return;
            if (deck.sources.size === 0) this.#ended();
            else if (track === 0) this.#pump();
          };
        }
        if (first) {
          this.#time = start;
          first = false;
          this.#scheduled = from + count;
          this.#become("playing");
        }
        this.#scheduled = from + count;
      }
    } catch (error) {
      if (turn === this.#turn) {
        this.stop();
        this.#trouble(`${/** @type {Error} */ (error).message}. Reload the page and separate the song again.`);
      }
    } finally {
      this.#pumping = false;
      // A seek during the read found the pump at work.
      if (turn !== this.#turn && this.#deck && this.state !== "stopped" && this.#deck !== deck) this.#pump(true);
    }
  }

  /** All that was scheduled has been heard. */
  #ended() {
    const tape = /** @type {TapeHandle} */ (this.#tape);
    if (this.#scheduled >= tape.frames) {
      this.#frame = this.#scheduled;
      this.#turn += 1;
      this.#silence();
      this.#become(tape.finished ? "stopped" : "waiting");
    } else {
      this.#pump();
    }
  }

  #grown() {
    const tape = /** @type {TapeHandle} */ (this.#tape);
    if (this.state === "waiting" && !this.#deck && this.#context?.state === "running") {
      if (this.#enough()) this.#begin();
      else if (tape.finished) this.#become("stopped");
    } else if (this.state === "playing") {
      this.#pump();
    }
  }

  /** @param {string} message for the person */
  #trouble(message) {
    this.dispatchEvent(new CustomEvent("trouble", { detail: message }));
  }

  #silence() {
    const deck = this.#deck;
    const context = this.#context;
    this.#deck = null;
    if (!deck || !context) return;
    const now = context.currentTime;
    deck.bus.gain.setTargetAtTime(0, now, FADE / 3);
    for (const source of deck.sources) source.stop(now + 3 * FADE);
    setTimeout(() => deck.bus.disconnect(), 100);
  }

  /** @param {"stopped"|"playing"|"waiting"} state */
  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
    // A context at rest costs no power.
    if (state === "stopped") {
      const turn = this.#turn;
      setTimeout(() => { if (turn === this.#turn && this.state === "stopped") this.#context?.suspend(); }, 200);
    }
  }
}
