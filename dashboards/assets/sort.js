// Sorts short tables of class "sortable", which stand whole in the page, by the heading that was pressed; a second press
// turns the order round. Long tables are the affair of table.js.
(function () {
  "use strict";

  function keyOf(row, column, isNumber) {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.textContent;
    if (text === "") return null;
    return isNumber ? Number(text) : text;
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("table.sortable th button");
    if (!button) return;
    const heading = button.closest("th");
    const isNumber = heading.classList.contains("number");
    const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const body = heading.closest("table").tBodies[0];
    const rows = Array.from(body.rows, (row) => ({ row, key: keyOf(row, heading.cellIndex, isNumber) }));
    rows.sort(function (one, other) {
      // Missing values stay last, whichever the order.
      if (one.key === null || other.key === null) return (one.key === null) - (other.key === null);
      if (one.key < other.key) return -sign;
      return one.key > other.key ? sign : 0;
    });
    for (const cell of heading.parentElement.cells) cell.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    body.append(...rows.map(({ row }) => row));
  });
})();
