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

/**
 * Whether a built-in model is the demonstration model of this repository, by the provenance in its file. A host can put
 * another model in its place.
 * @param {Model} model
 */
const isDemo = ({ provenance: { data, date, steps } }) => data === "data" && date === "2026-11-25" && steps === 2310;

/**
 * @param {Model} model
 * @param {{name: string, size: number}|null} own the person's own file; null for the built-in model
 */
export function showModel(model, own) {
  setText(byId("model-name"), own ? `${own.name} (${model.name})` : model.name);
  setText(byId("model-origin"), own ? `your own · ${bytes(own.size)} in this browser's storage` : `built in · ${bytes(model.bytes)}`);
  const demo = own === null && isDemo(model);
  byId("model-demo").hidden = !demo;
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
  byId("model-demo").hidden = true;
  byId("model-details").hidden = true;
}
