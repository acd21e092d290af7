import { equal, test, throws } from "./check.js";
import { ZipWriter, crc32, zipSize } from "../app/zip.js";
import { exportSize } from "../app/tape/export.js";
import { BlobFile } from "../app/tape/files.js";

/**
 * Reads an archive from its central directory, as unzip does.
 * @param {Uint8Array} file
 * @param {number} [before] bytes before `file`, which the offsets count too
 */
export function readZip(file, before = 0) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const long = (/** @type {number} */ at) => Number(view.getBigUint64(at, true));
  const end = file.length - 22;
  equal(view.getUint32(end, true), 0x06054b50, "end of directory");
  const count = view.getUint16(end + 10, true);
  let [size, start, after] = [view.getUint32(end + 12, true), view.getUint32(end + 16, true), end];
  if (start === 0xffffffff) {
    const locator = end - 20;
    equal([view.getUint32(locator, true), view.getUint32(locator + 16, true)], [0x07064b50, 1], "locator");
    after = long(locator + 8) - before;
    equal([view.getUint32(after, true), long(after + 4) + 12, long(after + 24), long(after + 32)], [0x06064b50, locator - after, count, count], "zip64 end of directory");
    [size, start] = [long(after + 40), long(after + 48)];
  }
  let at = start - before;
  equal(at + size, after, "extent of the directory");
  /** @type {Map<string, Uint8Array>} */
  const entries = new Map();
  for (let i = 0; i < count; i++) {
    equal(view.getUint32(at, true), 0x02014b50, "directory record");
    const [crc, packed, size] = [16, 20, 24].map((field) => view.getUint32(at + field, true));
    const [nameLength, extra] = [28, 30].map((field) => view.getUint16(at + field, true));
    let offset = view.getUint32(at + 42, true);
    if (offset === 0xffffffff) {
      const field = at + 46 + nameLength;
      equal([view.getUint16(at + 6, true), extra, view.getUint16(field, true), view.getUint16(field + 2, true)], [45, 12, 1, 8], "zip64 field");
      offset = long(field + 4);
    } else {
      equal(extra, 0, "extra field");
    }
    offset -= before;
    const name = new TextDecoder().decode(file.subarray(at + 46, at + 46 + nameLength));
    equal(view.getUint16(at + 10, true), 0, "method");
    equal(packed, size, "stored size");
    equal(view.getUint32(offset, true), 0x04034b50, "file record");
    equal(view.getUint16(offset + 6, true) & 0x0800, 0x0800, "UTF-8 flag");
    equal([14, 18, 22].map((field) => view.getUint32(offset + field, true)), [crc, size, size], "the two records");
    const body = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
    const bytes = file.subarray(body, body + size);
    equal(crc32(bytes), crc, `checksum of ${name}`);
    entries.set(name, bytes);
    at += 46 + nameLength + extra + view.getUint16(at + 32, true);
  }
  equal(at, after, "records of the directory");
  return entries;
}

test("CRC-32 has its published check value, in one part and in two", () => {
  const bytes = new TextEncoder().encode("123456789");
  equal(crc32(bytes), 0xcbf43926);
  equal(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4))), 0xcbf43926);
  equal(crc32(new Uint8Array(0)), 0);
});

test("an archive with an empty file and a file of more than 65 535 bytes is read back", async () => {
  const sink = new BlobFile();
  const writer = new ZipWriter(sink, new Date(2026, 10, 25, 9, 30, 12));
  const long = Uint8Array.from({ length: 200_003 }, (_, i) => (i * i) >> 3);
  await writer.entry("Lied – 夢/vocals.wav", async (put) => {
    await put(long.slice(0, 70_000));
    await put(long.slice(70_000));
  });
  await writer.entry("empty", async () => {});
  await writer.entry("b.txt", (put) => put(new TextEncoder().encode("bass")));
  await writer.finish();
  const file = new Uint8Array(await (await sink.toBlob()).arrayBuffer());
  equal(file.length, sink.size, "size of the sink");
  equal(file.length, zipSize([{ name: "Lied – 夢/vocals.wav", size: long.length }, { name: "empty", size: 0 }, { name: "b.txt", size: 4 }]), "predicted size");
  const entries = readZip(file);
  equal([...entries.keys()], ["Lied – 夢/vocals.wav", "empty", "b.txt"]);
  equal(crc32(/** @type {Uint8Array} */ (entries.get("Lied – 夢/vocals.wav"))), crc32(long), "contents");
  equal(new TextDecoder().decode(entries.get("b.txt")), "bass");
  const view = new DataView(file.buffer);
  equal([view.getUint16(10, true), view.getUint16(12, true)], [(9 << 11) | (30 << 5) | 6, (46 << 9) | (11 << 5) | 25], "time and date");
});

test("an archive beyond 4 GiB has 64-bit offsets where they are needed, and only there", async () => {
  const names = ["a.txt", "夢/b.txt"];
  // Beyond 4 GiB are: nothing, the directory, the second file too, all.
  for (const before of [0, 0xffffffff - 50, 0xffffffff - 40, 0xffffffff, 5 * 2 ** 32 + 1]) {
    const sink = new BlobFile();
    sink.size = before;
    const writer = new ZipWriter(sink, new Date());
    for (const name of names) await writer.entry(name, (put) => put(new TextEncoder().encode(`text of ${name}`)));
    await writer.finish();
    const file = new Uint8Array(await (await sink.toBlob()).arrayBuffer());
    equal(sink.size, before + file.length, "size of the sink");
    const entries = readZip(file, before);
    equal([...entries].map(([name, bytes]) => [name, new TextDecoder().decode(bytes)]), names.map((name) => [name, `text of ${name}`]), `${before}`);
  }
});

test("the size of an archive beyond 4 GiB is known before it is written", () => {
  const four = ["a", "b", "c", "d"].map((name) => ({ name, size: 2 ** 31 }));
  const plain = (/** @type {number} */ count) => count * (30 + 46 + 2 + 2 ** 31) + 22;
  equal(zipSize(four.slice(0, 1)), plain(1));
  equal(zipSize(four.slice(0, 2)), plain(2) + 76, "only the directory is beyond 4 GiB");
  equal(zipSize(four), plain(4) + 76 + 2 * 12, "two files are too");
});

test("a WAV file of more than 4 GiB is refused before it is written", async () => {
  const hour = 44100 * 3600;
  const four = ["a", "b", "c", "d"].map((name) => ({ name, gains: [] }));
  equal(exportSize(four.slice(0, 1), "float32", hour, false), 58 + hour * 8);
  equal(exportSize(four, "float32", hour, true) > 4 * hour * 8, true);
  for (const zip of [false, true]) await throws(() => exportSize(four, "float32", 4 * hour, zip), /WAV file would exceed 4 GiB/);
});
