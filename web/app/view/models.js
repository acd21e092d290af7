/** The card of the model in use. */
import { colours } from "./colours.js";
import { byId, setText } from "./dom.js";
import { bytes, millions } from "../format.js";

/** @typedef {import("../engine.js").Model} Model */

/** What the training program writes, in people's words; anything else is shown as it is. */
const LABELS = /** @type {Record<string, string>} */ ({
  network: "Network", dataset: "Trained on", data: "Trained on", steps: "Training steps", step: "Training steps",
  date: "Date", version: "Unbraid version", licence: "Licence", license: "Licence", precision: "Precision", run: "Run",
});

/** @param {Model} model @param {{name: string, size: number}|null} own the person's file, if it is theirs */
export function showModel(model, own) {
  setText(byId("model-name"), own ? `${own.name} (${model.name})` : model.name);
  setText(byId("model-origin"), own ? `yours · ${bytes(own.size)} in this browser's storage` : `built in · ${bytes(model.bytes)}`);
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
    ...Object.entries(model.provenance ?? {}).map(([key, value]) => [LABELS[key] ?? key, String(value)]),
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

/** @param {string} text why there is none */
export function showNoModel(text) {
  setText(byId("model-name"), text);
  setText(byId("model-origin"), "");
  byId("model-stems").replaceChildren();
  byId("model-details").hidden = true;
}
