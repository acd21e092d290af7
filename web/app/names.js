/** Names of songs, and names of files that every file system accepts. */

/** The extensions of audio files. `accept` in index.html has the same ones. */
export const AUDIO_EXTENSIONS = [
  "wav", "wave", "w64", "aif", "aiff", "aifc", "caf", "flac", "mp3", "ogg", "oga", "opus", "m4a", "m4b", "mp4", "mov",
  "aac", "webm", "weba", "mka",
];

/** Controls of text direction. In a name they can hide the extension. */
const DIRECTION = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;
/** The names of devices on Windows. */
const RESERVED = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])$/i;
/** Bytes. File systems allow 255, and browsers append ` (1)` or `.crdownload`. */
const LONGEST = 240;

/** Whether a file has the extension of an audio file. @param {string} name */
export function isAudio(name) {
  const dot = name.lastIndexOf(".");
  return dot > 0 && AUDIO_EXTENSIONS.includes(name.slice(dot + 1).toLowerCase());
}

/**
 * `My song.final.flac` → `My song.final`. A dot within the title, as in `Mr. Brightside`, starts no extension.
 * @param {string} name
 */
export function withoutExtension(name) {
  const [, title, extension] = /^(.+)\.([a-z0-9]+)$/i.exec(name) ?? [];
  if (title === undefined) return name;
  const known = AUDIO_EXTENSIONS.includes(extension.toLowerCase());
  return known || (extension.length <= 4 && /[a-z]/i.test(extension)) ? title : name;
}

/** The name of a song, from the name of its file. @param {string} name */
export function songName(name) {
  return withoutExtension(name.toWellFormed().replace(DIRECTION, "").replace(CONTROL, " ").trim()) || "song";
}

/**
 * A file name that every file system accepts. A long name is cut between two characters as a reader sees them.
 * @param {string} name
 * @param {string} [ending] of the file name; it is kept whole
 * @param {number} [longest] bytes of the result
 */
export function safeFileName(name, ending = "", longest = LONGEST) {
  const encoder = new TextEncoder();
  const legal = name.toWellFormed().replace(DIRECTION, "").replace(CONTROL, "_").replace(/[<>:"/\\|?*]/g, "_");
  let room = longest - encoder.encode(ending).length;
  let end = 0;
  const start = legal.replace(/^[. ]+/, "");
  for (const { segment, index } of new Intl.Segmenter().segment(start)) {
    room -= encoder.encode(segment).length;
    if (room < 0) break;
    end = index + segment.length;
  }
  const cut = start.slice(0, end).replace(/[. ]+$/, "") || "song";
  // Windows ignores everything after the first dot.
  return `${RESERVED.test(`${cut}${ending}`.split(".")[0].trimEnd()) ? "_" : ""}${cut}${ending}`;
}
