import { equal, test } from "./check.js";
import { showModel, showNoModel } from "../app/view/models.js";

test("only the demonstration model is labelled as trained on synthetic songs", () => {
  const page = document.createElement("div");
  page.hidden = true;
  const ids = ["name", "origin", "demo", "stems", "details", "provenance", "clear"];
  for (const id of ids) page.append(Object.assign(document.createElement("div"), { id: `model-${id}` }));
  document.body.append(page);
  try {
    const [, , demo, , , facts] = /** @type {HTMLElement[]} */ ([...page.children]);
    const model = { name: "net", stems: ["a", "b"], sampleRate: 44100, parameters: 1, provenance: { data: "a folder", seed: 3 }, bytes: 1, file: new Blob() };
    const demoModel = { ...model, provenance: { data: "data", date: "2026-11-25", steps: 2310 } };
    showModel(demoModel, null);
    equal([demo.hidden, facts.textContent?.includes("Trained onsynthetic songs")], [false, true], "built in");
    showModel(model, null);
    equal([demo.hidden, facts.textContent?.includes("Trained ona folder")], [true, true], "another built in");
    showModel(model, { name: "own.safetensors", size: 1 });
    equal([demo.hidden, facts.textContent?.includes("Trained ona folder")], [true, true], "own");
    showModel(demoModel, null);
    showNoModel("No model");
    equal(demo.hidden, true, "none");
  } finally {
    page.remove();
  }
});
