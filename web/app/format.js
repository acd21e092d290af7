/** Formats numbers and texts for people. */

/**
 * Seconds as a clock: `3:07`, `1:02:03`, with tenths `0:03.2`. Rounds down.
 * @param {number} seconds
 * @param {0|1} [decimals]
 */
export function clock(seconds, decimals = 0) {
  const unit = decimals ? 10 : 1;
  const ticks = Math.max(0, Math.floor(seconds * unit));
  const whole = Math.floor(ticks / unit);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = String(whole % 60).padStart(2, "0");
  const head = hours ? `${hours}:${String(minutes).padStart(2, "0")}` : `${minutes}`;
  return decimals ? `${head}:${rest}.${ticks % 10}` : `${head}:${rest}`;
}

/**
 * Parses the format of {@link clock}, and plain seconds: `1:02:03`, `3:07.5`, `42`.
 * @param {string} text
 * @returns {number|null} seconds, or null if the text is not a time
 */
export function parseClock(text) {
  const parts = text.trim().replace(",", ".").split(":");
  if (parts.length > 3) return null;
  let seconds = 0;
  for (const [i, part] of parts.entries()) {
    const last = i === parts.length - 1;
    if (!(last ? /^\d+(\.\d*)?$/ : /^\d+$/).test(part)) return null;
    if (i > 0 && Number(part) >= 60) return null;
    seconds = seconds * 60 + Number(part);
  }
  return seconds;
}

/**
 * Seconds in words, for screen readers and for the remaining time: `2 minutes 5 seconds`.
 * @param {number} seconds
 */
export function spoken(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [size, unit] of /** @type {[number, string][]} */ ([[3600, "hour"], [60, "minute"], [1, "second"]])) {
    const count = size === 3600 ? Math.floor(whole / 3600) : Math.floor((whole % (size * 60)) / size);
    if (count) parts.push(`${count} ${unit}${count === 1 ? "" : "s"}`);
  }
  return parts.slice(0, 2).join(" ") || "0 seconds";
}

/**
 * A size in decimal units, as in file managers: `1.6 MB`.
 * @param {number} count bytes
 */
export function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (count >= 999.5 && power < units.length - 1) {
    count /= 1000;
    power += 1;
  }
  return `${power && count < 9.95 ? count.toFixed(1) : Math.round(count)} ${units[power]}`;
}

/**
 * A number of parameters: `0.43 M`.
 * @param {number} count
 */
export function millions(count) {
  return `${(count / 1e6).toFixed(count < 1e7 ? 2 : 1)} M`;
}

/** A stem's name as a title: `lead_vocals` → `Lead vocals`. @param {string} name */
export function title(name) {
  return name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
}

/** Adds a full stop if the text has no end mark. @param {string} text */
export function stopped(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** A program's message as a sentence: `not an audio file` → `Not an audio file.` @param {string} text */
export function sentence(text) {
  return stopped(text.charAt(0).toUpperCase() + text.slice(1));
}

/**
 * A gain in decibels: `−6.0 dB`, `−∞ dB` for silence.
 * @param {number} gain
 */
export function decibels(gain) {
  if (gain <= 0) return "−∞ dB";
  const value = 20 * Math.log10(gain);
  return `${value < -0.05 ? "−" : value > 0.05 ? "+" : ""}${Math.abs(value).toFixed(1)} dB`;
}
