/** A zip archive of stored files, written in one pass. Audio hardly compresses, and storing needs no memory. */

/** Bytes of the largest file in an archive. The archive itself may be larger: its directory then has 64-bit offsets. */
export const ZIP_ENTRY_LIMIT = 0xfffffffe;
/** A 32-bit field with this value refers to a 64-bit field. */
const ELSEWHERE = 0xffffffff;
const MOST_ENTRIES = 0xfffe;
/** Bytes of the records, without names. */
const FILE_HEADER = 30;
const RECORD = 46;
const OFFSET_64 = 12;
const END = 22;
const END_64 = 56 + 20;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/**
 * CRC-32 as in zip. `before` is the result for the preceding bytes.
 * @param {Uint8Array} bytes
 * @param {number} [before]
 * @returns {number} unsigned
 */
export function crc32(bytes, before = 0) {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * The size of an archive in bytes, known before it is written.
 * @param {{name: string, size: number}[]} entries
 */
export function zipSize(entries) {
  const encoder = new TextEncoder();
  let files = 0;
  let directory = 0;
  for (const { name, size } of entries) {
    const { length } = encoder.encode(name);
    directory += RECORD + length + (files >= ELSEWHERE ? OFFSET_64 : 0);
    files += FILE_HEADER + length + size;
  }
  return files + directory + (files + directory >= ELSEWHERE ? END_64 : 0) + END;
}

/** @typedef {import("./tape/files.js").Sink} Sink */

export class ZipWriter {
  /** @type {Sink} */
  #sink;
  #time;
  /** @type {{name: Uint8Array, size: number, crc: number, at: number}[]} */
  #entries = [];
  #offset;

  /**
   * @param {Sink} sink the archive starts at its end
   * @param {Date} date of all entries
   */
  constructor(sink, date) {
    this.#sink = sink;
    this.#offset = sink.size;
    const year = Math.min(Math.max(date.getFullYear(), 1980), 2107);
    const day = ((year - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
    const second = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
    this.#time = ((day << 16) | second) >>> 0;
  }

  /**
   * Writes one file. `write` passes its bytes in parts to `put`.
   * @param {string} name
   * @param {(put: (bytes: Uint8Array<ArrayBuffer>) => Promise<void>) => Promise<void>} write
   */
  async entry(name, write) {
    if (this.#entries.length >= MOST_ENTRIES) throw new Error("more files than a zip archive can list");
    const encoded = new TextEncoder().encode(name);
    const entry = { name: encoded, size: 0, crc: 0, at: this.#offset };
    // The header precedes the bytes but holds their checksum, so it is filled in afterwards.
    const room = this.#sink.reserve(FILE_HEADER + encoded.length);
    this.#offset += FILE_HEADER + encoded.length;
    await write(async (bytes) => {
      entry.crc = crc32(bytes, entry.crc);
      entry.size += bytes.length;
      this.#offset += bytes.length;
      if (entry.size > ZIP_ENTRY_LIMIT) throw new Error("a file in the archive is larger than 4 GiB");
      await this.#sink.append(bytes);
    });
    const header = this.#record(0x04034b50, FILE_HEADER, 4, entry, 0);
    await this.#sink.fill(room, header);
    this.#entries.push(entry);
  }

  /** Writes the central directory. */
  async finish() {
    const start = this.#offset;
    for (const entry of this.#entries) {
      const far = entry.at >= ELSEWHERE;
      const record = this.#record(0x02014b50, RECORD, 6, entry, far ? OFFSET_64 : 0);
      const view = new DataView(record.buffer);
      view.setUint16(4, far ? 45 : 20, true); // made by: version 4.5 or 2.0
      view.setUint32(42, far ? ELSEWHERE : entry.at, true);
      if (far) {
        const extra = record.length - OFFSET_64;
        view.setUint16(extra, 1, true); // zip64
        view.setUint16(extra + 2, 8, true);
        view.setBigUint64(extra + 4, BigInt(entry.at), true);
      }
      await this.#put(record);
    }
    const size = this.#offset - start;
    const far = this.#offset >= ELSEWHERE;
    if (far) await this.#put(this.#end64(start, size));
    const end = new DataView(new ArrayBuffer(END));
    end.setUint32(0, 0x06054b50, true);
    end.setUint16(8, this.#entries.length, true);
    end.setUint16(10, this.#entries.length, true);
    end.setUint32(12, size, true);
    end.setUint32(16, far ? ELSEWHERE : start, true);
    await this.#put(new Uint8Array(end.buffer));
  }

  /** @param {Uint8Array<ArrayBuffer>} bytes */
  async #put(bytes) {
    await this.#sink.append(bytes);
    this.#offset += bytes.length;
  }

  /**
   * The zip64 end of the directory, and its locator.
   * @param {number} start of the directory
   * @param {number} size of the directory
   */
  #end64(start, size) {
    const count = BigInt(this.#entries.length);
    const out = new DataView(new ArrayBuffer(END_64));
    out.setUint32(0, 0x06064b50, true);
    out.setBigUint64(4, 44n, true); // bytes after this field, without the locator
    out.setUint16(12, 45, true); // made by: version 4.5
    out.setUint16(14, 45, true); // needs version 4.5
    out.setBigUint64(24, count, true);
    out.setBigUint64(32, count, true);
    out.setBigUint64(40, BigInt(size), true);
    out.setBigUint64(48, BigInt(start), true);
    out.setUint32(56, 0x07064b50, true);
    out.setBigUint64(64, BigInt(this.#offset), true);
    out.setUint32(72, 1, true); // number of disks
    return new Uint8Array(out.buffer);
  }

  /**
   * A file header or a directory record. Both have the same fields from the offset `from` on.
   * @param {number} signature
   * @param {number} length without the name and without `extra`
   * @param {number} from
   * @param {{name: Uint8Array, size: number, crc: number}} entry
   * @param {number} extra bytes of the zip64 field at the end
   */
  #record(signature, length, from, entry, extra) {
    const out = new DataView(new ArrayBuffer(length + entry.name.length + extra));
    out.setUint32(0, signature, true);
    out.setUint16(from, extra ? 45 : 20, true); // needs version 4.5 or 2.0
    out.setUint16(from + 2, 0x0800, true); // the name is UTF-8
    out.setUint32(from + 6, this.#time, true);
    out.setUint32(from + 10, entry.crc, true);
    out.setUint32(from + 14, entry.size, true);
    out.setUint32(from + 18, entry.size, true);
    out.setUint16(from + 22, entry.name.length, true);
    out.setUint16(from + 24, extra, true);
    const record = new Uint8Array(out.buffer);
    record.set(entry.name, length);
    return record;
  }
}
