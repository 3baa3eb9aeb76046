// The twin of a picture: its data as a table, made of the figure's own traces when a reader first opens it, and anew
// when the figure is drawn again. A column for the trace's name, for the candidate, and for every axis; of an axis that
// shows no title, the figure's layout.meta.axis_titles may say it.
(function () {
  "use strict";
  const listened = new WeakSet();
  const CODES = { lt: "<", gt: ">", amp: "&", quot: '"', "#x27": "'", "#39": "'", nbsp: " " };

  const UNTITLED = { x: "Across", y: "Up" };

  // Returns a label of a figure as plain text.
  function plain(text) {
    return String(text ?? "")
      .replace(/<br\s*\/?>/gi, " · ")
      .replace(/<[^>]*>/g, "")
      .replace(/&(#?\w+);/g, (whole, code) => CODES[code.toLowerCase()] ?? whole)
      .replace(/\s+/g, " ")
      .trim();
  }

  const isList = (value) => Array.isArray(value) || ArrayBuffer.isView(value);

  // Returns what an axis says of a value: the words of its own ticks where it has them.
  function sayer(axis) {
    const { tickvals, ticktext, type } = axis || {};
    const words = new Map();
    if (isList(tickvals) && isList(ticktext) && type !== "log") {
      tickvals.forEach((value, index) => words.set(value, plain(ticktext[index])));
    }
    const isNumbers = [...words.values()].every((word) => word === "" || Number.isFinite(Number(word)));
    return function (value) {
      if (value === null || value === undefined || Number.isNaN(value)) return null;
      if (words.has(value) && !isNumbers) return words.get(value);
      if (type === "date") return String(value).slice(0, 19).replace("T", " ");
      return typeof value === "number" ? value : plain(value);
    };
  }

  // Columns by title, filled row by row; a trace that knows nothing of a column leaves it empty.
  class Rows {
    constructor() {
      this.columns = new Map();
      this.titles = { x: new Set(), y: new Set() }; // of axes, by their direction
      this.size = 0;
    }

    add(cells) {
      for (const [title, value] of cells) {
        if (value === null || value === "") continue;
        if (!this.columns.has(title)) this.columns.set(title, []);
        this.columns.get(title)[this.size] = value;
      }
      this.size += 1;
    }
  }

  // Pages of studies give every mark of a candidate its number; other pages give other things.
  const knowsCandidates = () => document.querySelector(".data-table[data-table=candidates], nav[aria-label=Views]") !== null;

  function candidateOf(trace, index) {
    const given = isList(trace.customdata) ? trace.customdata[index] : null;
    const number = isList(given) ? given[0] : given;
    return knowsCandidates() && Number.isInteger(number) ? number : null;
  }

  function nameOf(trace) {
    return /^trace \d+$/.test(trace.name || "") ? "" : plain(trace.name);
  }

  function spread(error, index) {
    if (!error || !error.visible || !isList(error.array)) return null;
    return error.array[index] || null;
  }

  // Where an axis has no title, Plotly has one that says so.
  function titleOf(axis, layout, letter) {
    const text = axis && axis.title && axis.title.text;
    const given = ((layout.meta || {}).axis_titles || {})[axis && axis._id];
    return (text !== (layout._dfltTitle || {})[letter] && plain(text)) || plain(given) || UNTITLED[letter];
  }

  function addPoints(rows, trace, layout) {
    const [xAxis, yAxis] = [trace.xaxis || "x", trace.yaxis || "y"].map((name) =>
      layout[name.replace(/^([xy])(\d*)$/, "$1axis$2")]);
    const [across, up] = [titleOf(xAxis, layout, "x"), titleOf(yAxis, layout, "y")];
    rows.titles.x.add(across);
    rows.titles.y.add(up);
    const [sayX, sayY] = [sayer(xAxis), sayer(yAxis)];
    const texts = [trace.hovertext, trace.text].find(isList);
    const length = Math.max(isList(trace.x) ? trace.x.length : 0, isList(trace.y) ? trace.y.length : 0);
    for (let index = 0; index < length; index++) {
      const x = sayX(isList(trace.x) ? trace.x[index] : index);
      const y = sayY(isList(trace.y) ? trace.y[index] : index);
      if (x === null && y === null) continue; // a gap in a line
      rows.add([
        ["Candidate", candidateOf(trace, index)],
        ["Series", nameOf(trace)],
        [across, x],
        [`± ${across}`, spread(trace.error_x, index)],
        [across === up ? `${up} (up)` : up, y],
        [`± ${up}`, spread(trace.error_y, index)],
        ["In words", texts ? plain(texts[index]) : ""],
      ]);
    }
  }

  function addDimensions(rows, trace) {
    const dimensions = trace.dimensions.filter((dimension) => isList(dimension.values));
    const sayers = dimensions.map(sayer);
    const length = Math.max(0, ...dimensions.map((dimension) => dimension.values.length));
    for (let index = 0; index < length; index++) {
      rows.add([
        ["Candidate", candidateOf(trace, index)],
        ...dimensions.map((dimension, place) => [plain(dimension.label), sayers[place](dimension.values[index])]),
      ]);
    }
  }

  function addCells(rows, trace, layout) {
    const x = isList(trace.x) ? trace.x : [];
    const y = isList(trace.y) ? trace.y : [];
    const [sayX, sayY] = [sayer(layout.xaxis), sayer(layout.yaxis)];
    trace.z.forEach((line, down) => Array.from(line).forEach((value, along) => rows.add([
      [titleOf(layout.xaxis, layout, "x"), sayX(x[along] ?? along)],
      [titleOf(layout.yaxis, layout, "y"), sayY(y[down] ?? down)],
      ["Value", value],
    ])));
  }

  // Lines across parallel axes are drawn without their values: these stand with the figure beside it, see brush.js.
  function addLines(rows, axes) {
    const metas = [...document.querySelectorAll(".js-plotly-plot")].map((plot) => (plot.layout && plot.layout.meta) || {});
    const meta = metas.find(({ columns, numbers }) => numbers && axes.every(({ name }) => columns[name]));
    if (!meta) return;
    const owners = unpacked(meta.numbers);
    const columns = axes.map((axis) => [plain(axis.unit ? `${axis.label} (${axis.unit})` : axis.label), unpacked(meta.columns[axis.name])]);
    owners.forEach((owner, row) => rows.add([
      ["Candidate", owner],
      ["Series", row < meta.num_ordinary ? "candidate" : "frontier"],
      ...columns.map(([title, values]) => [title, Number.isNaN(values[row]) ? null : Number(values[row].toPrecision(7))]),
    ]));
  }

  function unpacked({ dtype, bdata }) {
    const bytes = Uint8Array.from(atob(bdata), (letter) => letter.charCodeAt(0));
    return new { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array }[dtype](bytes.buffer);
  }

  function columnOf(title, values, size) {
    const all = Array.from({ length: size }, (_, row) => values[row] ?? null);
    const known = all.filter((value) => value !== null);
    if (title === "Candidate") return { title, kind: "trial", values: all };
    if (!known.every((value) => typeof value === "number")) {
      const isLong = known.some((value) => String(value).length > 40);
      const words = all.map((value) => (value === null ? null : String(value)));
      return { title, kind: isLong ? "text" : "word", values: words, quick: title === "Series" };
    }
    const sizes = known.filter((value) => value > 0 && Number.isFinite(value)).sort((one, other) => one - other);
    const isWhole = known.every(Number.isInteger);
    const middle = sizes[Math.floor(sizes.length / 2)];
    return { title, kind: "number", values: all, decimals: isWhole ? 0 : middle ? window.hybridnas.significant(middle) : null };
  }

  function dataOf(plot) {
    const rows = new Rows();
    const traces = (plot._fullData || []).filter((trace) => trace.visible !== false);
    // Lines behind marks, which say nothing when pointed at, would say everything twice.
    const spoken = traces.filter((trace) => trace.hoverinfo !== "skip");
    const axes = ((plot.layout && plot.layout.meta) || {}).axes;
    if (axes) addLines(rows, axes);
    for (const trace of axes ? [] : spoken.length ? spoken : traces) {
      if (trace.dimensions) addDimensions(rows, trace);
      else if (trace.z) addCells(rows, trace, plot._fullLayout);
      else addPoints(rows, trace, plot._fullLayout);
    }
    const order = ["Candidate", "Series"];
    const titles = [...order.filter((title) => rows.columns.has(title)), ...[...rows.columns.keys()].filter(
      (title) => !order.includes(title) && title !== "In words")];
    if (rows.columns.has("In words")) titles.push("In words");
    const all = titles.map((title) => columnOf(title, rows.columns.get(title), rows.size));
    // Places on an axis that says neither what it is nor what stands there are an affair of the drawing.
    const isTitled = Object.fromEntries(Object.entries(UNTITLED).map(([letter, title]) =>
      [title, rows.titles[letter].size > (rows.titles[letter].has(title) ? 1 : 0)]));
    const columns = all.filter((column) => !(column.kind === "number" && isTitled[column.title]));
    for (const column of columns) {
      if (column.title in isTitled) column.title = column.kind === "number" ? "Value" : "What";
    }
    return { columns, size: rows.size, best: [], broken: {}, linked: false };
  }

  function draw(twin) {
    const name = twin.dataset.twin;
    const frame = document.getElementById(`graph-${name}`);
    const plot = frame && (frame.matches(".js-plotly-plot") ? frame : frame.querySelector(".js-plotly-plot"));
    if (!plot || !plot.on) return;
    if (!listened.has(plot)) {
      listened.add(plot);
      plot.on("plotly_afterplot", () => twin.open && drawSoon(twin));
    }
    let host = twin.querySelector(":scope > .data-table");
    if (!host) {
      host = document.createElement("div");
      host.className = "data-table";
      twin.append(host);
    }
    const label = `Data of: ${frame.getAttribute("aria-label")}`;
    const data = dataOf(plot);
    host.classList.toggle("bare", !data.size);
    window.hybridnas.dataTable(host, { name: `twin of ${name}`, label, data });
  }

  // A figure is drawn several times in a row while it is zoomed or resized.
  const waiting = new Map();
  function drawSoon(twin) {
    clearTimeout(waiting.get(twin));
    waiting.set(twin, setTimeout(() => twin.isConnected && draw(twin), 200));
  }

  document.addEventListener("toggle", function (event) {
    if (event.target.matches("details.twin") && event.target.open) draw(event.target);
  }, true);
})();
