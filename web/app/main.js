/** Connects the parts of the page. studio.js holds the songs and their jobs; view/ holds the controls. */
import { Engine } from "./engine.js";
import { Player } from "./player.js";
import { Studio } from "./studio.js";
import { TapeDeck } from "./tape-deck.js";
import { clearModel, defaultModel, storeModel, storedModel } from "./models.js";
import { Awake } from "./awake.js";
import { bytes } from "./format.js";
import { tabTitle } from "./title.js";
import { byId, setText } from "./view/dom.js";
import { Downloads } from "./view/downloads.js";
import { Mixer } from "./view/mixer.js";
import { SongsView } from "./view/songs.js";
import { announce, notify, withdraw } from "./view/notices.js";
import { installDrop } from "./view/drop.js";
import { installShortcuts } from "./view/shortcuts.js";
import { showModel, showNoModel } from "./view/models.js";

/** @typedef {import("./song.js").Song} Song */

const query = new URLSearchParams(location.search);
const asked = query.get("device");
const engine = new Engine(asked === "cpu" || asked === "gpu" ? asked : "auto", Number(query.get("workers")) || null);
const studio = new Studio(engine, new TapeDeck());
const player = new Player();
const mixer = new Mixer(player);
const downloads = new Downloads(mixer);
const songsView = new SongsView(studio, () => engine.model !== null);
const awake = new Awake();
installShortcuts(mixer, player);

/** The sample rate of most music and of the built-in model, in Hz. */
const USUAL_RATE = 44100;

/** @type {Song|null} */
let chosen = null;
/** The last song that ended while the tab was hidden. @type {Song|null} */
let unseen = null;

/** @param {Song|null} song */
function choose(song) {
  if (song !== chosen) player.stop();
  chosen = song;
  const some = studio.songs.length > 0;
  byId("welcome").hidden = some;
  byId("drop").classList.toggle("small", some);
  songsView.show(song);
  mixer.show(song);
  downloads.show(song);
}

/** @template T @param {EventTarget} target @param {string} name @param {(detail: T) => void} then */
function on(target, name, then) {
  target.addEventListener(name, (event) => then(/** @type {CustomEvent<T>} */ (event).detail));
}

// Songs

on(studio, "songs", (/** @type {Song} */ song) => {
  const { songs } = studio;
  if (chosen === null || !songs.includes(chosen)) choose(songs.includes(song) ? song : songs.at(-1) ?? null);
  else songsView.updateList();
  showWork();
});
on(studio, "overview", (/** @type {Song} */ song) => {
  songsView.updateOverview(song);
  if (song.overviewDone) songsView.updateList();
});
on(studio, "leave", (/** @type {Song} */ song) => {
  if (song === chosen) player.stop();
});
on(studio, "tape", (/** @type {Song} */ song) => {
  if (song !== chosen) return;
  mixer.show(song);
  downloads.show(song);
  song.tape?.addEventListener("grow", () => { if (song === chosen) songsView.update(); });
});
on(studio, "song", (/** @type {Song} */ song) => {
  songsView.updateList();
  if (song === chosen) {
    songsView.update();
    downloads.update();
  }
  if (song.state === "done" && song.tape?.finished) announce(`${song.name} is separated. You can play and download its stems.`);
  if (document.hidden && (song.state === "done" || song.state === "failed")) unseen = song;
  showWork();
});
on(studio, "progress", (/** @type {Song} */ song) => {
  if (song === chosen) songsView.update();
  songsView.updateList();
  showWork();
});
on(studio, "trouble", notify);
on(songsView, "choose", choose);
on(player, "trouble", (/** @type {string} */ message) => notify({ title: "The stems cannot be played", message }));

/** Shows the work in the title, and keeps the browser awake for it. */
function showWork() {
  awake.set(studio.songs.some(({ busy }) => busy));
  const title = tabTitle(studio.songs, unseen);
  if (document.title !== title) document.title = title;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unseen = null;
  showWork();
});

// The model

/** @typedef {{name: string, blob: Blob, keep: boolean}} OwnModel `keep`: store it once it is in use */

/**
 * The person's own models by their files. The built-in model's file is not among them.
 * @type {WeakMap<Blob, OwnModel>}
 */
const ownModels = new WeakMap();

/** @param {OwnModel|null|Promise<OwnModel|null>} wanted null is the built-in model */
async function tryModel(wanted) {
  const find = async () => {
    const own = await wanted;
    if (!own) return defaultModel();
    ownModels.set(own.blob, own);
    return own.blob;
  };
  try {
    await engine.useModel(find());
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    if (!engine.model) showNoModel("No model");
    notify({ title: "There is no model", message, key: "model" });
  }
}

