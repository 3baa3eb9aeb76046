// Buttons that copy what stands in their data-copy.
(function () {
  "use strict";

  // Where a page is not trusted with the clipboard (another host without TLS), the old way still works.
  function copyOld(text) {
    const field = document.createElement("textarea");
    field.value = text;
    field.style.position = "fixed";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("The browser does not let this page copy."));
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const words = button.textContent;
    const say = (answer) => {
      button.textContent = answer;
      setTimeout(() => (button.textContent = words), 1500);
    };
    const copied = navigator.clipboard
      ? navigator.clipboard.writeText(button.dataset.copy).catch(() => copyOld(button.dataset.copy))
      : copyOld(button.dataset.copy);
    copied.then(() => say("Copied")).catch(() => say("Not copied"));
  });
})();
