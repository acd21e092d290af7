/**
 * Files that grow at their end and are read anywhere. On disk (the browser's private file system) where there is one;
 * else in Blobs, which most browsers move out of memory by themselves. Used inside the tape worker only.
 */

/**
 * @typedef {object} Sink
 * @property {number} size bytes so far
 * @property {(bytes: Uint8Array<ArrayBuffer>) => Promise<void>|void} append
 * @property {(length: number) => number} reserve leaves room at the end; returns what `fill` wants
 * @property {(room: number, bytes: Uint8Array<ArrayBuffer>) => Promise<void>|void} fill
 */

/** One file of the private file system, held open. */
export class DiskFile {
  /** @type {FileSystemFileHandle} */ #file;
  /** @type {FileSystemDirectoryHandle} */ #folder;
  /** @type {any} a FileSystemSyncAccessHandle */ #access;
  size = 0;

  /** @param {FileSystemDirectoryHandle} folder @param {FileSystemFileHandle} file @param {any} access */
  constructor(folder, file, access) {
    this.#folder = folder;
    this.#file = file;
    this.#access = access;
  }

  /** @param {FileSystemDirectoryHandle} folder @param {string} name */
  static async create(folder, name) {
    const file = await folder.getFileHandle(name, { create: true });
    const access = await /** @type {any} */ (file).createSyncAccessHandle();
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
    if (count < bytes.length) throw new Error("a finished part of the song is gone from the browser's storage");
    return bytes;
  }

  /** @param {number} size bytes to keep */
  truncate(size) {
    this.#access.truncate(size);
    this.size = size;
  }

  /** Closes the file and gives it out as a Blob on disk. */
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

/** The same in Blobs. */
export class BlobFile {
  /** @type {Blob[]} */ #parts = [];
  /** @type {Blob|null} all parts as one, until more comes */ #whole = null;
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
    // One Blob of Blobs refers to them; nothing is copied.
    this.#whole ??= new Blob(this.#parts);
    return this.#whole;
  }
}

/** @typedef {DiskFile|BlobFile} TapeFile */

const ROOT = "unbraid-tapes";

/** Where this tab's files are, or null without a private file system. */
export class Shelf {
  /** @type {FileSystemDirectoryHandle|null} */ #folder = null;

  /** Makes this tab's folder, and deletes those of tabs that are gone. */
  static async open() {
    const shelf = new Shelf();
    try {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle(ROOT, { create: true });
      const name = `tab-${crypto.randomUUID()}`;
      // Held until the tab ends; a folder whose lock is free belongs to nobody.
      await new Promise((resolve, reject) => {
        navigator.locks.request(`${ROOT}/${name}`, () => { resolve(null); return new Promise(() => {}); }).catch(reject);
      });
      const held = new Set((await navigator.locks.query()).held?.map((lock) => lock.name));
      for await (const other of /** @type {any} */ (root).keys()) {
        if (!held.has(`${ROOT}/${other}`)) await root.removeEntry(other, { recursive: true }).catch(() => {});
      }
      shelf.#folder = await root.getDirectoryHandle(name, { create: true });
      const probe = await DiskFile.create(shelf.#folder, "probe");
      await probe.remove();
    } catch {
      // Private windows of some browsers, and pages without https, have no such storage.
      shelf.#folder = null;
    }
    return shelf;
  }

  /** True when files are on disk. */
  get onDisk() {
    return this.#folder !== null;
  }

  /** @param {string} name @returns {Promise<TapeFile>} */
  async create(name) {
    return this.#folder ? DiskFile.create(this.#folder, name) : new BlobFile();
  }
}
