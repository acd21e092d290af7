/** The title of the tab. */
import { clock } from "./format.js";

/** @typedef {import("./song.js").Song} Song */

const NAME = "Unbraid";

/**
 * The progress of the running song and the number of waiting songs; otherwise the outcome.
 * @param {Song[]} songs
 * @param {Song|null} outcome the last song whose end the person has not seen
 */
export function tabTitle(songs, outcome) {
  const song = songs.find(({ state }) => state === "running");
  if (song) {
    const { share, timeLeft } = song;
    const waiting = songs.filter(({ state }) => state === "queued").length;
    return [
      share === null ? null : `${Math.floor(100 * share)} %`,
      timeLeft === null ? null : `${clock(timeLeft)} left`,
      waiting ? `${waiting} more` : null,
      song.name,
      NAME,
    ].filter(Boolean).join(" · ");
  }
  return outcome ? `${outcome.state === "done" ? "Done" : "Stopped"} · ${outcome.name} · ${NAME}` : NAME;
}
