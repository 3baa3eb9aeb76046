// Tables that are sorted by their headings, filtered by words and turned by pages. What they show comes as data: from the
// script element inside a `.data-table` of the page (dashboards/table.py), or from another script (twin.js). New data
// keeps what the reader chose. What the reader sees of a live page's own table is part of its link.
(function () {
  "use strict";
  const PAGE_ROWS = 100;
  const MOST_WORDS = 12; // a column of more different words gets no buttons
  const chosen = new Map(); // sorting, filter, hidden words and page, by the name of the table
  const drawn = new WeakMap(); // what was built, by the element it stands in

  // Numbers as dashboards/text.py writes them.
  function grouped(text) {
    const [whole, part] = text.split(".");
    const apart = whole.length < 4 ? whole : whole.replace(/\B(?=(\d{3})+$)/g, ",");
    return part === undefined ? apart : `${apart}.${part}`;
  }

  function significant(value) {
    return value ? Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value)))) : 0;
  }

  function number(value, decimals = significant(value)) {
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    if (decimals > 6) return value.toExponential(2).replace(/-/g, "−");
    return value < 0 ? `−${grouped((-value).toFixed(decimals))}` : grouped(value.toFixed(decimals));
  }

  function count(value) {
    for (const [size, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
      const scaled = value / size;
      if (scaled >= 0.9995) return `${scaled.toFixed(scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0)} ${unit}`;
    }
    return value.toFixed(0);
  }

  // Returns the value of a cell: a number, a word, or null.
  function valueOf(column, row) {
    const value = column.values[row];
    return column.words && value !== null ? column.words[value] : value;
  }

  function textOf(column, row) {
    const value = valueOf(column, row);
    if (value === null || value === undefined || value === "") return "–";
    if (column.kind === "trial") return `#${value}`;
    if (column.kind !== "number") return value;
    return column.form === "count" ? count(value) : number(value, column.decimals ?? undefined);
  }

  function noteOf(column, row) {
    const note = column.notes && column.notes[row];
    return note === null || note === undefined ? "" : column.note.replace("%", note);
  }

  // Writes down everything a reader can read of the rows before `end`, in small letters.
  function readRows(data, end) {
    for (let row = data.texts.length; row < end; row++) {
      let text = data.broken[row] || "";
      for (const column of data.columns) {
        text += `\n${textOf(column, row)}`;
        if (column.notes) text += ` ${noteOf(column, row)}`;
      }
      data.texts.push(text.toLowerCase());
    }
    return data.texts;
  }

  // Does so while the browser has nothing else to do, so that the first letter of a filter does not wait for it.
  function readWhenIdle(data) {
    const idle = window.requestIdleCallback || ((work) => setTimeout(() => work({ timeRemaining: () => 0 }), 50));
    idle(function work(deadline) {
      do {
        readRows(data, Math.min(data.size, data.texts.length + 250));
      } while (data.texts.length < data.size && deadline.timeRemaining() > 4);
      if (data.texts.length < data.size) idle(work);
    });
  }

  // Returns the columns whose words can be taken out by buttons, each with how often its words occur.
  function quickColumns(data) {
    return data.columns.filter((column) => column.quick).map(function (column) {
      const counts = new Map();
      for (let row = 0; row < data.size; row++) {
        const word = valueOf(column, row);
        if (word !== null) counts.set(word, (counts.get(word) || 0) + 1);
      }
      return { column, counts };
    }).filter(({ counts }) => counts.size > 1 && counts.size <= MOST_WORDS);
  }

  // Returns the numbers of the rows to show, in order.
  function rowsOf(data, state) {
    const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
    const texts = words.length ? readRows(data, data.size) : null;
    const quick = state.hidden.size ? data.columns.filter((column) => column.quick) : [];
    const noDominated = data.linked && state.hidden.has("dominated");
    const rows = [];
    for (let row = 0; row < data.size; row++) {
      if (texts && !words.every((word) => texts[row].includes(word))) continue;
      if (quick.some((column) => state.hidden.has(valueOf(column, row)))) continue;
      if (noDominated && !data.best.has(row) && quick.some((column) => valueOf(column, row) === "finished")) continue;
      rows.push(row);
    }
    const column = state.sort && data.columns.find((entry) => entry.title === state.sort.title);
    if (!column) return rows;
    const keys = Array.from({ length: data.size }, (_, row) => valueOf(column, row));
    const sign = state.sort.ascending ? 1 : -1;
    return rows.sort(function (one, other) {
      const [first, second] = [keys[one], keys[other]];
      // Missing values stay last, whichever the order.
      if (first === null || second === null) return (first === null) - (second === null) || one - other;
      return first < second ? -sign : first > second ? sign : one - other;
    });
  }

  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  const isLive = () => Boolean(window.hybridnas.change);

  // Returns the link to a candidate; a report has none.
  function candidateLink(trial) {
    const query = new URLSearchParams(location.search);
    query.set("page", "candidate");
    query.set("trial", trial);
    return `?${query.toString().replace(/%2C/g, ",").replace(/%3A/g, ":")}`;
  }

  function cell(data, column, index, row) {
    const text = textOf(column, row);
    const isHead = index === 0;
    const node = make(isHead ? "th" : "td", { class: classOf(column, text) });
    if (isHead) node.scope = "row";
    const mark = isHead && data.best.has(row) ? "◆ " : "";
    if (column.kind === "trial" && text !== "–") {
      const trial = column.values[row];
      const link = isLive() ? make("a", { href: candidateLink(trial), "data-number": trial }, text) : text;
      node.append(mark, link);
    } else {
      node.append(mark, column.kind === "code" ? make("code", {}, text) : text);
    }
    const note = noteOf(column, row);
    if (note) node.append(make("small", {}, ` ${note}`));
    if (index === data.columns.length - 1 && data.broken[row]) {
      node.append(make("small", { class: "failure" }, data.broken[row]));
    }
    return node;
  }

  function classOf(column, text) {
    if (column.kind === "code" || column.kind === "text") return "pattern";
    if (column.kind !== "word") return "number";
    return column.title === "Status" ? `word status-${text}` : "word";
  }

  class DataTable {
    constructor(host, name, label) {
      this.host = host;
      this.name = name;
      if (!chosen.has(name)) chosen.set(name, { sort: null, find: "", hidden: new Set(), page: 0 });
      this.state = chosen.get(name);
      this.find = make("input", { type: "search", value: this.state.find, autocomplete: "off", spellcheck: "false" });
      this.shown = make("p", { class: "shown", role: "status" });
      this.pages = make("span", { class: "pages", role: "group", "aria-label": `Pages of ${label}` });
      this.quick = make("div", { class: "controls" });
      this.clear = make("button", { type: "button", class: "button quiet" }, "Show all");
      this.head = make("thead");
      this.body = make("tbody");
      const field = make("label", { class: "field" }, "Filter", this.find);
      const table = make("table", { "aria-label": label }, this.head, this.body);
      const frame = make("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": label }, table);
      this.whole = make("div", {}, make("div", { class: "controls" }, field, this.shown, this.clear, this.pages), this.quick, frame);
      this.frame = frame;
      this.find.addEventListener("input", () => this.change({ find: this.find.value }));
      this.find.addEventListener("change", () => this.tellLink());
      this.pages.addEventListener("click", (event) => this.turn(event.target.closest("button")));
      this.quick.addEventListener("click", (event) => this.toggle(event.target.closest("button")));
      // The rest of the view may have changed since the row was drawn.
      this.body.addEventListener("mousedown", (event) => this.refreshLink(event.target.closest("a")));
      this.body.addEventListener("focusin", (event) => this.refreshLink(event.target.closest("a")));
      this.clear.addEventListener("click", () => this.showAll());
      this.head.addEventListener("click", (event) => this.sort(event.target.closest("button")));
      host.append(this.whole);
    }

    // Takes new data; the choices of the reader stay as they are.
    update(data) {
      this.data = data;
      data.best = new Set(data.best);
      data.texts = [];
      readWhenIdle(data);
      this.readLink(document.activeElement === this.find);
      this.drawHead();
      this.drawQuick();
      this.draw();
    }

    // A live page's own table follows the link, but not while its reader is writing.
    readLink(isWriting) {
      if (!this.data.linked || !isLive()) return;
      const query = new URLSearchParams(location.search);
      this.state.hidden = new Set((query.get("hide") || "").split(",").filter(Boolean));
      if (isWriting) return;
      this.state.find = query.get("find") || "";
      this.find.value = this.state.find;
    }

    goBack() {
      this.readLink(false);
      this.drawQuick();
      this.draw();
    }

    tellLink() {
      if (!this.data.linked || !isLive()) return;
      window.hybridnas.change({ find: this.state.find.trim(), hide: [...this.state.hidden].join(",") });
    }

    change(changes) {
      Object.assign(this.state, { page: 0 }, changes);
      this.frame.scrollTop = 0;
      this.draw();
    }

    sort(button) {
      if (!button) return;
      const title = button.textContent;
      const before = this.state.sort && this.state.sort.title === title ? this.state.sort : null;
      // A third press takes the sorting back.
      this.change({ sort: !before ? { title, ascending: true } : before.ascending ? { title, ascending: false } : null });
    }

    refreshLink(link) {
      if (link) link.href = candidateLink(link.dataset.number);
    }

    toggle(button) {
      if (!button) return;
      const word = button.dataset.word;
      if (!this.state.hidden.delete(word)) this.state.hidden.add(word);
      button.setAttribute("aria-pressed", String(!this.state.hidden.has(word)));
      this.change({});
      this.tellLink();
    }

    showAll() {
      this.find.value = "";
      this.state.hidden.clear();
      this.find.focus();
      this.change({ find: "" });
      this.drawQuick();
      this.tellLink();
    }

    turn(button) {
      if (!button || button.getAttribute("aria-disabled") === "true") return;
      const page = this.state.page;
      const last = this.lastPage();
      this.state.page = { first: 0, before: page - 1, after: page + 1, last }[button.dataset.to];
      this.frame.scrollTop = 0;
      this.draw();
    }

    lastPage() {
      return Math.max(0, Math.ceil(this.rows.length / PAGE_ROWS) - 1);
    }

    drawHead() {
      const titles = JSON.stringify(this.data.columns.map((column) => column.title));
      if (titles === this.titles) return;
      this.titles = titles;
      const cells = this.data.columns.map((column) =>
        make("th", { scope: "col", class: classOf(column, "") }, make("button", { type: "button" }, column.title)));
      this.head.replaceChildren(make("tr", {}, ...cells));
    }

    drawQuick() {
      const groups = quickColumns(this.data);
      const key = JSON.stringify(groups.map(({ column, counts }) => [column.title, ...counts, ...this.state.hidden]));
      this.quick.hidden = !groups.length;
      if (key === this.quickKey) return;
      this.quickKey = key;
      const focused = this.quick.contains(document.activeElement) ? document.activeElement.dataset.word : null;
      this.quick.replaceChildren(...groups.map(({ column, counts }) => {
        const buttons = [...counts].sort((one, other) => other[1] - one[1]).map(([word, times]) =>
          make("button", {
            type: "button", class: "toggle", "data-word": word, "aria-pressed": String(!this.state.hidden.has(word)),
          }, `${word} `, make("small", {}, grouped(String(times)))));
        const title = make("span", { class: "label", "aria-hidden": "true" }, column.title);
        return make("div", { class: "toggles filters", role: "group", "aria-label": column.title }, title, ...buttons);
      }));
      if (focused) this.quick.querySelector(`[data-word="${CSS.escape(focused)}"]`)?.focus();
    }

    draw() {
      const { data, state } = this;
      this.rows = rowsOf(data, state);
      state.page = Math.min(state.page, this.lastPage());
      const first = state.page * PAGE_ROWS;
      const rows = this.rows.slice(first, first + PAGE_ROWS);
      for (const heading of this.head.rows[0].cells) {
        const isSorted = state.sort && heading.textContent === state.sort.title;
        if (isSorted) heading.setAttribute("aria-sort", state.sort.ascending ? "ascending" : "descending");
        else heading.removeAttribute("aria-sort");
      }
      this.body.replaceChildren(...rows.map((row) =>
        make("tr", { class: data.best.has(row) ? "frontier" : "other" },
          ...data.columns.map((column, index) => cell(data, column, index, row)))));
      this.drawWords(first, rows.length);
      this.drawPages();
    }

    drawWords(first, num) {
      const all = grouped(String(this.data.size));
      const left = grouped(String(this.rows.length));
      const span = num > 1 ? `Rows ${grouped(String(first + 1))}–${grouped(String(first + num))}` : `Row ${first + num}`;
      const range = num ? `${span} of ${left}` : this.data.size ? "No row" : "No rows yet";
      const filtered = this.rows.length < this.data.size ? `, filtered from ${all}` : "";
      const order = this.state.sort ? `, by ${this.state.sort.title}` : "";
      const words = `${range}${filtered}${order}`;
      if (this.shown.textContent !== words) this.shown.textContent = words;
      this.clear.hidden = this.rows.length === this.data.size;
    }

    drawPages() {
      const last = this.lastPage();
      this.pages.hidden = last === 0;
      const places = [["first", "«", "First page"], ["before", "‹", "Page before"], ["after", "›", "Next page"], ["last", "»", "Last page"]];
      if (!this.pages.children.length) {
        this.pages.append(...places.map(([to, sign, words]) =>
          make("button", { type: "button", class: "button", "data-to": to, "aria-label": words, title: words }, sign)));
      }
      for (const button of this.pages.children) {
        const isBack = button.dataset.to === "first" || button.dataset.to === "before";
        // Not `disabled`, which would take the focus away from who pages by keyboard.
        button.setAttribute("aria-disabled", String(this.state.page === (isBack ? 0 : last)));
      }
    }
  }

  // Shows data in an element, or changes what it shows. Data are {columns, size, best, broken, linked}.
  function dataTable(host, { name, label, data }) {
    if (!drawn.has(host)) drawn.set(host, new DataTable(host, name, label));
    drawn.get(host).update(data);
  }

  function fromScript(host) {
    const script = host.querySelector(":scope > script");
    if (!script || !script.textContent) return;
    for (const still of host.querySelectorAll(":scope > .table-frame")) still.remove();
    dataTable(host, { name: host.dataset.table, label: host.dataset.label, data: JSON.parse(script.textContent) });
  }

  const hostsIn = (node) => [
    ...(node.matches(".data-table[data-table]") ? [node] : []), ...node.querySelectorAll(".data-table[data-table]"),
  ];

  new MutationObserver(function (records) {
    const hosts = new Set();
    for (const { target, addedNodes } of records) {
      const script = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
      if (script instanceof HTMLScriptElement && script.matches(".data-table > script")) hosts.add(script.parentElement);
      // Figures add thousands of marks, which are no HTML and hold no tables.
      for (const node of addedNodes) if (node instanceof HTMLElement) hostsIn(node).forEach((host) => hosts.add(host));
    }
    hosts.forEach((host) => host.isConnected && fromScript(host));
  }).observe(document.documentElement, { childList: true, characterData: true, subtree: true });
  document.querySelectorAll(".data-table[data-table]").forEach(fromScript);

  window.addEventListener("popstate", function () {
    for (const host of document.querySelectorAll(".data-table[data-table]")) {
      if (drawn.has(host)) drawn.get(host).goBack();
    }
  });

  window.hybridnas = Object.assign(window.hybridnas || {}, { dataTable, significant });
})();
