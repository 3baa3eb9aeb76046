// Light or dark: what the reader chose, or else what the system says. Figures carry the light colours; here each of
// them is exchanged for its twin before it is drawn.
(function () {
  "use strict";
  const KEY = "hybridnas-theme";
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // a file opened from disk may have no storage
    }
  }

  function current() {
    return chosen() || (system.matches ? "dark" : "light");
  }

  function apply() {
    document.documentElement.dataset.theme = current();
    document.dispatchEvent(new Event("hybridnas-theme"));
  }

  // Returns the text of a figure in the colours of the page.
  function recolour(text) {
    if (current() === "light") return text;
    const twins = darkTwins();
    return text.replace(/#[0-9a-f]{6}\b/gi, (colour) => twins[colour.toLowerCase()] || colour);
  }

  let twins = null;
  function darkTwins() {
    const style = getComputedStyle(document.documentElement);
    twins = twins || JSON.parse(style.getPropertyValue("--dark-twins").trim().slice(1, -1));
    return twins;
  }

  document.addEventListener("click", function (event) {
    if (!event.target.closest("[data-theme-button]")) return;
    const other = current() === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, other);
    } catch {
      document.documentElement.dataset.theme = other;
    }
    apply();
  });
  system.addEventListener("change", apply);

  window.hybridnas = Object.assign(window.hybridnas || {}, { recolour });
  apply();
})();
