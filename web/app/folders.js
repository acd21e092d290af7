/** The songs in dropped files and folders. */
import { isAudio } from "./names.js";

/** Files and folders that are looked at. A person may drop a whole disk. */
const MOST = 20_000;
/** Folders that operating systems and storage devices add. */
const FOREIGN = /^(\.|@eaDir$|__MACOSX$|lost\+found$|#recycle$|\$RECYCLE\.BIN$|System Volume Information$)/;

const { compare } = new Intl.Collator(undefined, { numeric: true });

/** Compares names as a person does: “2 B” comes before “10 A”. @param {{name: string}} a @param {{name: string}} b */
export const naturally = (a, b) => compare(a.name, b.name);

/**
 * @typedef {object} Found
 * @property {File[]} files the dropped files, and the audio files in dropped folders and their subfolders
 * @property {string[]} empty names of the dropped folders without audio files
 * @property {string[]} unreadable names of what could not be read
 * @property {boolean} cut there were too many files to look at all of them
 */

/**
 * @param {FileSystemEntry[]} dropped
 * @returns {Promise<Found>} in natural order
 */
export async function filesIn(dropped) {
  /** @type {Found} */
  const found = { files: [], empty: [], unreadable: [], cut: false };
  let seen = 0;

  /** @param {FileSystemEntry} entry @param {boolean} inFolder */
  const visit = async (entry, inFolder) => {
    seen += 1;
    if (seen > MOST) {
      found.cut = true;
      return;
    }
    if (inFolder && (FOREIGN.test(entry.name) || (entry.isFile && !isAudio(entry.name)))) return;
    try {
      if (entry.isFile) found.files.push(await fileOf(/** @type {FileSystemFileEntry} */ (entry)));
      else for (const child of await childrenOf(/** @type {FileSystemDirectoryEntry} */ (entry))) await visit(child, true);
    } catch {
      found.unreadable.push(entry.name);
    }
  };

  for (const entry of [...dropped].sort(naturally)) {
    const before = found.files.length + found.unreadable.length;
    await visit(entry, false);
    if (entry.isDirectory && !found.cut && found.files.length + found.unreadable.length === before) found.empty.push(entry.name);
  }
  return found;
}

/** @param {FileSystemFileEntry} entry @returns {Promise<File>} */
function fileOf(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

/** @param {FileSystemDirectoryEntry} folder @returns {Promise<FileSystemEntry[]>} in natural order */
async function childrenOf(folder) {
  const reader = folder.createReader();
  const children = [];
  // A reader returns a part of the entries at a time, and nothing at the end.
  for (;;) {
    const part = await new Promise((/** @type {(entries: FileSystemEntry[]) => void} */ resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) return children.sort(naturally);
    children.push(...part);
    if (children.length > MOST) return children;
  }
}
