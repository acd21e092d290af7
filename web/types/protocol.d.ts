/** The messages between the page and its workers, and the values in them. Both sides import their types from here. */

/** The left and the right channel, full scale ±1. */
export type Stereo = [Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>];

/** The device that a person asks for; `auto` is the GPU unless there is none or it is a software adapter. */
export type DeviceChoice = "auto" | "gpu" | "cpu";

/** The device that computes. */
export interface Device {
  kind: "gpu" | "cpu";
  name: string;
  /** The browser runs WebGPU on the CPU. */
  software: boolean;
  /** A sentence for the person, if the device is slower than it could be. */
  note: string | null;
}

/** The wasm module's description of a weights file. */
export interface ModelInfo {
  name: string;
  stems: string[];
  /** In Hz. */
  sampleRate: number;
  /** Number of parameters. */
  parameters: number;
  /** The training program's record of the training. */
  provenance: Record<string, string | number>;
  /** Size of the file. */
  bytes: number;
}

/** The cause of a failure; `bug` is an unexpected error. */
export type FailureKind = "file" | "model" | "device" | "bug";

// The separation worker: worker.js and app/engine.js

/** Reads the waveform of a song; the answers are `overview` messages. */
export interface OverviewRequest {
  type: "overview";
  job: number;
  file: File;
}

/** Separates a part of a song; the answers are `progress`, `memory` and `block` messages, and `done` at the end. */
export interface SeparateRequest {
  type: "separate";
  job: number;
  file: File;
  /** In seconds. */
  from: number;
  /** In seconds; null is the end of the song. */
  to: number | null;
}

/** A request that waits in the worker until all earlier requests are finished. */
export type WorkerRequest =
  /** Opens the device; the answer is `ready`. `workers` compute if there is no GPU; null: as many as the device allows. */
  | { type: "start"; device: DeviceChoice; workers: number | null }
  /** Loads a weights file; the answer is `model`. The answer and an error carry the number `request`. */
  | { type: "model"; request: number; file: Blob }
  | OverviewRequest
  | SeparateRequest;

export type ToWorker =
  | WorkerRequest
  /** Ends a job, waiting or running; the answer is `cancelled`. */
  | { type: "cancel"; job: number }
  /** For tests: destroys the GPU device, as a failing driver does; without a GPU, one helper fails. */
  | { type: "lose" };

/** Peaks of the samples from `start` on: the minimum and the maximum of each 1024 samples, in pairs. */
export interface OverviewMessage {
  type: "overview";
  job: number;
  sampleRate: number;
  /** Length of the song in samples, once it is known. */
  samples: number | null;
  start: number;
  peaks: Float32Array<ArrayBuffer>;
  /** This is the last message of the job. */
  done: boolean;
  /** Facts about the file that a person should know, as clauses in lower case. Empty until `done`. */
  notices: string[];
}

/** `done` and `total` in samples; `total` is null until the length is known. `speed`: seconds of audio per second. */
export interface ProgressMessage {
  type: "progress";
  job: number;
  done: number;
  total: number | null;
  speed: number;
}

/** Finished samples from `start` on. */
export interface BlockMessage {
  type: "block";
  job: number;
  start: number;
  mixture: Stereo;
  stems: Stereo[];
}

export interface DoneMessage {
  type: "done";
  job: number;
  samples: number;
  /** Run time. */
  seconds: number;
  /** Those of {@link OverviewMessage}, for the part that was read. */
  notices: string[];
}

/** Bytes of the wasm heaps of all workers and of the GPU's memory; `gpu` is null on the CPU. */
export interface MemoryMessage {
  type: "memory";
  wasm: number;
  gpu: number | null;
}

/** The GPU device was lost and opened again; the job continues. */
export interface RecoveredMessage {
  type: "recovered";
  job: number;
  message: string;
}

/** A failed job or request. `message` is for the person. */
export interface ErrorMessage {
  type: "error";
  /** null: the failure belongs to no job. */
  job: number | null;
  /** The failed `model` request. */
  request?: number;
  /** `format`: the worker does not read the format of the song. The browser's own decoder may. */
  kind: FailureKind | "format";
  message: string;
}

