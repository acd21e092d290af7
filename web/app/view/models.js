/** The card of the model. */
import { colours } from "./colours.js";
import { byId, setText } from "./dom.js";
import { bytes, millions } from "../format.js";

/** @typedef {import("../engine.js").Model} Model */

/**
 * Labels of the provenance entries that the wasm module reports. The other entries are scores, named by their metric.
 */
const LABELS = /** @type {Record<string, string>} */ ({
  tool: "Made with", date: "Date", data: "Trained on", notes: "Notes", steps: "Training steps", seed: "Random seed",
});

/** The training data of the demonstration model. Its file states only the name of a folder. */
const DEMO_DATA = "synthetic songs";

const DEMO = "This is a demonstration. It has only 350\u00a0000 parameters, and it was trained for ten minutes on synthetic songs, which a program composed. It has never heard a real recording. On real songs, drums usually come out well, and vocals are weak. For real music, use a model that was trained on real recordings.";

/**
 * Whether a built-in model is the demonstration model of this repository, by the provenance in its file. A host can put
 * another model in its place.
 * @param {Model} model
 */
const isDemo = ({ provenance: { data, date, steps } }) => data === "data" && date === "2026-11-25" && steps === 2310;

/**
 * What a model was trained on and what to expect of it, from the provenance in its file.
 * @param {Model} model
 */
export function about({ provenance }) {
  const { data, steps } = provenance;
  const scored = Object.keys(provenance).some((key) => !(key in LABELS));
  const trained = data
    ? `This model was trained on the data set “${data}”${steps ? ` in ${Number(steps).toLocaleString("en").replaceAll(",", "\u00a0")} steps` : ""}. Expect the best stems from music that resembles these songs.`
    : "The file does not say what this model was trained on.";
  const scores = scored
    ? "The details list its scores on test songs: the higher a score, the less of other stems is left in a stem."
    : "The file states no scores, so listen to its stems before you rely on them.";
  return `${trained} ${scores}`;
}

/**
 * @param {Model} model
 * @param {{name: string, size: number}|null} own the person's own file; null for the built-in model
 */
export function showModel(model, own) {
  setText(byId("model-name"), own ? `${own.name} (${model.name})` : model.name);
  setText(byId("model-origin"), own ? `your own · ${bytes(own.size)} in this browser's storage` : `built in · ${bytes(model.bytes)}`);
  const demo = own === null && isDemo(model);
  setText(byId("model-about"), demo ? DEMO : about(model));
  const provenance = demo ? { ...model.provenance, data: DEMO_DATA } : model.provenance;
  const strands = colours(model.stems);
  byId("model-stems").replaceChildren(...model.stems.map((stem, index) => {
    const item = document.createElement("li");
    item.dataset.colour = String(strands[index]);
    item.textContent = stem;
    return item;
  }));
  const facts = /** @type {[string, string][]} */ ([
    ["Parameters", millions(model.parameters)],
    ["Sample rate", `${model.sampleRate} Hz`],
    ...Object.entries(provenance).map(([key, value]) => [LABELS[key] ?? key, String(value)]),
  ]);
  byId("model-provenance").replaceChildren(...facts.flatMap(([key, value]) => {
    const term = document.createElement("dt");
    term.textContent = key;
    const definition = document.createElement("dd");
    definition.textContent = value;
    return [term, definition];
  }));
  byId("model-details").hidden = false;
  byId("model-clear").hidden = own === null;
}

/** @param {string} text shown instead of a name */
export function showNoModel(text) {
  setText(byId("model-name"), text);
  setText(byId("model-origin"), "");
  byId("model-stems").replaceChildren();
  setText(byId("model-about"), "");
  byId("model-details").hidden = true;
}
