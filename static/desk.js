// What the pages do beyond HTML. Without it all of them work: it only spares slips.
"use strict";

// A button is dead after its first press, until its page is shown again.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  for (const button of form.querySelectorAll("button:not([hidden])")) {
    button.setAttribute("aria-disabled", "true");
    button.classList.add("disabled");
  }
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("button.disabled")) {
      button.removeAttribute("aria-disabled");
      button.classList.remove("disabled");
    }
  }
});

// The second tap of a double tap doesn't close what the first one has opened.
document.addEventListener("click", (event) => {
  if (event.detail > 1 && event.target.closest("summary")) event.preventDefault();
});

// A payment knows the list from which it was opened: its place in it, the next one, and the way back with its filters.
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-list] a.id")) return;
  const paths = [...document.querySelectorAll("[data-list] a.id")].map((link) => link.pathname);
  sessionStorage.setItem("list", JSON.stringify({ from: location.pathname + location.search, paths }));
});
document.addEventListener("DOMContentLoaded", () => {
  const walk = document.getElementById("walk"), list = JSON.parse(sessionStorage.getItem("list") || "null");
  const at = walk && list ? list.paths.findIndex((path) => location.pathname === path || location.pathname.startsWith(`${path}/`)) : -1;
  if (at < 0) return;
  document.getElementById("back").href = list.from;
  walk.firstElementChild.textContent = walk.dataset.place.replace("{n}", at + 1).replace("{all}", list.paths.length);
  if (at + 1 < list.paths.length) walk.lastElementChild.href = list.paths[at + 1];
  else walk.lastElementChild.remove();
  walk.hidden = false;
});
