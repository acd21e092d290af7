/** What is heard: solo, mute, volume, the comparison with the original, and the two-stem view. Pure: settings in, gains out. */

/** @typedef {{volume: number, muted: boolean, soloed: boolean}} Strip */

/**
 * @typedef {object} Mix
 * @property {Strip[]} strips one per stem
 * @property {Strip} rest everything but the chosen stem, in the two-stem view
 * @property {number|null} pair the chosen stem of the two-stem view, or null
 * @property {boolean} original hear the song as it came
 */

/** @returns {Strip} */
const strip = () => ({ volume: 1, muted: false, soloed: false });

/** @param {number} stems @returns {Mix} */
export function newMix(stems) {
  return { strips: Array.from({ length: stems }, strip), rest: strip(), pair: null, original: false };
}

/**
 * The strips that are on screen, with the stems that each stands for.
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
 * @returns {number[]} gain of each stem: mute wins over solo, and a solo silences what has none
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
 * @returns {number[]} gain of each track: the original first, then the stems
 */
export function trackGains(mix) {
  return mix.original ? [1, ...mix.strips.map(() => 0)] : [0, ...stemGains(mix)];
}
