// Sorts tables of class "sortable" by the heading that was pressed; a second press turns the order round.
// A table that a live page puts in place of a sorted one is sorted alike.
(function () {
  "use strict";
  let last = null;

  function keyOf(row, column, isNumber) {
    const text = row.cells[column].dataset.sort;
    if (text === "") return null;
    return isNumber ? Number(text) : text;
  }

  function sortBy(heading, ascending) {
    const column = heading.cellIndex;
    const isNumber = heading.classList.contains("number");
    const sign = ascending ? 1 : -1;
    const body = heading.closest("table").tBodies[0];
    const rows = Array.from(body.rows, (row) => ({ row, key: keyOf(row, column, isNumber) }));
    rows.sort(function (one, two) {
      // Missing values stay last, whichever the order.
      if (one.key === null || two.key === null) return (one.key === null) - (two.key === null);
      if (one.key < two.key) return -sign;
      return one.key > two.key ? sign : 0;
    });
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    for (const { row } of rows) body.appendChild(row);
  }

  function sortNewTables() {
    if (last === null || document.querySelector("table.sortable th[aria-sort]")) return;
    for (const button of document.querySelectorAll("table.sortable th button")) {
      if (button.textContent === last.title) sortBy(button.closest("th"), last.ascending);
    }
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("table.sortable th button");
    if (!button) return;
    const heading = button.closest("th");
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    last = { title: button.textContent, ascending };
    sortBy(heading, ascending);
  });

  new MutationObserver(sortNewTables).observe(document.documentElement, { childList: true, subtree: true });
})();
