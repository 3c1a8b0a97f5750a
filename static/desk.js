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
