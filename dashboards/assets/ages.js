// Says how long ago things were, by the clock of the browser, and keeps it true.
// <time data-since="…"> becomes its age; older than data-long-after-s it gets the class "long". An element with
// data-quiet-since is shown only once that is longer ago than its data-quiet-after-s.
(function () {
  "use strict";

  function words(seconds) {
    const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(seconds / unit));
    if (days) return `${days} d ${hours - 24 * days} h`;
    if (hours) return `${hours} h ${minutes - 60 * hours} min`;
    return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
  }

  function age(text) {
    return Math.max(0, (Date.now() - Date.parse(text)) / 1000); // clocks of two machines may differ
  }

  function update() {
    for (const field of document.querySelectorAll("time[data-since]")) {
      const { since, suffix, longAfterS } = field.dataset;
      const seconds = age(since);
      const text = suffix ? `${words(seconds)} ${suffix}` : words(seconds);
      if (field.textContent !== text) field.textContent = text;
      if (longAfterS) field.classList.toggle("long", seconds > Number(longAfterS));
    }
    for (const line of document.querySelectorAll("[data-quiet-since]")) {
      const isHidden = age(line.dataset.quietSince) <= Number(line.dataset.quietAfterS);
      if (line.hidden !== isHidden) line.hidden = isHidden;
    }
  }

  setInterval(update, 1000);
  // What the server sends anew holds times instead of ages: exchanged before it is seen.
  const changes = { childList: true, characterData: true, attributeFilter: ["hidden"], subtree: true };
  new MutationObserver(update).observe(document.documentElement, changes);
})();
