/** Gains from the mixer's settings: solo, mute, volume, the comparison with the original, and the two-stem view. */

/** @typedef {{volume: number, muted: boolean, soloed: boolean}} Strip */

/**
 * @typedef {object} Mix
 * @property {Strip[]} strips one per stem
 * @property {Strip} rest the original without the chosen stem, in the two-stem view
 * @property {number|null} pair the chosen stem of the two-stem view; null without this view
 * @property {boolean} original play the original instead of the stems
 */

/** @returns {Strip} */
const strip = () => ({ volume: 1, muted: false, soloed: false });

/** @param {number} stems @returns {Mix} */
export function newMix(stems) {
  return { strips: Array.from({ length: stems }, strip), rest: strip(), pair: null, original: false };
}

/**
 * The visible strips, each with the gains of the tracks (the original, then the stems) that it plays at full volume.
 * @param {Mix} mix
 * @returns {{strip: Strip, stem: number, rest: boolean, gains: number[]}[]} `rest`: all but `stem`
 */
export function shownStrips(mix) {
  const tracks = mix.strips.length + 1;
  const all = mix.strips.map((strip, stem) => ({ strip, stem, rest: false, gains: oneTrack(tracks, stem + 1) }));
  if (mix.pair === null) return all;
  // As on the command line, the rest is the original less the stem. The sum of the other stems may differ from it.
  const gains = oneTrack(tracks, 0);
  gains[mix.pair + 1] = -1;
  return [all[mix.pair], { strip: mix.rest, stem: mix.pair, rest: true, gains }];
}

/**
 * @param {Mix} mix
 * @returns {number[]} gain of each visible strip. Mute takes precedence over solo. A solo silences all strips without
 *   solo.
 */
export function stripGains(mix) {
  const shown = shownStrips(mix).map(({ strip }) => strip);
  const anySolo = shown.some(({ soloed }) => soloed);
  return shown.map(({ volume, muted, soloed }) => (!muted && (!anySolo || soloed) ? volume : 0));
}

/**
 * @param {Mix} mix
 * @returns {number[]} gain of each track in the mix of the visible strips
 */
export function mixGains(mix) {
  const strips = stripGains(mix);
  const sum = Array(mix.strips.length + 1).fill(0);
  for (const [row, { gains }] of shownStrips(mix).entries()) {
    for (const [track, gain] of gains.entries()) sum[track] += strips[row] * gain;
  }
  return sum;
}

/**
 * @param {Mix} mix
 * @returns {number[]} gain of each track: of the mix, or of the original alone
 */
export function trackGains(mix) {
  return mix.original ? oneTrack(mix.strips.length + 1, 0) : mixGains(mix);
}

/**
 * The gains of one track alone.
 * @param {number} tracks
 * @param {number} track
 * @returns {number[]}
 */
export function oneTrack(tracks, track) {
  return Array.from({ length: tracks }, (_, other) => Number(other === track));
}