on(engine, "model", async (/** @type {import("./engine.js").Model|null} */ model) => {
  songsView.updateList();
  songsView.update();
  if (!model) return;
  const own = ownModels.get(model.file);
  withdraw("model");
  if (own?.keep) withdraw("own-model");
  showModel(model, own ? { name: own.name, size: own.blob.size } : null);
  if (!own?.keep) return;
  own.keep = false;
  announce(`The model ${own.name} is in use. Its stems: ${model.stems.join(", ")}.`);
  try {
    await storeModel(own.name, own.blob);
  } catch {
    notify({ title: "The model is in use, but not stored", message: "The browser could not store it. Choose the file again after you reload the page.", info: true, key: "model-storage" });
  }
});

on(engine, "trouble", async (/** @type {import("./engine.js").Trouble} */ { kind, message, file }) => {
  if (kind !== "model") {
    if (kind === "device") showDevice(null);
    if (!engine.model) showNoModel("Not loaded");
    notify({ title: kind === "device" ? "No usable device" : "The separation program crashed", message, key: kind });
    return;
  }
  const own = file && ownModels.get(file);
  notify({ title: own ? `${own.name} cannot be used` : "The built-in model cannot be used", message, key: own ? "own-model" : "model" });
  if (!own) {
    showNoModel("No model");
    return;
  }
  if (!own.keep) await clearModel().catch(() => {});
  restoreModel();
});

/** Returns to the stored model, or else to the built-in model. */
function restoreModel() {
  tryModel(storedModel().then((stored) => stored && { ...stored, keep: false }));
}

byId("model-clear").addEventListener("click", async () => {
  if (studio.songs.some(({ busy }) => busy)) return;
  await clearModel().catch(() => {});
  await tryModel(null);
  byId("model-choose").focus();
});

installDrop({
  addSongs: (files) => {
    for (const file of files) studio.add(file);
    if (studio.songs.length > 0) player.open(engine.model?.sampleRate ?? USUAL_RATE);
  },
  addModel: (file) => {
    if (studio.songs.some(({ busy }) => busy)) {
      notify({ title: "A separation is running", message: "Wait until it is done, or cancel it. Then choose the model again.", info: true, key: "model" });
    } else {
      tryModel({ name: file.name, blob: file, keep: true });
    }
  },
  failed: (message) => notify({ title: "The example is not available", message }),
  dropped: ({ empty, unreadable, cut }) => {
    for (const name of empty) {
      notify({ title: `There are no songs in the folder “${name}”`, message: "Neither the folder nor its subfolders contain an audio file.", info: true });
    }
    if (unreadable.length) notify({ title: "Some files could not be read", message: unreadable.join(", ") });
    if (cut) notify({ title: "There are too many files", message: "Only a part of them was looked at. Drop a smaller folder.", info: true });
  },
});

// The device

/** @param {import("../types/protocol.d.ts").Device|null} device */
function showDevice(device) {
  const badge = byId("device");
  badge.dataset.kind = device ? (device.software ? "cpu" : device.kind) : "none";
  badge.dataset.software = String(device?.software ?? false);
  setText(badge, !device ? "No usable device" : device.software ? `Software GPU: ${device.name}` : `${device.kind.toUpperCase()}: ${device.name}`);
}

on(engine, "device", (/** @type {import("../types/protocol.d.ts").Device} */ device) => {
  showDevice(device);
  if (device.note && isSecureContext) notify({ title: "The CPU is used.", message: device.note, info: true, key: "device" });
});
on(engine, "recovered", (/** @type {{message: string}} */ { message }) => {
  notify({ title: "The GPU failed and was reopened.", message, info: true, key: "recovered" });
});
on(engine, "fallback", () => {
  withdraw("bug");
  notify({ title: "The GPU cannot be used.", message: "It failed twice, so the CPU computes from now on. The CPU is slower, but the stems have the same quality. If a song stopped, choose “Continue” or “Separate”.", info: true, key: "fallback" });
});
on(engine, "memory", (/** @type {{wasm: number, gpu: number|null}} */ { wasm, gpu }) => {
  const memory = byId("memory");
  memory.dataset.wasm = String(wasm);
  memory.dataset.gpu = String(gpu ?? "");
  setText(memory, `Memory in use: ${bytes(wasm)}${gpu ? `, and ${bytes(gpu)} on the GPU` : ""}`);
});

// The browser asks before it closes a page with stems that were not downloaded.
addEventListener("beforeunload", (event) => {
  if (studio.songs.some(({ busy, tape }) => busy || (tape !== null && tape.frames > 0 && !tape.saved))) event.preventDefault();
});

byId("no-start").remove();
if (!isSecureContext) {
  notify({
    title: "This address limits the browser",
    message: `Pages from ${location.origin} have no access to the GPU and to the disk, because they come by plain http from another machine. The CPU computes, and the stems stay in memory. For full speed, run “cargo xtask web serve” on this machine, or serve the page by https.`,
    info: true,
    key: "insecure",
  });
}
choose(null);
restoreModel();
