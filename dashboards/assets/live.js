// Keeps what a reader did to a graph (zoom, hidden legend entries) when the live page draws it again.
// Dash writes such changes into the figure itself, where Plotly's uirevision no longer knows them for the reader's.
(function () {
  "use strict";

  function keepView(drawn, shown) {
    if (!shown || !shown.layout) return drawn;
    for (const [name, axis] of Object.entries(drawn.layout)) {
      const before = shown.layout[name];
      if (!/^[xy]axis\d*$/.test(name) || !before || before.autorange !== false || !before.range) continue;
      axis.range = before.range;
      axis.autorange = false;
    }
    const hidden = shown.data.filter((trace) => trace.visible === "legendonly").map((trace) => trace.name);
    for (const trace of drawn.data) {
      if (hidden.includes(trace.name)) trace.visible = "legendonly";
    }
    return drawn;
  }

  // Called with the new figures by name and the figures shown now, in the order of the names.
  function redraw(figures, ...shown) {
    if (!figures) return shown.map(() => window.dash_clientside.no_update);
    return Object.values(figures).map((figure, index) => keepView(figure, shown[index]));
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, { hybridnas: { redraw } });
})();
