/** Gains from the mixer's settings: solo, mute, volume, the comparison with the original, and the two-stem view. */

/** @typedef {{volume: number, muted: boolean, soloed: boolean}} Strip */

/**
 * @typedef {object} Mix
 * @property {Strip[]} strips one per stem
 * @property {Strip} rest the sum of all stems except the chosen one, in the two-stem view
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
 * The visible strips, each with its stems.
 * @param {Mix} mix
 * @returns {{strip: Strip, stems: number[]}[]}
 */
export function shownStrips(mix) {
  const all = mix.strips.map((strip, stem) => ({ strip, stems: [stem] }));
  if (mix.pair === null) return all;
  const others = all.flatMap(({ stems }) => stems).filter((stem) => stem !== mix.pair);
  return [all[mix.pair], { strip: mix.rest, stems: others }];
}

/**
 * @param {Mix} mix
 * @returns {number[]} gain of each stem. Mute takes precedence over solo. A solo silences all strips without solo.
 */
export function stemGains(mix) {
  const shown = shownStrips(mix);
  const anySolo = shown.some(({ strip }) => strip.soloed);
  const gains = mix.strips.map(() => 0);
  for (const { strip, stems } of shown) {
    const heard = !strip.muted && (!anySolo || strip.soloed);
    for (const stem of stems) gains[stem] = heard ? strip.volume : 0;
  }
  return gains;
}

/**
 * @param {Mix} mix
 * @returns {number[]} gain of each track: the original, then the stems
 */
export function trackGains(mix) {
  return mix.original ? [1, ...mix.strips.map(() => 0)] : [0, ...stemGains(mix)];
}
