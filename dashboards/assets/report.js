// Draws the graphs of a report from the data that stands in it, when the drawing library is unpacked.
(function () {
  "use strict";
  const graphs = JSON.parse(document.getElementById("graphs").textContent);

  function draw() {
    if (!window.Plotly) return;
    for (const graph of graphs) {
      const figure = JSON.parse(window.hybridnas.recolour(graph.figure));
      Plotly.react(graph.id, figure.data, figure.layout, graph.config);
    }
  }

  document.addEventListener("hybridnas-theme", draw);
  document.addEventListener("hybridnas-plotly", draw);
})();
