// Asks the server what to show for the link of the page, again and again, and puts the answer in place. What a reader
// did to a graph (zoom, hidden legend entries) is kept when it is drawn again.
(function () {
  "use strict";
  const INTERVAL_MS = Number(document.documentElement.dataset.interval);
  const CONFIG = JSON.parse(document.documentElement.dataset.graphConfig);
  const sent = {}; // figures by the graph's name, as they came
  const pressable = new WeakSet();
  let shown = ""; // tag of the page that is shown
  let shownFor = ""; // the query it was drawn for
  let asking = null; // what stops the question that is on its way
  let timer = null;
  let failures = 0;
  let hasTravelled = false; // by the buttons of the browser

  // One question at a time: a new one takes the place of one on its way, whose answer is then no longer wanted.
  async function look() {
    clearTimeout(timer);
    if (asking) asking.abort();
    const mine = new AbortController();
    asking = mine;
    const query = location.search;
    let { answer, problem } = await ask(query, mine.signal);
    if (answer) await until(() => document.getElementById("content"));
    if (mine !== asking) return;
    if (answer) {
      try {
        show(answer, query);
      } catch (error) {
        console.error(error);
        problem = "This page could not show what the server sent.";
        shown = ""; // what stands there now is known to nobody: the next answer is the whole page
      }
    }
    failures = problem ? failures + 1 : 0;
    tellOfServer(problem);
    timer = setTimeout(look, INTERVAL_MS);
  }

  // Returns what the page must change (nothing where nothing changed), or the problem in words.
  async function ask(query, signal) {
    try {
      const response = await fetch(`look?${new URLSearchParams({ query, shown })}`, { signal });
      if (response.ok) return { answer: response.status === 204 ? null : await response.json(), problem: "" };
      const isPlain = (response.headers.get("Content-Type") || "").startsWith("text/plain");
      return { problem: isPlain ? await response.text() : `The dashboard's server answers with error ${response.status}.` };
    } catch {
      return { problem: "The dashboard's server does not answer." };
    }
  }

  function until(holds) {
    return new Promise(function (resolve) {
      (function wait() {
        if (holds()) resolve();
        else setTimeout(wait, 10);
      })();
    });
  }

  // A single failure may be chance; what stands on the page stays, and is said to be old.
  function tellOfServer(problem) {
    const place = document.getElementById("server");
    const words = failures < 2 ? "" : `${problem} This page shows what it was last told, and tries again by itself.`;
    if (!place || place.textContent === words) return;
    place.textContent = words;
    place.className = words && "alarm";
  }

  function show(answer, query) {
    const before = document.activeElement;
    if (answer.content) window.hybridnas.fill(document.getElementById("content"), answer.content);
    for (const [name, text] of Object.entries(answer.slots || {})) {
      window.hybridnas.replace(document.querySelector(`[data-slot="${CSS.escape(name)}"]`), text);
    }
    Object.assign(sent, answer.figures);
    document.title = answer.title;
    if (shown && pageOf(query) !== pageOf(shownFor)) arrive(before);
    [shown, shownFor] = [answer.tag, query];
    drawAll(Object.keys(answer.figures));
  }

  const pageOf = (query) => new URLSearchParams(query).get("page");

  // Another view begins at its top, also for the keyboard; but who went back is left where the browser puts them.
  function arrive(before) {
    if (!hasTravelled) window.scrollTo({ top: 0, behavior: "instant" });
    if (!before.isConnected) document.getElementById("main").focus({ preventScroll: true });
    hasTravelled = false;
  }

  async function drawAll(names) {
    await until(() => window.Plotly);
    for (const name of names) {
      try {
        draw(name);
      } catch (error) {
        console.error(`The picture ${name} cannot be drawn.`, error); // and the others still can
      }
    }
  }

  function draw(name) {
    const graph = document.getElementById(`graph-${name}`);
    if (!graph) return; // another view was opened meanwhile
    const { figure, height, label } = sent[name];
    const { data, layout } = JSON.parse(window.hybridnas.recolour(figure));
    graph.style.height = `${height}px`;
    graph.setAttribute("aria-label", label);
    Plotly.react(graph, data, layout, CONFIG);
    if (!pressable.has(graph)) graph.on("plotly_click", pick);
    pressable.add(graph);
  }

  // A mark that was pressed carries the number of its candidate.
  function pick({ points }) {
    const mark = points && points[0];
    const number = mark && (Array.isArray(mark.customdata) ? mark.customdata[0] : mark.customdata);
    if (Number.isInteger(number)) window.hybridnas.change({ trial: number });
  }

  document.addEventListener("hybridnas-theme", () => drawAll(Object.keys(sent)));
  window.addEventListener("popstate", function () {
    hasTravelled = true;
    if (document.activeElement.matches("input")) document.activeElement.blur(); // what it holds is of another page
    look();
  });
  // Browsers slow the clock of a page that is not seen.
  document.addEventListener("visibilitychange", () => document.hidden || look());

  window.hybridnas = Object.assign(window.hybridnas || {}, { look, shownFor: () => shownFor });
  look();
})();
