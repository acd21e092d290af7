import { equal, test } from "./check.js";
import { about, showModel, showNoModel } from "../app/view/models.js";

test("only the demonstration model is described as trained on synthetic songs", () => {
  const page = document.createElement("div");
  page.hidden = true;
  const ids = ["name", "origin", "about", "stems", "details", "provenance", "clear"];
  for (const id of ids) page.append(Object.assign(document.createElement("div"), { id: `model-${id}` }));
  document.body.append(page);
  try {
    const [, , text, , , facts] = /** @type {HTMLElement[]} */ ([...page.children]);
    const demo = () => /demonstration.*synthetic songs.*never heard a real recording.*vocals are weak/.test(text.textContent ?? "");
    const on = (/** @type {string} */ data) => facts.textContent?.includes(`Trained on${data}`);
    const model = { name: "net", stems: ["a", "b"], sampleRate: 44100, parameters: 1, provenance: { data: "data", seed: 3 }, bytes: 1, file: new Blob() };
    const demoModel = { ...model, provenance: { data: "data", date: "2026-11-25", steps: 2310 } };
    showModel(demoModel, null);
    equal([demo(), on("synthetic songs")], [true, true], "built in");
    showModel(model, null);
    equal([demo(), on("data")], [false, true], "another built in");
    showModel(model, { name: "own.safetensors", size: 1 });
    equal([demo(), on("data")], [false, true], "own");
    showModel(demoModel, null);
    showNoModel("No model");
    equal(text.textContent, "", "none");
  } finally {
    page.remove();
  }
});

test("the card says what a model was trained on, and whether there are scores", () => {
  const text = (/** @type {Record<string, string|number>} */ provenance) => about(/** @type {any} */ ({ provenance }));
  equal(/on the data set “musdb18hq” in 120\u00a0000 steps\..*no scores/.test(text({ tool: "unbraid", data: "musdb18hq", steps: 120000 })), true);
  equal(/does not say.*details list its scores/.test(text({ "uSDR vocals": "6.10 dB" })), true);
});
