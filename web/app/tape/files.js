/**
 * Files with appends at the end and reads at any place. They are on disk if the browser has a private file system.
 * Otherwise they are Blobs, which most browsers move out of memory. Only the tape worker uses them.
 */

/**
 * @typedef {object} Sink
 * @property {number} size bytes so far
 * @property {(bytes: Uint8Array<ArrayBuffer>) => Promise<void>|void} append
 * @property {(length: number) => number} reserve leaves room at the end; returns the argument `room` of `fill`
 * @property {(room: number, bytes: Uint8Array<ArrayBuffer>) => Promise<void>|void} fill
 */

/**
 * The used part of FileSystemSyncAccessHandle, which TypeScript declares for workers only. The page's tests import this
 * file too.
 * @typedef {object} SyncAccess
 * @property {(bytes: Uint8Array<ArrayBuffer>, options: {at: number}) => number} read
 * @property {(bytes: Uint8Array<ArrayBuffer>, options: {at: number}) => number} write
 * @property {(size: number) => void} truncate
 * @property {() => void} flush
 * @property {() => void} close
 */

/** One open file of the private file system. */
class DiskFile {
  #file;
  #folder;
  #access;
  size = 0;

  /** @param {FileSystemDirectoryHandle} folder @param {FileSystemFileHandle} file @param {SyncAccess} access */
  constructor(folder, file, access) {
    this.#folder = folder;
    this.#file = file;
    this.#access = access;
  }

  /** @param {FileSystemDirectoryHandle} folder @param {string} name */
  static async create(folder, name) {
    const file = await folder.getFileHandle(name, { create: true });
    const opener = /** @type {{createSyncAccessHandle: () => Promise<SyncAccess>}} */ (/** @type {unknown} */ (file));
    const access = await opener.createSyncAccessHandle();
    access.truncate(0);
    return new DiskFile(folder, file, access);
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  append(bytes) {
    this.fill(this.size, bytes);
    this.size += bytes.length;
  }

  /** @param {number} length */
  reserve(length) {
    const room = this.size;
    this.size += length;
    return room;
  }

  /** @param {number} room @param {Uint8Array<ArrayBuffer>} bytes */
  fill(room, bytes) {
    const written = this.#access.write(bytes, { at: room });
    if (written < bytes.length) throw new DOMException("The disk is full.", "QuotaExceededError");
  }

  /** @param {number} from @param {number} to bytes */
  async read(from, to) {
    const bytes = new Uint8Array(to - from);
    const count = this.#access.read(bytes, { at: from });
    if (count < bytes.length) throw new Error("a finished part of the song is missing in the browser's storage");
    return bytes;
  }

  /** @param {number} size bytes to keep */
  truncate(size) {
    this.#access.truncate(size);
    this.size = size;
  }

  /** Closes the file and returns it as a Blob on disk. */
  async toBlob() {
    this.#access.flush();
    this.#access.close();
    return this.#file.getFile();
  }

  async remove() {
    this.#access.close();
    await this.#folder.removeEntry(this.#file.name).catch(() => {});
  }
}

/** A file in Blobs, with the same methods. */
export class BlobFile {
  /** @type {Blob[]} */ #parts = [];
  /** All parts in one Blob; null after a change. @type {Blob|null} */ #whole = null;
  size = 0;

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  append(bytes) {
    this.#parts.push(new Blob([bytes]));
    this.#whole = null;
    this.size += bytes.length;
  }

  /** @param {number} length */
  reserve(length) {
    this.#parts.push(new Blob());
    this.size += length;
    return this.#parts.length - 1;
  }

  /** @param {number} room @param {Uint8Array<ArrayBuffer>} bytes */
  fill(room, bytes) {
    this.#parts[room] = new Blob([bytes]);
    this.#whole = null;
  }

  /** @param {number} from @param {number} to bytes */
  async read(from, to) {
    return new Uint8Array(await this.#joined().slice(from, to).arrayBuffer());
  }

  /** @param {number} size bytes to keep */
  truncate(size) {
    this.#parts = [this.#joined().slice(0, size)];
    this.#whole = null;
    this.size = size;
  }

  async toBlob() {
    return this.#joined();
  }

  async remove() {
    this.#parts = [];
    this.#whole = null;
  }

  #joined() {
    // A Blob of Blobs refers to its parts without a copy.
    this.#whole ??= new Blob(this.#parts);
    return this.#whole;
  }
}

/** @typedef {DiskFile|BlobFile} TapeFile */

const ROOT = "unbraid-tapes";

/** The storage of this tab's files. */
export class Shelf {
  /** null without a private file system. @type {FileSystemDirectoryHandle|null} */ #folder = null;

  /** Creates the folder of this tab and deletes the folders of closed tabs. */
  static async open() {
    const shelf = new Shelf();
    try {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle(ROOT, { create: true });
      const name = `tab-${crypto.randomUUID()}`;
      // The tab holds the lock until it closes, so a folder without a lock belongs to a closed tab.
      await new Promise((resolve, reject) => {
        navigator.locks.request(`${ROOT}/${name}`, () => { resolve(null); return new Promise(() => {}); }).catch(reject);
      });
      const held = new Set((await navigator.locks.query()).held?.map((lock) => lock.name));
      for await (const other of root.keys()) {
        if (!held.has(`${ROOT}/${other}`)) await root.removeEntry(other, { recursive: true }).catch(() => {});
      }
      shelf.#folder = await root.getDirectoryHandle(name, { create: true });
      const probe = await DiskFile.create(shelf.#folder, "probe");
      await probe.remove();
    } catch {
      // Private windows of some browsers and pages without https have no private file system.
      shelf.#folder = null;
    }
    return shelf;
  }



  /** @param {string} name @returns {Promise<TapeFile>} */
  async create(name) {
    return this.#folder ? DiskFile.create(this.#folder, name) : new BlobFile();
  }
}
