/** Adds files: chosen, dropped anywhere on the page, or the example. */
import { byId } from "./dom.js";
import { filesIn, naturally } from "../folders.js";

/** @typedef {import("../folders.js").Found} Found */

/**
 * @param {object} to
 * @param {(files: File[]) => void} to.addSongs
 * @param {(file: File) => void} to.addModel
 * @param {(message: string) => void} to.failed the example is not available
 * @param {(found: Found) => void} to.dropped reports what was found in a drop, before its files are added
 */
export function installDrop({ addSongs, addModel, failed, dropped }) {
  const input = /** @type {HTMLInputElement} */ (byId("file"));
  const modelInput = /** @type {HTMLInputElement} */ (byId("model-file"));
  const example = /** @type {HTMLButtonElement} */ (byId("example"));
  const veil = byId("veil");

  /** @param {Iterable<File>} files */
  const take = (files) => {
    const songs = [];
    for (const file of files) {
      if (/\.safetensors$/i.test(file.name)) addModel(file);
      else songs.push(file);
    }
    if (songs.length) addSongs(songs);
  };

  byId("choose").addEventListener("click", () => input.click());
  byId("model-choose").addEventListener("click", () => modelInput.click());
  input.addEventListener("change", () => { take([...(input.files ?? [])].sort(naturally)); input.value = ""; });
  modelInput.addEventListener("change", () => {
    const file = modelInput.files?.[0];
    modelInput.value = "";
    if (file) addModel(file);
  });
  example.addEventListener("click", async () => {
    example.disabled = true;
    try {
      const response = await fetch(new URL("../../example/song.flac", import.meta.url));
      if (!response.ok) throw new Error();
      addSongs([new File([await response.blob()], "Example song.flac", { type: "audio/flac" })]);
    } catch {
      failed("The example could not be downloaded. Check the connection and try again, or choose your own song.");
    } finally {
      example.disabled = false;
    }
  });

  let depth = 0;
  const carriesFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth -= 1;
    if (depth <= 0) veil.hidden = true;
  });
  addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    // The list of items is empty after this event.
    const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === "file");
    const entries = items.map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    // A file that another program makes during the drop has no entry.
    const others = items.filter((item) => !item.webkitGetAsEntry()).map((item) => item.getAsFile()).filter((file) => file !== null);
    filesIn(entries).then((found) => {
      dropped(found);
      take([...found.files, ...others]);
    });
  });
}
