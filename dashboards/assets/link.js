// What a reader chooses goes into the link of the page, and from there to the server; nothing else remembers it.
// Links of the page (`?…`) and fields inside an element with data-view (the name of what they set) are followed here.
(function () {
  "use strict";

  function go(search) {
    window.dash_clientside.set_props("link", { search });
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

  function follow(event) {
    const field = event.target.closest("select, input");
    const holder = field && field.closest("[data-view]");
    if (holder) change({ [holder.dataset.view]: field.value });
  }

  document.addEventListener("click", function (event) {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest("a[href^='?']");
    if (!link) return;
    event.preventDefault();
    const search = link.getAttribute("href");
    go(search === "?" ? "" : search);
  });
  document.addEventListener("change", follow);

  window.hybridnas = Object.assign(window.hybridnas || {}, { change });
})();
