// A classic script, because it must run where modules cannot. It says why the page does not start. main.js removes the
// notice.
"use strict";

(function () {
  function tell() {
    if (document.readyState === "loading") {
      document.addEventListener("DOMContentLoaded", tell);
      return;
    }
    var notice = document.getElementById("no-start");
    if (!notice) return;
    notice.dataset.why = location.protocol === "file:" ? "file" : "other";
    document.documentElement.classList.add("stopped");
  }

  if (location.protocol === "file:" || !("noModule" in HTMLScriptElement.prototype)) tell();
  // The error of a script that cannot be loaded does not bubble.
  addEventListener("error", tell, true);
})();
