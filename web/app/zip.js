/** A zip archive of stored files, written in one pass. Audio hardly compresses, and storing needs no memory. */

/** The limit of 32-bit sizes and offsets. The writer has no zip64 extension. */
export const ZIP_LIMIT = 0xffffffff;
const ENTRY_LIMIT = 0xfffe;

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
  return entries.reduce((sum, { name, size }) => sum + size + 30 + 46 + 2 * encoder.encode(name).length, 22);
}

/** @typedef {import("./tape/files.js").Sink} Sink */

export class ZipWriter {
  /** @type {Sink} */
  #sink;
  #time;
  /** @type {{name: Uint8Array, size: number, crc: number, at: number}[]} */
  #entries = [];
  #offset = 0;

  /**
   * @param {Sink} sink
   * @param {Date} date of all entries
   */
  constructor(sink, date) {
    this.#sink = sink;
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
    if (this.#entries.length >= ENTRY_LIMIT) throw new Error("more files than a zip archive can list");
    const encoded = new TextEncoder().encode(name);
    const entry = { name: encoded, size: 0, crc: 0, at: this.#offset };
    // The header precedes the bytes but holds their checksum, so it is filled in afterwards.
    const room = this.#sink.reserve(30 + encoded.length);
    this.#offset += 30 + encoded.length;
    await write(async (bytes) => {
      entry.crc = crc32(bytes, entry.crc);
      entry.size += bytes.length;
      this.#offset += bytes.length;
      if (this.#offset > ZIP_LIMIT) throw new Error("the archive is larger than 4 GiB");
      await this.#sink.append(bytes);
    });
    const header = this.#record(0x04034b50, 30, 4, entry);
    await this.#sink.fill(room, header);
    this.#entries.push(entry);
  }

  /** Writes the central directory. */
  async finish() {
    const start = this.#offset;
    for (const entry of this.#entries) {
      const record = this.#record(0x02014b50, 46, 6, entry);
      const view = new DataView(record.buffer);
      view.setUint16(4, 20, true); // made by: version 2.0
      view.setUint32(42, entry.at, true);
      await this.#sink.append(record);
      this.#offset += record.length;
    }
    const end = new DataView(new ArrayBuffer(22));
    end.setUint32(0, 0x06054b50, true);
    end.setUint16(8, this.#entries.length, true);
    end.setUint16(10, this.#entries.length, true);
    end.setUint32(12, this.#offset - start, true);
    end.setUint32(16, start, true);
    await this.#sink.append(new Uint8Array(end.buffer));
  }

  /**
   * A file header or a directory record. Both have the same fields from the offset `from` on.
   * @param {number} signature
   * @param {number} length without the name
   * @param {number} from
   * @param {{name: Uint8Array, size: number, crc: number}} entry
   */
  #record(signature, length, from, entry) {
    const out = new DataView(new ArrayBuffer(length + entry.name.length));
    out.setUint32(0, signature, true);
    out.setUint16(from, 20, true); // needs version 2.0
    out.setUint16(from + 2, 0x0800, true); // the name is UTF-8
    out.setUint32(from + 6, this.#time, true);
    out.setUint32(from + 10, entry.crc, true);
    out.setUint32(from + 14, entry.size, true);
    out.setUint32(from + 18, entry.size, true);
    out.setUint16(from + 22, entry.name.length, true);
    const record = new Uint8Array(out.buffer);
    record.set(entry.name, length);
    return record;
  }
}
