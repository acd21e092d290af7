/** Runs all tests. The result is in `window.result` and in the text of #json. */
import "./format.js";
import "./names.js";
import "./wav.js";
import "./zip.js";
import "./mix.js";
import "./colours.js";
import "./picture.js";
import "./tape.js";
import "./decode.js";
import "./engine.js";
import "./pool.js";
import "./studio.js";
import "./models.js";
import "./awake.js";
import "./title.js";
import "./folders.js";
import "./range.js";
import "./downloads.js";
import { runAll, tests } from "./check.js";

const failures = await runAll();
const result = { passed: tests.length - failures.length, failed: failures.length, failures };
/** @type {any} */ (window).result = result;
const summary = /** @type {HTMLElement} */ (document.getElementById("summary"));
summary.textContent = `${result.passed} passed, ${result.failed} failed`;
for (const { name, message } of failures) {
  const item = document.createElement("li");
  item.textContent = `${name}: ${message}`;
  document.getElementById("failures")?.append(item);
}
/** @type {HTMLElement} */ (document.getElementById("json")).textContent = JSON.stringify(result);
