// Draws what the server sends, and keeps what a reader did to a graph (zoom, hidden legend entries) when it is drawn
// again.
(function () {
  "use strict";
  const sent = {}; // figure texts by the graph's name, as they came

  function shown(name) {
    return document.querySelector(`#graph-${CSS.escape(name)} .js-plotly-plot`);
  }

  // Dash writes what a reader did into the figure, where Plotly's uirevision no longer knows it for the reader's.
  function keepView(figure, graph) {
    if (!graph || !graph.layout || graph.layout.uirevision !== figure.layout.uirevision) return figure;
    for (const [name, axis] of Object.entries(figure.layout)) {
      const before = graph.layout[name];
      if (!/^[xy]axis\d*$/.test(name) || !before || before.autorange !== false || !before.range) continue;
      axis.range = before.range;
      axis.autorange = false;
    }
    const hidden = (graph.data || []).filter((trace) => trace.visible === "legendonly").map((trace) => trace.name);
    for (const trace of figure.data) {
      if (hidden.includes(trace.name)) trace.visible = "legendonly";
    }
    return figure;
  }

  function drawOne(name) {
    const figure = keepView(JSON.parse(window.hybridnas.recolour(sent[name].figure)), shown(name));
    const frame = document.getElementById(`graph-${name}`);
    if (!frame) return;
    frame.style.height = `${sent[name].height}px`;
    window.dash_clientside.set_props({ graph: name }, { figure });
  }

  // Called with the figures that changed, by the graph's name.
  function draw(figures) {
    Object.assign(sent, figures);
    Object.keys(figures || {}).forEach(drawOne);
    return window.dash_clientside.no_update;
  }

  document.addEventListener("hybridnas-theme", function () {
    Object.keys(sent).filter((name) => document.getElementById(`graph-${name}`)).forEach(drawOne);
  });

  // Called when a mark was pressed: it carries the number of its candidate.
  function pick() {
    const [pressed] = window.dash_clientside.callback_context.triggered;
    const mark = pressed && pressed.value && pressed.value.points && pressed.value.points[0];
    const number = mark && (Array.isArray(mark.customdata) ? mark.customdata[0] : mark.customdata);
    if (Number.isInteger(number)) window.hybridnas.change({ trial: number });
    return window.dash_clientside.no_update;
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, { hybridnas: { draw, pick } });
})();
