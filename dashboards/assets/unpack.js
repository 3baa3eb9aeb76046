// Unpacks the drawing library of a page that is one file: compressed it takes a third of the room.
(async function () {
  "use strict";
  const packed = document.getElementById("plotly");
  try {
    const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    packed.remove();
    document.dispatchEvent(new Event("hybridnas-plotly"));
  } catch (error) {
    const words = document.createElement("p");
    words.className = "alarm";
    words.textContent = "The figures need a browser of 2023 or later; the tables below do not.";
    document.querySelector("main").prepend(words);
    throw error;
  }
})();
