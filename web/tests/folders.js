import { equal, test } from "./check.js";
import { filesIn, naturally } from "../app/folders.js";

/** A file entry, as a drop has them. @param {string} name @param {boolean} [broken] */
const file = (name, broken = false) => ({
  name, isFile: true, isDirectory: false,
  file: (/** @type {(file: File) => void} */ found, /** @type {(error: Error) => void} */ failed) => (broken ? failed(new Error("gone")) : found(new File(["x"], name))),
});

/** A folder entry, which returns two of its entries at a time. @param {string} name @param {any[]} entries */
const folder = (name, ...entries) => ({
  name, isFile: false, isDirectory: true,
  createReader: () => {
    const left = [...entries];
    return { readEntries: (/** @type {(part: any[]) => void} */ found) => found(left.splice(0, 2)) };
  },
});

const found = (/** @type {any[]} */ ...dropped) => filesIn(dropped);
const names = (/** @type {{files: File[]}} */ { files }) => files.map(({ name }) => name);

test("the audio files of folders and subfolders are found in natural order", async () => {
  const album = folder("Album",
    file("10 End.mp3"), file("2 Middle.FLAC"), file("cover.jpg"), file("1 Start.opus"), file("notes.txt"), file("model.safetensors"),
    folder("3 Live", file("b.wav"), file("a.m4a")), folder("Empty"));
  const result = await found(file("z.wav"), album, file("letter.txt"));
  equal(names(result), ["1 Start.opus", "2 Middle.FLAC", "a.m4a", "b.wav", "10 End.mp3", "letter.txt", "z.wav"]);
  equal([result.empty, result.unreadable, result.cut], [[], [], false]);
});

test("what operating systems add to folders is passed over", async () => {
  const added = ["@eaDir", "__MACOSX", "lost+found", ".Trashes", "System Volume Information"].map((name) => folder(name, file("x.mp3")));
  equal(names(await found(folder("Album", ...added, file("._a.mp3"), file("a.mp3")))), ["a.mp3"]);
});

test("a dropped folder without songs is reported, and so is a file that cannot be read", async () => {
  const result = await found(folder("Photos", file("a.jpg"), folder("2020")), folder("Songs", file("gone.mp3", true), file("b.mp3")), folder("Lost", file("c.mp3", true)));
  equal([names(result), result.empty, result.unreadable], [["b.mp3"], ["Photos"], ["c.mp3", "gone.mp3"]]);
});

test("a drop of too many files ends", async () => {
  // A folder that contains itself.
  const loop = /** @type {any} */ (folder("loop"));
  loop.createReader = folder("loop", file("a.mp3"), loop).createReader;
  const result = await found(loop);
  equal([result.cut, result.files.length], [true, 10_000]);
});

test("numbers in names are compared as numbers", () => {
  const sorted = ["Track 10", "track 9", "Track 1", "2", "10"].map((name) => ({ name })).sort(naturally);
  equal(sorted.map(({ name }) => name), ["2", "10", "Track 1", "track 9", "Track 10"]);
});
