import { equal, test } from "./check.js";
import { AUDIO_EXTENSIONS, isAudio, safeFileName, songName, withoutExtension } from "../app/names.js";

const utf8 = (/** @type {string} */ text) => new TextEncoder().encode(text).length;

test("only an extension is cut off a name", () => {
  equal(withoutExtension("a.b.flac"), "a.b");
  equal(withoutExtension("Mr. Brightside.mp3"), "Mr. Brightside");
  for (const whole of [".hidden", "none", "Mr. Brightside", "01. Intro", "St.Elsewhere", "Vol.2", "E.T.", "a.夢"]) equal(withoutExtension(whole), whole);
  equal(withoutExtension("letter.txt"), "letter");
  equal(withoutExtension("SONG.AIFF"), "SONG");
});

test("a song's name shows its letters in the order of the file's name", () => {
  equal(songName("gnp.\u202e3pm.flac"), "gnp.3pm");
  equal(songName("a\nb\ud800.wav"), "a b\ufffd");
  equal(songName("\u200e.wav"), ".wav");
  equal(songName(" .wav"), ".wav");
});

test("file names hold no character that a file system refuses", () => {
  equal(safeFileName("AC/DC: <live>?"), "AC_DC_ _live__");
  equal(safeFileName("../../x"), "_.._x");
  equal(safeFileName("..."), "song");
  equal(safeFileName("Ænima – 夢"), "Ænima – 夢");
  equal(safeFileName("a\u0000b\u0085c\u202ed\ud800"), "a_b_cd\ufffd");
  equal(safeFileName('Who? What: a *song*|"x"\\y'), "Who_ What_ a _song___x__y");
  equal(safeFileName("Wait. . ."), "Wait");
});

test("the names of Windows' devices are changed, and only these", () => {
  for (const device of ["CON", "nul", "Com1", "LPT9", "aux", "PRN", "COM²", "CONIN$"]) equal(safeFileName(device), `_${device}`);
  equal(safeFileName("NUL.2024 remix"), "_NUL.2024 remix");
  equal(safeFileName("con .x"), "_con .x");
  equal(safeFileName("aux", ".wav"), "_aux.wav");
  equal(safeFileName("CON", " - vocals.wav"), "CON - vocals.wav");
  for (const other of ["Con te partirò", "COM10", "LPT", "Auxiliary"]) equal(safeFileName(other), other);
});

test("long names are cut to 240 bytes, between two characters as a reader sees them", () => {
  for (const character of ["x", "é", "e\u0301", "夢", "👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "한"]) {
    const cut = safeFileName(character.repeat(300), " - vocals.wav");
    const [song, rest] = cut.split(" - ");
    const [bytes, each] = [utf8(cut), utf8(character)];
    equal([rest, song.replaceAll(character, ""), bytes <= 240, bytes > 240 - each], ["vocals.wav", "", true, true], character);
  }
  // One character of 2 000 bytes.
  equal(safeFileName(`e${"\u0301".repeat(1000)}`), "song");
  equal(safeFileName(`${"x".repeat(239)}. y`), "x".repeat(239), "no dot at the end of a cut name");
});

test("files are audio by their extension", () => {
  equal(["a.MP3", "x.y.opus", "a.mov"].map(isAudio), [true, true, true]);
  equal([".mp3", "mp3", "cover.jpg", "a.mp3.txt", "a.safetensors"].map(isAudio), [false, false, false, false, false]);
});

test("the file dialog offers the same extensions, and models", async () => {
  const html = await (await fetch(new URL("../index.html", import.meta.url))).text();
  const input = new DOMParser().parseFromString(html, "text/html").getElementById("file");
  const offered = (input?.getAttribute("accept") ?? "").split(",").filter((part) => part.startsWith("."));
  equal(offered, [...AUDIO_EXTENSIONS, "safetensors"].map((extension) => `.${extension}`));
});
