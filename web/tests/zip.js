import { equal, test, throws } from "./check.js";
import { ZipWriter, crc32, zipSize } from "../app/zip.js";
import { exportSize } from "../app/tape/export.js";
import { BlobFile } from "../app/tape/files.js";

/** Reads an archive from its central directory, as unzip does. @param {Uint8Array} file */
export function readZip(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const end = file.length - 22;
  equal(view.getUint32(end, true), 0x06054b50, "end of directory");
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  equal(at + view.getUint32(end + 12, true), end, "extent of the directory");
  /** @type {Map<string, Uint8Array>} */
  const entries = new Map();
  for (let i = 0; i < count; i++) {
    equal(view.getUint32(at, true), 0x02014b50, "directory record");
    const [crc, packed, size] = [16, 20, 24].map((field) => view.getUint32(at + field, true));
    const nameLength = view.getUint16(at + 28, true);
    const offset = view.getUint32(at + 42, true);
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
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  equal(at, end, "records of the directory");
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

test("an export of more than 4 GiB is refused before it is written", async () => {
  const hour = 44100 * 3600;
  const four = ["a", "b", "c", "d"].map((name) => ({ name, gains: [] }));
  equal(exportSize(four.slice(0, 1), "float32", hour, false), 58 + hour * 8);
  await throws(() => exportSize(four, "float32", hour, true), /zip file would exceed 4 GiB/);
  equal(exportSize(four, "int24", hour, true) > 3.8e9, true);
  await throws(() => exportSize(four, "float32", 4 * hour, false), /WAV file would exceed 4 GiB/);
});
