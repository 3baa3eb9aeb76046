// Draws the graphs of a report from the data that stands in it.
(function () {
  "use strict";
  const graphs = JSON.parse(document.getElementById("graphs").textContent);
  for (const graph of graphs) {
    Plotly.newPlot(graph.id, graph.data, graph.layout, graph.config);
  }
})();
