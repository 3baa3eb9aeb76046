// Picks candidates out: dragging along an axis of the parallel coordinates, or typing the ends of a range, fades the
// other candidates in both figures at once. On a live page the choice then goes into the link; in a report this is all.
// What is drawn and which candidates count as inside is the same as in figures/parallel.py and picking.py.
(function () {
  "use strict";
  const REACH = 16; // pixels beside an axis that belong to it
  const EDGE = 7; // pixels around the end of a brush that move this end
  const WAIT_MS = 300;
  const FLUENT_MS = 30; // marks that are drawn within it follow the pointer
  const TYPES = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
  const SIZES = { k: 1e3, M: 1e6, B: 1e9, T: 1e12 };
  const unpacked = new WeakMap(); // numbers by the text object they came in
  let drag = null;
  let timer = null;
  let mine = null; // the brush of a report, which nothing else remembers
  let waiting = false;
  let linesFrame = null;
  let marksMs = 0; // what drawing the marks took last

  const isLive = () => Boolean(window.hybridnas && window.hybridnas.change);

  function plot(name) {
    const frame = document.getElementById(`graph-${name}`);
    const graph = frame && (frame.classList.contains("js-plotly-plot") ? frame : frame.querySelector(".js-plotly-plot"));
    return graph && graph.layout && graph.layout.meta && graph.layout.meta[name === "parallel" ? "axes" : "columns"]
      ? graph
      : null;
  }

  function numbers(text) {
    if (!unpacked.has(text)) {
      const bytes = Uint8Array.from(atob(text.bdata), (letter) => letter.charCodeAt(0));
      unpacked.set(text, new TYPES[text.dtype](bytes.buffer));
    }
    return unpacked.get(text);
  }

  // Place of a value along its axis, from 0 to 1, and the value at a place.
  function place(axis, value) {
    if (!axis.log) return (value - axis.low) / (axis.high - axis.low);
    return Math.log(value / axis.low) / Math.log(axis.high / axis.low);
  }

  function valueAt(axis, share) {
    if (!axis.log) return axis.low + share * (axis.high - axis.low);
    return axis.low * (axis.high / axis.low) ** share;
  }

  function rangeAt(axis, one, other) {
    const ends = [Math.min(one, other), Math.max(one, other)].map((share) => Math.min(1, Math.max(0, share)));
    let [low, high] = ends.map((share) => valueAt(axis, share));
    if (axis.whole && axis.high < 1e6) {
      [low, high] = [Math.ceil(low - 1e-9), Math.floor(high + 1e-9)];
      if (low > high) low = high = Math.round((low + high) / 2);
    }
    // At the end of an axis the outermost candidate is meant too.
    const rounded = (value, isEnd) => Number(value.toPrecision(isEnd ? 6 : 4));
    return [rounded(low, ends[0] === 0), rounded(high, ends[1] === 1)];
  }

  function inside(parallel, scatter, brush) {
    const { columns, numbers: all } = scatter.layout.meta;
    const picked = new Uint8Array(numbers(all).length).fill(1);
    for (const axis of parallel.layout.meta.axes) {
      if (!brush[axis.name]) continue;
      const [low, high] = [brush[axis.name][0] - axis.slack, brush[axis.name][1] + axis.slack];
      const values = numbers(columns[axis.name]);
      for (let row = 0; row < picked.length; row += 1) {
        if (!(values[row] >= low && values[row] <= high)) picked[row] = 0;
      }
    }
    return picked;
  }

  function evenly(rows, most) {
    if (rows.length <= most) return rows;
    return Array.from({ length: most }, (_, index) => rows[Math.floor((index * rows.length) / most)]);
  }

  const opacityOf = (count) => Math.min(0.8, Math.max(0.25, 10 / Math.sqrt(count + 1)));

  function lines(axes, meta, rows, hasOwners) {
    const line = { x: [], y: [], customdata: [] };
    const values = axes.map((axis) => numbers(meta.columns[axis.name]));
    const owners = numbers(meta.numbers);
    for (const row of rows) {
      axes.forEach(function (axis, index) {
        line.x.push(index);
        line.y.push(place(axis, values[index][row]));
        if (hasOwners) line.customdata.push(owners[row]);
      });
      for (const list of [line.x, line.y, ...(hasOwners ? [line.customdata] : [])]) list.push(null);
    }
    return line;
  }

  function drawLines(parallel, scatter, brush, picked) {
    const { axes, max_lines: maxLines, max_faded: maxFaded, brush_shape: look } = parallel.layout.meta;
    const ordinary = scatter.layout.meta.num_ordinary;
    const rows = { in: [], out: [], "frontier-in": [], "frontier-out": [] };
    picked.forEach((isIn, row) => rows[(row < ordinary ? "" : "frontier-") + (isIn ? "in" : "out")].push(row));
    rows.in = evenly(rows.in, maxLines);
    rows.out = evenly(rows.out, maxFaded);
    const indices = [];
    const update = { x: [], y: [], customdata: [], opacity: [] };
    parallel.data.forEach(function (trace, index) {
      if (!(trace.meta in rows)) return;
      const line = lines(axes, scatter.layout.meta, rows[trace.meta], Boolean(trace.customdata));
      indices.push(index);
      for (const name of Object.keys(line)) update[name].push(line[name]);
      update.opacity.push(trace.meta === "in" ? opacityOf(rows.in.length) : trace.opacity);
    });
    const shapes = parallel.layout.shapes.filter((shape) => !(shape.name || "").startsWith("brush "));
    axes.forEach(function (axis, index) {
      if (!brush[axis.name]) return;
      const [y0, y1] = brush[axis.name].map((value) =>
        place(axis, Math.min(axis.high, Math.max(axis.low, value))));
      const name = `brush ${axis.name}`;
      shapes.push({ ...look, name, xanchor: index, y0: Math.max(0, y0 - 0.012), y1: Math.min(1, y1 + 0.012) });
    });
    Plotly.update(parallel, update, { shapes }, indices);
  }

  function drawMarks(scatter, brush, picked) {
    const isBrushed = Object.keys(brush).length > 0;
    const indices = [];
    const selected = [];
    scatter.data.forEach(function (trace, index) {
      if (!trace.meta) return;
      const [start, stop] = trace.meta;
      const points = [];
      for (let row = start; row < stop; row += 1) if (picked[row]) points.push(row - start);
      indices.push(index);
      selected.push(isBrushed ? points : null);
    });
    const began = performance.now();
    Plotly.restyle(scatter, { selectedpoints: selected }, indices);
    marksMs = performance.now() - began;
  }

  // What stands beside the figures; on a live page the server writes it.
  function say(axes, brush, picked) {
    const sentence = document.querySelector("[data-brush-sentence]");
    if (!sentence || isLive()) return;
    const count = picked.reduce((sum, isIn) => sum + isIn, 0);
    const written = (value) => value.toLocaleString("en", { maximumSignificantDigits: 4 });
    const parts = axes.filter((axis) => brush[axis.name]).map(function ({ name, label, unit }) {
      const ends = [...new Set(brush[name].map(written))].join("–");
      return `${label} ${ends} ${unit}`.trim();
    });
    const all = `${picked.length.toLocaleString("en")} candidates`;
    sentence.textContent = parts.length
      ? `${count.toLocaleString("en")} of ${all} picked out: ${parts.join(", ")}.`
      : `All ${all} are picked out.`;
    document.querySelectorAll("[data-brush-clear]").forEach((link) => (link.hidden = !parts.length));
    for (const field of fields()) {
      const ends = brush[field.column];
      field.input.value = ends ? ends[field.end] : "";
    }
  }

  function brushNow() {
    if (!isLive()) return mine || {};
    const parallel = plot("parallel");
    return parallel ? parallel.layout.meta.brush : {};
  }

  function show(brush) {
    const [parallel, scatter] = [plot("parallel"), plot("picked")];
    if (!parallel || !scatter) return;
    const picked = inside(parallel, scatter, brush);
    parallel.layout.meta.brush = brush; // asked for by brushNow; no part of the picture
    drawMarks(scatter, brush, picked);
    say(parallel.layout.meta.axes, brush, picked);
    // The lines take longer: they are drawn in the frame after that in which the marks are painted.
    cancelAnimationFrame(linesFrame);
    linesFrame = requestAnimationFrame(function () {
      linesFrame = requestAnimationFrame(() => drawLines(parallel, scatter, brush, picked));
    });
  }

  function choose(brush) {
    mine = brush;
    show(brush);
    clearTimeout(timer);
    if (!isLive()) return;
    const text = Object.entries(brush).map(([name, ends]) => [name, ...ends].join(":")).join(",");
    timer = setTimeout(() => window.hybridnas.change({ brush: text }), WAIT_MS);
  }

  function withRange(name, range) {
    const { [name]: _, ...others } = brushNow();
    return range ? { ...others, [name]: range } : others;
  }

  // The axis under the pointer and how far up it is, or null.
  function under(event) {
    const frame = event.target.closest && event.target.closest("#graph-parallel");
    return frame && plot("parallel") ? along(event, null) : null;
  }

  function along(event, index) {
    const parallel = plot("parallel");
    const { layout } = parallel;
    const box = parallel.getBoundingClientRect();
    const [first, last] = layout.xaxis.range;
    const [bottom, top] = layout.yaxis.range;
    const { l, r, t, b } = layout.margin;
    const [width, height] = [box.width - l - r, box.height - t - b];
    const at = first + ((event.clientX - box.left - l) / width) * (last - first);
    const nearest = index === null ? Math.round(at) : index;
    const share = top - ((event.clientY - box.top - t) / height) * (top - bottom);
    const axis = layout.meta.axes[nearest];
    const pixels = height / (top - bottom); // of the whole axis
    const isNear = Math.abs(at - nearest) * (width / (last - first)) <= REACH && share > -0.05 && share < 1.05;
    if (!axis || (index === null && !isNear)) return null;
    const x = box.left + l + ((nearest - first) / (last - first)) * width;
    const screen = (value) => box.top + t + ((top - value) / (top - bottom)) * height;
    return { axis, index: nearest, share, pixels, x, screen };
  }

  function begin(event) {
    if (event.button || drag) return;
    const found = under(event);
    if (!found) return;
    event.preventDefault();
    event.stopPropagation();
    const range = brushNow()[found.axis.name];
    const ends = range ? range.map((value) => place(found.axis, value)) : null;
    const edge = EDGE / found.pixels;
    drag = { ...found, from: found.share, start: found.share, ends, kind: "new", moved: false };
    if (!ends || found.share < ends[0] - edge || found.share > ends[1] + edge) return;
    if (Math.abs(found.share - ends[1]) <= edge) Object.assign(drag, { kind: "edge", from: ends[0] });
    else if (Math.abs(found.share - ends[0]) <= edge) Object.assign(drag, { kind: "edge", from: ends[1] });
    else drag.kind = "whole";
  }

  function ends(found) {
    if (drag.kind !== "whole") return [drag.from, found.share];
    const [low, high] = drag.ends;
    const by = Math.min(1 - high, Math.max(-low, found.share - drag.start));
    return [low + by, high + by];
  }

  function move(event) {
    if (!drag) {
      const frame = document.getElementById("graph-parallel");
      if (frame) frame.classList.toggle("brushable", Boolean(under(event)));
      return;
    }
    event.preventDefault();
    const found = along(event, drag.index);
    if (!found) return;
    drag.moved = drag.moved || Math.abs(found.share - drag.start) * drag.pixels > 3;
    if (!drag.moved || waiting) return;
    waiting = true;
    requestAnimationFrame(function () {
      waiting = false;
      if (!drag) return;
      band(found, ends(found));
      if (marksMs < FLUENT_MS) preview(withRange(drag.axis.name, rangeAt(drag.axis, ...ends(found))));
    });
  }

  // The marks of a brush that is not chosen yet.
  function preview(brush) {
    const [parallel, scatter] = [plot("parallel"), plot("picked")];
    if (parallel && scatter) drawMarks(scatter, brush, inside(parallel, scatter, brush));
  }

  // The brush while it is drawn.
  function band(found, [one, other]) {
    let mark = document.getElementById("brush-band");
    if (!mark) {
      mark = document.body.appendChild(document.createElement("div"));
      mark.id = "brush-band";
    }
    const [top, bottom] = [Math.max(one, other), Math.min(one, other)].map((share) =>
      found.screen(Math.min(1, Math.max(0, share))));
    Object.assign(mark.style, { left: `${found.x - 8}px`, top: `${top}px`, height: `${bottom - top}px` });
  }

  function finish(event) {
    if (!drag) return;
    const found = along(event, drag.index);
    const mark = document.getElementById("brush-band");
    if (mark) mark.remove();
    const { axis, moved } = drag;
    const range = moved && found ? rangeAt(axis, ...ends(found)) : null;
    drag = null;
    if (range || brushNow()[axis.name]) choose(withRange(axis.name, range));
    else preview(brushNow());
  }

  function cancel(event) {
    if (!drag || (event.type === "keydown" && event.key !== "Escape")) return;
    drag = null;
    const mark = document.getElementById("brush-band");
    if (mark) mark.remove();
    preview(brushNow());
  }

  function fields() {
    return Array.from(document.querySelectorAll("[data-brush-column]"), (label) => ({
      column: label.dataset.brushColumn,
      end: Number(label.dataset.brushEnd),
      input: label.querySelector("input"),
    }));
  }

  // What was typed as a number: 1,024, 1.5 B or 300M too.
  function numberOf(text) {
    const [, digits, size] = /^(.*?)\s*([kMBT]?)$/.exec(text.replace(/,/g, "").replace("−", "-"));
    return digits === "" ? NaN : Number(digits) * (SIZES[size] || 1);
  }

  function typed(event) {
    const label = event.target.closest && event.target.closest("[data-brush-column]");
    const parallel = plot("parallel");
    if (!label || !parallel) return;
    const name = label.dataset.brushColumn;
    const axis = parallel.layout.meta.axes.find((one) => one.name === name);
    const texts = fields().filter((field) => field.column === name).sort((one, other) => one.end - other.end)
      .map((field) => field.input.value.trim());
    const limits = [axis.low, axis.high].map((value) => Number(value.toPrecision(6)));
    const range = texts.map((text, end) => (text === "" ? limits[end] : numberOf(text)));
    const isWrong = range.some((value) => !Number.isFinite(value));
    event.target.setAttribute("aria-invalid", String(isWrong));
    if (isWrong) return;
    choose(withRange(name, texts.every((text) => text === "") ? null : range.sort((one, other) => one - other)));
  }

  document.addEventListener("pointerdown", begin, true);
  document.addEventListener("mousedown", (event) => drag && event.stopPropagation(), true);
  document.addEventListener("mousemove", (event) => drag && event.stopPropagation(), true);
  document.addEventListener("pointermove", move);
  document.addEventListener("pointerup", finish);
  document.addEventListener("pointercancel", cancel);
  document.addEventListener("keydown", cancel);
  document.addEventListener("change", typed);
  document.addEventListener("click", function (event) {
    if (isLive() || !event.target.closest("[data-brush-clear]")) return;
    event.preventDefault();
    choose({});
  });
  // A report draws its figures anew in other colours, as they were written.
  document.addEventListener("hybridnas-theme", function () {
    if (!isLive() && mine) setTimeout(() => show(mine));
  });
})();
