// Light or dark: what the reader chose, or else what the system says. Figures carry the light colours; here each of
// them is exchanged for its twin before it is drawn. Runs in the head of the page, before anything is painted.
(function () {
  "use strict";
  const KEY = "hybridnas-theme";
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = remembered();

  // What was chosen on an earlier visit. A file opened from disk may have no storage.
  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function remember() {
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // It holds until the page is left.
    }
  }

  function apply() {
    const now = chosen || (system.matches ? "dark" : "light");
    if (root.dataset.theme === now) return;
    root.dataset.theme = now;
    document.dispatchEvent(new Event("hybridnas-theme"));
  }

  // Returns the text of a figure in the colours of the page.
  function recolour(text) {
    if (root.dataset.theme === "light") return text;
    const twins = darkTwins();
    return text.replace(/#[0-9a-f]{6}\b/gi, (colour) => twins[colour.toLowerCase()] || colour);
  }

  let twins = null;
  function darkTwins() {
    const style = getComputedStyle(root);
    twins = twins || JSON.parse(style.getPropertyValue("--dark-twins").trim().slice(1, -1));
    return twins;
  }

  document.addEventListener("click", function (event) {
    if (!event.target.closest("[data-theme-button]")) return;
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    remember();
    apply();
  });
  system.addEventListener("change", apply);
  // Another page of this dashboard was changed.
  window.addEventListener("storage", function (event) {
    if (event.key !== KEY) return;
    chosen = event.newValue;
    apply();
  });

  window.hybridnas = Object.assign(window.hybridnas || {}, { recolour });
  apply();
})();
