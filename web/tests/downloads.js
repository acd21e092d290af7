import { equal, test } from "./check.js";
import { Song } from "../app/song.js";
import { Downloads } from "../app/view/downloads.js";

/** The elements of index.html that Downloads uses. */
function page() {
  const page = document.createElement("div");
  const parts = { button: ["download-zip", "download-mix", "download-cancel"], p: ["download-note", "live"], select: ["format"] };
  for (const [tag, ids] of Object.entries(parts)) {
    for (const id of ids) page.append(Object.assign(document.createElement(tag), { id }));
  }
  document.body.append(page);
  return page;
}

test("a download keeps its stem's name after a long song name, and the button keeps the keyboard focus", async () => {
  const here = page();
  const names = /** @type {string[]} */ ([]);
  // Prevents real downloads.
  const catchLink = (/** @type {Event} */ event) => {
    if (!(event.target instanceof HTMLAnchorElement)) return;
    event.preventDefault();
    names.push(event.target.download);
  };
  document.addEventListener("click", catchLink);
  try {
    let finish = (/** @type {{blob: Blob, clipped: number}} */ _) => {};
    const song = new Song(new File(["song"], `${"Long: ".repeat(40)}.wav`));
    song.stems = ["vocals"];
    const tape = Object.assign(new EventTarget(), {
      finished: true, frames: 9, saved: false,
      export: () => new Promise((resolve) => { finish = resolve; }),
      cancelExport: () => {},
    });
    song.tape = /** @type {any} */ (tape);
    const mixer = Object.assign(new EventTarget(), { shown: () => [{ name: "vocals", gains: [0, 1] }] });
    new Downloads(/** @type {any} */ (mixer)).show(song);
    const [zip, cancel] = ["download-zip", "download-cancel"].map((id) => /** @type {HTMLButtonElement} */ (document.getElementById(id)));
    const finished = async () => {
      finish({ blob: new Blob(["file"]), clipped: 0 });
      for (let i = 0; i < 100 && !cancel.hidden; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    };

    mixer.dispatchEvent(new CustomEvent("save", { detail: 0 }));
    equal(tape.saved, false);
    await finished();
    equal([names[0].startsWith("Long_ Long_"), names[0].endsWith(" - vocals.wav"), names[0].length <= 240], [true, true, true]);
    equal(tape.saved, true);

    zip.focus();
    zip.click();
    equal([document.activeElement?.id, zip.getAttribute("aria-disabled")], ["download-zip", "true"]);
    cancel.focus();
    await finished();
    equal([document.activeElement?.id, zip.getAttribute("aria-disabled")], ["download-zip", "false"]);
  } finally {
    document.removeEventListener("click", catchLink);
    here.remove();
  }
});