export type FromWorker =
  /** The device is open. Sent again when the device changes. */
  | { type: "ready"; device: Device }
  | { type: "model"; request: number; model: ModelInfo }
  | OverviewMessage
  | ProgressMessage
  | BlockMessage
  | DoneMessage
  | MemoryMessage
  | RecoveredMessage
  | { type: "cancelled"; job: number }
  | ErrorMessage;

// A helper of the separation worker: helper.js and pool.js

export type ToHelper =
  /** Loads the weights file; the answer is `ready`. */
  | { type: "start"; module: WebAssembly.Module; model: Blob }
  /** The answer is `stems`. */
  | { type: "segment"; segment: Stereo };

/** `heap`: bytes of the helper's wasm heap. */
export type FromHelper =
  | { type: "ready"; heap: number }
  | { type: "stems"; stems: Stereo[]; heap: number }
  /** The helper cannot be used any longer. */
  | { type: "failed"; message: string };

// The tape worker: app/tape/worker.js and app/tape-deck.js. `song` is the `id` of a Song.

export type SampleFormat = "int16" | "int24" | "float32";

/** A file to write: its name with extension, and the gain of each track. */
export interface ExportItem {
  name: string;
  gains: number[];
}

export interface ExportRequest {
  items: ExportItem[];
  format: SampleFormat;
  /** One zip archive of all items; otherwise `items` has one element. */
  zip: boolean;
}

/** The calls of the tape worker, each with its request and its result. */
export interface TapeCalls {
  /** `expected` in frames, 0 if unknown. `hop`: samples per picture cell. */
  open: { request: { song: number; tracks: number; sampleRate: number; expected: number }; result: { hop: number } };
  /** Appends a block to all tracks. `frames`: the length of the tape afterwards. */
  append: { request: { song: number; block: Stereo[] }; result: { frames: number } };
  /** `sumSnr`: SNR of the sum of the stems against the original in dB; null for a silent original. */
  finish: { request: { song: number }; result: { sumSnr: number | null } };
  /** Allows more appends after `finish`. `pictures`: the pictures to draw again, as gains of all tracks. */
  reopen: { request: { song: number; pictures: number[][] }; result: void };
  /** Draws the picture of a sum of tracks. `gains`: of all tracks. */
  addPicture: { request: { song: number; gains: number[] }; result: void };
  /** `from` and `count` in frames. */
  read: { request: { song: number; tracks: number[]; from: number; count: number }; result: Stereo[] };
  /** `clipped`: the number of samples that were limited to full scale. */
  export: { request: { song: number } & ExportRequest; result: { blob: Blob; clipped: number } };
  cancelExport: { request: {}; result: void };
  close: { request: { song: number }; result: void };
}

/** A call; the reply carries the same `id`. */
export type TapeRequest<C extends keyof TapeCalls = keyof TapeCalls> = {
  [K in C]: { id: number; call: K; request: TapeCalls[K]["request"] };
}[C];

export type FromTape =
  | { id: number; result: TapeCalls[keyof TapeCalls]["result"] }
  | { id: number; error: { name: string; message: string } }
  /** Finished cells of the picture `key`: see `pictureKey` in app/tape/picture.js. */
  | {
      event: "cells";
      song: number;
      key: string;
      first: number;
      peaks: Float32Array<ArrayBuffer>;
      spectrum: Uint8Array<ArrayBuffer>;
    }
  /** Progress of a download, 0 to 1. */
  | { event: "export"; song: number; share: number };

// The conformance worker: conformance/worker.js and conformance/conformance.js

/** One line of the report; the Rust type is `Entry` in tests/src/report.rs. */
export interface ConformanceEntry {
  device: string;
  fusion: string;
  case: string;
  tensor: string;
  max_error: number | null;
  snr_db: number | null;
  bound: number | null;
  reason: string;
  verdict: "pass" | "fail" | { skipped: string };
}

/** The opened device, and how many cases there are and will run. */
export interface ConformanceDevice {
  device: string;
  adapter: string;
  software: boolean;
  limits: string;
  all: number;
  chosen: number;
}

/** Runs the cases whose name contains one of the texts `only`. */
export interface ToConformance {
  device: string;
  only: string[];
}

export type FromConformance =
  | { type: "open"; open: ConformanceDevice }
  | { type: "began"; name: string }
  | { type: "entries"; name: string; entries: ConformanceEntry[]; seconds: number }
  | { type: "done" }
  | { type: "error"; message: string };
