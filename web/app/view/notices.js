/** Messages at the top of the page, and the line that only screen readers hear. */
import { byId, find, fromTemplate } from "./dom.js";
import { stopped } from "../format.js";

/**
 * @param {{title: string, message: string, info?: boolean, key?: string}} notice `info`: nothing is wrong; `key`: replaces an earlier one of the same key
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
  find(notice, ".notice-text").textContent = message;
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
