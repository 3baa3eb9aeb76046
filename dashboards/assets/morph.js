// Turns what stands on the page into what the server sent, and touches only what differs: the focus, the words somebody
// types, opened parts and drawn figures stay.
(function () {
  "use strict";
  const nameOf = (node) => node.id || node.dataset?.slot || node.dataset?.table || node.dataset?.twin || "";

  function isAlike(old, now) {
    return old.nodeType === now.nodeType && old.nodeName === now.nodeName && nameOf(old) === nameOf(now);
  }

  function drop(node) {
    if (node.querySelectorAll) {
      for (const plot of [node, ...node.querySelectorAll(".js-plotly-plot")]) if (plot.on) Plotly.purge(plot);
    }
    node.remove();
  }

  // Whether a reader opened a part is the reader's affair; so is what stands in the field that has the focus.
  function attributes(old, now) {
    for (const { name } of [...old.attributes]) {
      if (!now.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    if (old.matches("option")) old.selected = now.hasAttribute("selected");
    if (!old.matches("input") || old === document.activeElement) return;
    old.checked = now.hasAttribute("checked");
    if (old.value !== now.value) old.value = now.value;
  }

  function morph(old, now) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue;
      return;
    }
    if (old.matches(".graph")) return; // live.js draws it
    attributes(old, now);
    if (old.matches(".twin")) return; // twin.js fills it
    if (old.matches(".data-table")) {
      // table.js makes the rest from the data in the script.
      const [before, after] = [old, now].map((host) => host.querySelector(":scope > script"));
      if (before.textContent !== after.textContent) before.textContent = after.textContent;
      return;
    }
    const sorted = old.matches("table.sortable") && old.querySelector("th[aria-sort]");
    if (!sorted) return void children(old, now);
    const [column, order] = [sorted.cellIndex, sorted.getAttribute("aria-sort")];
    children(old, now);
    sortAgain(old.tHead.rows[0].cells[column], order);
  }

  // Presses the heading as the reader did: see sort.js, where a second press turns the order round.
  function sortAgain(heading, order) {
    if (!heading || !heading.querySelector("button")) return;
    if (order === "descending") heading.setAttribute("aria-sort", "ascending");
    heading.querySelector("button").click();
  }

  function children(old, now) {
    let place = old.firstChild;
    for (const wanted of [...now.childNodes]) {
      // What has a name is looked for; what has none is taken where it stands.
      let found = place;
      while (found && !isAlike(found, wanted) && nameOf(wanted)) found = found.nextSibling;
      if (!found || !isAlike(found, wanted)) {
        old.insertBefore(wanted, place);
        continue;
      }
      while (place !== found) {
        const next = place.nextSibling;
        drop(place);
        place = next;
      }
      place = found.nextSibling;
      morph(found, wanted);
    }
    while (place) {
      const next = place.nextSibling;
      drop(place);
      place = next;
    }
  }

  function parsed(text) {
    const template = document.createElement("template");
    template.innerHTML = text;
    return template.content;
  }

  window.hybridnas = Object.assign(window.hybridnas || {}, {
    // Makes these the children of an element.
    fill: (element, text) => children(element, parsed(text)),
    // Makes an element what the text says.
    replace: (element, text) => morph(element, parsed(text).firstElementChild),
  });
})();
