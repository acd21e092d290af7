/** Notices at the top of the page, and announcements for screen readers. */
import { byId, find, fromTemplate } from "./dom.js";
import { sentence, stopped } from "../format.js";

/**
 * Shows a notice and removes the earlier notice with the same key.
 * @param {{title: string, message: string, info?: boolean, key?: string}} notice `info`: not an error
 */
export function notify({ title, message, info = false, key = title }) {
  const list = byId("notices");
  for (const old of list.children) {
    if (/** @type {HTMLElement} */ (old).dataset.key === key) old.remove();
  }
  const notice = fromTemplate("notice");
  notice.dataset.key = key;
  notice.classList.toggle("info", info);
  notice.setAttribute("role", info ? "status" : "alert");
  find(notice, ".notice-title").textContent = stopped(title);
  find(notice, ".notice-text").textContent = sentence(message);
  find(notice, ".notice-close").addEventListener("click", () => {
    notice.remove();
    byId("main").focus();
  });
  list.append(notice);
}

/** @param {string} key */
export function withdraw(key) {
  for (const notice of [...byId("notices").children]) {
    if (/** @type {HTMLElement} */ (notice).dataset.key === key) notice.remove();
  }
}

/** @param {string} text */
export function announce(text) {
  byId("live").textContent = text;
}
