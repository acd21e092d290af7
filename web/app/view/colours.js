/** The colours of the stems, as indices into the palette of style/base.css. */

const COLOURS = 6;
/** These stems keep their colours in every model. */
const USUAL = ["vocals", "drums", "bass", "other"];
/** The colour of all stems except the chosen one, in the two-stem view. */
export const REST = 4;

/**
 * @param {string[]} stems
 * @returns {number[]} a colour for each stem. Unusual stems get free colours first, then repeated ones.
 */
export function colours(stems) {
  const own = stems.map((stem) => USUAL.indexOf(stem));
  const free = Array.from({ length: COLOURS }, (_, colour) => colour).filter((colour) => !own.includes(colour));
  let next = 0;
  return own.map((colour) => (colour >= 0 ? colour : free[next++] ?? next % COLOURS));
}
