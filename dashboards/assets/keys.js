// What the browser does not do by itself for those who use the keyboard: Escape closes what was opened and gives the
// focus back, and links that are shown as buttons answer to the space bar.
(function () {
  "use strict";

  document.addEventListener("keydown", function (event) {
    if (event.defaultPrevented) return;
    if (event.key === "Escape") {
      const opened = event.target.closest("details[open]");
      // A filter that holds words is emptied first.
      if (!opened || (event.target.type === "search" && event.target.value)) return;
      opened.open = false;
      opened.querySelector("summary").focus();
    }
    if (event.key === " " && event.target.matches("a[role=button]")) {
      event.preventDefault();
      event.target.click();
    }
  });
})();
