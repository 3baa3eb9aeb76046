// What a reader chooses goes into the link of the page, and from there to the server; nothing else remembers it.
// Links of the page (`?…`) and fields inside an element with data-view (the name of what they set) are followed here.
(function () {
  "use strict";

  function go(search) {
    if (search === location.search) return;
    history.pushState(null, "", search || location.pathname);
    window.hybridnas.look();
  }

  // Sets parts of the view, by name; an empty value takes a part back.
  function change(changes) {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") query.delete(name);
      else query.set(name, value);
    }
    const text = query.toString().replace(/%2C/g, ",").replace(/%3A/g, ":");
    go(text ? `?${text}` : "");
  }

  document.addEventListener("change", function (event) {
    const field = event.target.closest("select, input");
    const holder = field && field.closest("[data-view]");
    if (holder) change({ [holder.dataset.view]: field.value });
  });

  // What a slider stands at is written beside it while it is moved; the page follows once it is let go.
  document.addEventListener("input", function (event) {
    const field = event.target.closest("input[type=range]");
    const value = field && field.closest("[data-view]") && field.closest("[data-view]").querySelector(".value");
    if (!value) return;
    const format = Number(field.value) < 1e4 ? {} : { notation: "compact", maximumSignificantDigits: 3 };
    value.textContent = `${Number(field.value).toLocaleString("en", format)} ${value.dataset.unit}`.trim();
  });

  // A link says all of a view, as the page knew it when it was drawn. What a reader chose since then is kept: followed is
  // only what the link changes.
  function follow(search) {
    const before = new URLSearchParams(window.hybridnas.shownFor());
    const after = new URLSearchParams(search);
    const changes = {};
    for (const name of new Set([...before.keys(), ...after.keys()])) {
      if (before.get(name) !== after.get(name)) changes[name] = after.get(name);
    }
    change(changes);
  }

  document.addEventListener("click", function (event) {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest("a[href^='?']");
    if (!link) return;
    event.preventDefault();
    follow(link.getAttribute("href"));
  });

  window.hybridnas = Object.assign(window.hybridnas || {}, { change });
})();
