/** Which strand of the palette (style/base.css) a stem is drawn in. */

const COLOURS = 6;
/** The usual stems keep their colour, whatever a model's order. */
const USUAL = ["vocals", "drums", "bass", "other"];
/** All but one stem, in the two-stem view. */
export const REST = 4;

/**
 * @param {string[]} stems
 * @returns {number[]} a strand for each: its own, or one that none of the others has while there are any
 */
export function colours(stems) {
  const own = stems.map((stem) => USUAL.indexOf(stem));
  const free = Array.from({ length: COLOURS }, (_, colour) => colour).filter((colour) => !own.includes(colour));
  let next = 0;
  return own.map((colour) => (colour >= 0 ? colour : free[next++] ?? next % COLOURS));
}
