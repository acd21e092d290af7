import { equal, test } from "./check.js";
import { Song } from "../app/song.js";
import { RangeView } from "../app/view/range.js";

/** Adds the elements that RangeView uses, for one test. @param {(song: Song, type: (id: "from"|"to", text: string) => void) => void} run */
function withRange(run) {
  const page = document.createElement("div");
  page.hidden = true;
  const parts = { div: ["range", "range-from", "range-to"], p: ["range-hint"], canvas: ["overview"], button: ["part-whole", "part-ten"], input: ["from", "to"] };
  for (const [tag, ids] of Object.entries(parts)) {
    for (const id of ids) page.append(Object.assign(document.createElement(tag), { id }));
  }
  document.body.append(page);
  try {
    const song = new Song(new File(["song"], "song.wav"));
    song.duration = 60.3777;
    song.range = { from: 10.0456, to: 20.0789 };
    new RangeView().show(song);
    run(song, (id, text) => {
      const input = /** @type {HTMLInputElement} */ (document.getElementById(id));
      input.value = text;
      input.dispatchEvent(new Event("change"));
    });
  } finally {
    page.remove();
  }
}

test("typing one end of a part does not change the other end", () => {
  withRange((song, type) => {
    type("from", "0:05");
    equal(song.range, { from: 5, to: 20.0789 });
    song.range = { from: 10.0456, to: 20.0789 };
    type("to", "0:30");
    equal(song.range, { from: 10.0456, to: 30 });
    type("to", "end");
    type("from", "0:12");
    equal(song.range, { from: 12, to: null });
  });
});

test("a part can be moved past its end by typing both ends", () => {
  withRange((song, type) => {
    type("from", "0:30");
    equal(song.range, { from: 10.0456, to: 20.0789 }, "before the second end is typed");
    equal(document.getElementById("from")?.getAttribute("aria-invalid"), "true");
    type("to", "0:40");
    equal(song.range, { from: 30, to: 40 });
    type("from", "soon");
    equal(song.range, { from: 30, to: 40 });
  });
});
