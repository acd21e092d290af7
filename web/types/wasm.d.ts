/**
 * The wasm modules, which `cargo xtask web build` adds to the page. The Rust side is in crates/wasm/src and
 * tests/web/src.
 */

declare module "*/wasm/unbraid_wasm.js" {
  type Stereo = import("./protocol.d.ts").Stereo;

  /** Loads the module. */
  export default function init(options: { module_or_path: URL | WebAssembly.Module }): Promise<unknown>;

  /** The module, to be loaded by other workers. */
  export function compiledModule(): WebAssembly.Module;

  /** Bytes of the module's heap. */
  export function heapBytes(): number;

  /** A device and the model on it. Its methods throw errors with the property `kind`. */
  export class Session {
    private constructor();
    static open(device: string): Promise<Session>;
    readonly kind: "gpu" | "cpu";
    readonly software: boolean;
    readonly note: string | undefined;
    /** In Hz; 44100 without a model. */
    readonly sampleRate: number;
    setModel(bytes: Uint8Array): Promise<import("./protocol.d.ts").ModelInfo>;
    /** `from` and `to` in seconds; without `to`, up to the end. */
    separate(file: File, from: number, to: number | undefined, pool: Pool | undefined): Separation;
    gpuBytes(): number | undefined;
    loseDevice(): void;
  }

  /** Helpers that compute segments at the same time. */
  export interface Pool {
    /** The number of helpers that may compute. */
    readonly workers: number;
    /** The stems of a segment; undefined if no helper is left. */
    run(left: Float32Array<ArrayBuffer>, right: Float32Array<ArrayBuffer>): Promise<Stereo[] | undefined>;
  }

  /** The model in a helper. */
  export class Helper {
    constructor(model: Uint8Array);
    run(left: Float32Array, right: Float32Array): Promise<Stereo[]>;
  }

  /** A running separation; `free` cancels it. */
  export class Separation {
    private constructor();
    /** Samples in all, once known. */
    readonly total: number | undefined;
    readonly done: number;
    /** The device failure since the last call that the separation has recovered from. */
    recovered(): string | undefined;
    /** Facts about the file that a person should know. */
    notices(): string[];
    next(): Promise<{ start: number; mixture: Stereo; stems: Stereo[] } | undefined>;
    free(): void;
  }

  /** The waveform of a song. */
  export class Overview {
    constructor(file: File, rate: number);
    /** Samples in all, if the file states its length. */
    total(): number | undefined;
    /** Samples read so far. */
    readonly samples: number;
    readonly done: boolean;
    notices(): string[];
    next_peaks(): Float32Array<ArrayBuffer>;
    free(): void;
  }
}

declare module "*/wasm/conformance_web.js" {
  /** Loads the module. */
  export default function init(options: { module_or_path: URL }): Promise<unknown>;

  /** The names of all cases. */
  export function names(): string[];

  /** A device for the cases. */
  export class Conformance {
    private constructor();
    static open(device: string): Promise<Conformance>;
    readonly software: boolean;
    readonly limits: string;
    /** Runs the case with this index; returns its entries as JSON. */
    run(index: number): Promise<string>;
  }
}
