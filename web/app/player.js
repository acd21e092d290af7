/** Plays a tape: all tracks in one AudioContext at the model's sample rate, aligned to the sample. */

/** @typedef {import("./tape-deck.js").TapeHandle} TapeHandle */

/** Seconds that are scheduled ahead. Browsers may suspend a hidden tab for a shorter time. */
const AHEAD = 3;
/** Seconds of a chunk. The first chunk is shorter, so that playback starts at once. */
const CHUNK = 1;
const FIRST_CHUNK = 0.25;
/** Seconds between the scheduling of the first chunk and its start. */
const LEAD = 0.06;
/** Seconds of new audio that end the state `waiting`. */
const ENOUGH = 1.5;
/** Milliseconds to wait for the sound device. */
const PATIENCE = 4000;
/** Time constant of a gain change in seconds, long enough to avoid a click. */
const FADE = 0.008;

/** Events: `state`; `trouble` with a message for the person (CustomEvent). */
export class Player extends EventTarget {
  /** @type {AudioContext|null} */ #context = null;
  /** @type {TapeHandle|null} */ #tape = null;
  /** @type {number[]} */ #gains = [];
  /** The nodes of the current playback: a bus and a gain per track. Each start creates new nodes, so the old ones can fade out.
   * @type {{bus: GainNode, gains: GainNode[], sources: Set<AudioBufferSourceNode>}|null} */
  #deck = null;
  /** Counts starts and stops. Asynchronous work of an earlier turn is discarded. */
  #turn = 0;
  /** `waiting`: for the sound device, or for more audio. @type {"stopped"|"playing"|"waiting"} */ state = "stopped";
  /** The frame where playback stopped or started. */ #frame = 0;
  /** The context time of `#frame`. */ #time = 0;
  /** The end of the scheduled frames. */ #scheduled = 0;
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
   * Opens the sound device, suspended. The first time this blocks the page for some 100 ms, so the page calls it before
   * playback.
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

  /** The frame that is audible now. */
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
      // New audio may have started the playback already.
      if (!this.#deck) this.#begin();
    } else {
      this.stop();
      this.#trouble("The sound device does not respond. Connect speakers or headphones, then press Play again.");
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

  /** Starts playback at `#frame`, or waits for audio. */
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
        // Start on a sample: the browser interpolates a start between two samples.
        const grid = (/** @type {number} */ time) => Math.ceil(time * rate) / rate;
        const earliest = grid(context.currentTime + LEAD);
        let start = first ? earliest : this.#time + (from - this.#frame) / rate;
        if (start < context.currentTime) {
          // The chunk is late. Delay all tracks alike and skip nothing.
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
      // A seek during the read could not start the pump.
      if (turn !== this.#turn && this.#deck && this.state !== "stopped" && this.#deck !== deck) this.#pump(true);
    }
  }

  /** All scheduled chunks have ended. */
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
    // A suspended context uses no power.
    if (state === "stopped") {
      const turn = this.#turn;
      setTimeout(() => { if (turn === this.#turn && this.state === "stopped") this.#context?.suspend(); }, 200);
    }
  }
}
