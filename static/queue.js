// The desk: refreshes its rows, decides in them, and is led by keys. Without it each row leads to its payment.
"use strict";
(() => {
  const how = document.getElementById("desk-how").dataset;
  const texts = JSON.parse(how.texts);
  const bars = document.getElementById("bars");
  const keys = document.getElementById("keys");
  const STAYS = 5000, VISIBLE = 3000, HIDDEN = 30000, TWICE = 500; // milliseconds
  let tag = desk().dataset.tag, seen = clock(), selected = sessionStorage.getItem("desk"), armedAt = -TWICE, decidedAt = -TWICE, timer;

  function desk() { return document.getElementById("desk"); }
  function units(root = document) { return [...root.querySelectorAll("tbody[data-pk]")]; }
  function unit(pk) { return document.querySelector(`#desk tbody[data-pk="${pk}"]`); }
  function clock() { return new Date().toTimeString().slice(0, 5); }
  function say(text, of) { return text.replace(/\{(\w+)\}/g, (_, name) => ({ ...of, missing: of.sum })[name] ?? ""); }

  // Refreshing

  async function refresh() {
    clearTimeout(timer);
    try {
      const answer = await fetch(how.rows, { headers: { "If-None-Match": `W/"${tag}"` }, cache: "no-store" });
      if (answer.redirected) bar("out", texts.out, how.login);
      else if (answer.status === 200) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("desk");
        merge(fresh);
        bar("out"); bar("offline");
      } else if (answer.status === 304) { bar("out"); bar("offline"); }
      else throw new Error(answer.status);
      if (!answer.redirected) seen = clock();
    } catch { bar("offline", texts.offline.replace("{at}", seen)); }
    wait();
    timer = setTimeout(refresh, document.hidden ? HIDDEN : VISIBLE);
  }

  function bar(name, text, link) {
    let shown = bars.querySelector(`[data-bar="${name}"]`);
    if (!text) { shown?.remove(); return; }
    if (shown) return;
    shown = document.createElement("div");
    shown.className = "alert alert-warning py-2";
    shown.dataset.bar = name;
    shown.textContent = `${text} `;
    if (link) shown.append(Object.assign(document.createElement("a"), { href: link, className: "alert-link", textContent: texts.log_in }));
    bars.append(shown);
  }

  // Puts the fresh rows in place of the old ones. What is selected, focused or half typed stays, and where it is on the screen.
  function merge(fresh) {
    const anchor = (selected && unit(selected)) || units().find((one) => one.getBoundingClientRect().top > 0);
    const top = anchor?.getBoundingClientRect().top, anchored = anchor?.dataset.pk;
    const focused = document.activeElement;
    const told = new Map([...fresh.querySelectorAll(".q-decided li")].map((li) => [li.dataset.pk, li.textContent]));
    const wanted = new Set(units(fresh).map((one) => one.dataset.pk));
    for (const old of units()) if (!wanted.has(old.dataset.pk)) gone(old, told.get(old.dataset.pk) || texts.gone);
    for (const section of fresh.querySelectorAll("section.queue")) place(section);
    document.querySelector("#desk > .q-none")?.remove();
    const none = fresh.querySelector(".q-none");
    if (none) desk().append(none);
    tag = fresh.dataset.tag;
    desk().dataset.works = fresh.dataset.works;
    const after = anchored && unit(anchored);
    if (after) scrollBy({ top: after.getBoundingClientRect().top - top, behavior: "instant" });
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    settle();
  }

  function place(section) {
    const here = document.querySelector(`#desk > section[data-section="${section.dataset.section}"]`);
    here.hidden = section.hidden;
    here.querySelector("header").replaceWith(section.querySelector("header"));
    const table = here.querySelector("table");
    let last = table.tHead;
    for (const fresh of units(section)) {
      const pk = fresh.dataset.pk, old = unit(pk);
      let row = old;
      if (!old || old.dataset.version !== fresh.dataset.version || !table.contains(old) || old.classList.contains("gone")) {
        row = fresh;
        const panel = old?.querySelector(".armed"); // keeps the version that was seen when it was armed
        if (panel) row.append(panel);
        old?.remove();
      }
      let next = last ? last.nextElementSibling : table.firstElementChild;
      while (next && next !== row && next.classList.contains("gone")) next = next.nextElementSibling;
      if (next !== row) table.insertBefore(row, next);
      last = row;
    }
  }

  // A row that is decided stays for a while and says by whom.
  function gone(row, text) {
    if (row.classList.contains("gone")) return;
    row.classList.add("gone");
    row.querySelector(".armed")?.remove();
    const cell = row.querySelector(".q-came"), link = row.querySelector("a.id");
    cell.colSpan = 3; // in place of what came, the id and the buttons
    cell.replaceChildren(text, " ", link);
    row.querySelector(".q-id").remove();
    row.querySelector(".q-actions").remove();
    const after = row.dataset.pk === selected ? neighbour(1, row) || neighbour(-1, row) : null;
    if (after) select(after, false);
    setTimeout(() => { if (row.classList.contains("gone")) { keepPlace(() => row.remove()); settle(); } }, STAYS);
  }

  function keepPlace(change) {
    const row = selected && unit(selected), top = row?.getBoundingClientRect().top;
    change();
    if (row?.isConnected) scrollBy({ top: row.getBoundingClientRect().top - top, behavior: "instant" });
  }

  function settle() {
    const number = desk().querySelectorAll('section[data-section="check"] tbody[data-pk]:not(.gone)').length;
    document.title = (number ? `(${number}) ` : "") + document.title.replace(/^\(\d+\) /, "");
    bar("idle", desk().dataset.works === "0" ? texts.idle : "");
    for (const row of units()) row.classList.toggle("selected", row.dataset.pk === selected);
  }

  function wait() {
    for (const shown of desk().querySelectorAll("[data-since]")) {
      const minutes = Math.max(0, Math.floor((Date.now() / 1000 - shown.dataset.since) / 60));
      const hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
      const text = days ? `${days} d ${hours % 24} h` : hours ? `${hours} h ${minutes % 60} min` : `${minutes} min`;
      if (shown.textContent !== text) shown.textContent = text;
      shown.className = minutes >= 15 ? "wait-long" : minutes >= 5 ? "wait-some" : "";
    }
  }

  // Selecting

  function neighbour(step, from = selected && unit(selected)) {
    const open = units().filter((row) => !row.classList.contains("gone") || row === from);
    const at = open.indexOf(from);
    return at < 0 ? open[0] : open[at + step];
  }

  function select(row, scroll = true) {
    if (!row) return;
    selected = row.dataset.pk;
    sessionStorage.setItem("desk", selected);
    settle();
    if (scroll) row.scrollIntoView({ block: "nearest" });
  }

  // Deciding

  function arm(row, action, field) {
    if (!row || row.classList.contains("gone") || !row.querySelector(`[data-act="${action}"]`)) return;
    disarm();
    select(row);
    const panel = document.getElementById("armed").content.cloneNode(true).firstElementChild;
    Object.assign(panel.dataset, { action, version: row.dataset.version });
    panel.querySelector(".armed-text").textContent = say(texts[action], row.dataset);
    panel.querySelector(".armed-record").textContent = say(texts[`do_${action}`], row.dataset);
    if (action !== "transfer") panel.querySelector('[data-for="sum"]').remove();
    if (action === "settle" || action === "cancel") panel.querySelector('[data-for="reference"]').remove();
    panel.querySelectorAll("[data-for]").forEach((one) => {
      const input = one.querySelector("input");
      one.querySelector("label").htmlFor = input.id = `armed-${input.name}`;
    });
    row.append(panel);
    armedAt = performance.now();
    panel.scrollIntoView({ block: "nearest" });
    const first = field || (action === "transfer" ? "sum" : "");
    (panel.querySelector(first ? `[name="${first}"]` : ".armed-record")).focus();
  }

  function disarm() {
    const panel = document.querySelector("#desk .armed");
    if (panel && !panel.dataset.sending) panel.remove();
  }

  async function record(panel) {
    const row = panel.closest("tbody"), button = panel.querySelector(".armed-record");
    if (panel.dataset.sending) return; // dead after the first press
    panel.dataset.sending = "yes";
    button.classList.add("disabled");
    const fields = new URLSearchParams({ version: panel.dataset.version });
    for (const input of panel.querySelectorAll("input")) fields.set(input.name, input.value);
    const answer = await post(`${how.payments}${row.dataset.pk}/${panel.dataset.action}`, fields);
    delete panel.dataset.sending;
    button.classList.remove("disabled");
    if (answer.done) { decidedAt = performance.now(); gone(panel.closest("tbody"), answer.told); settle(); return; }
    mistake(panel, answer.told, answer.field);
  }

  async function post(address, fields) {
    try {
      const answer = await fetch(address, { method: "POST", body: fields, headers: { "X-CSRFToken": how.csrf, "X-Desk": "row" } });
      if (answer.redirected) { bar("out", texts.out, how.login); return { told: texts.out }; }
      if ((answer.headers.get("Content-Type") || "").startsWith("application/json")) return await answer.json();
      return { told: texts.refused };
    } catch { return { told: texts.unsure }; }
  }

  function mistake(panel, text, field) {
    const told = panel.querySelector(".armed-mistake");
    told.textContent = text;
    told.hidden = false;
    for (const input of panel.querySelectorAll("input")) {
      const wrong = input.name === field;
      input.classList.toggle("is-invalid", wrong);
      input.setAttribute("aria-invalid", wrong);
    }
    (panel.querySelector(`[name="${field}"]`) || panel.querySelector(".armed-record")).focus();
  }

  // What is pressed

  // The second half of a double click or tap: what was under it has moved.
  addEventListener("click", (event) => {
    if (event.detail < 1 || performance.now() - Math.max(armedAt, decidedAt) > TWICE || !event.target.closest("#desk")) return;
    event.preventDefault();
    event.stopPropagation();
  }, true);

  document.addEventListener("click", (event) => {
    const act = event.target.closest("[data-act]"), panel = event.target.closest(".armed");
    if (act) arm(act.closest("tbody"), act.dataset.act);
    else if (event.target.closest(".armed-keep")) disarm();
    else if (panel && event.target.closest(".armed-record")) {
      record(panel);
    } else if (!panel && event.target.closest("#desk tbody") && !event.target.closest("a")) select(event.target.closest("tbody"), false);
  });

  const ACTIONS = { a: ["accept"], r: ["accept", "reference"], t: ["transfer"], s: ["settle"], c: ["cancel"] };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, textarea, select"), panel = event.target.closest(".armed");
    if (event.key === "Escape") { disarm(); typing?.blur(); return; }
    if (event.key === "Enter" && typing && panel) { event.preventDefault(); panel.querySelector(".armed-record").focus(); return; }
    if (event.key === "Enter" && event.repeat && panel) { event.preventDefault(); return; }
    if (typing || keys.open) return;
    const row = selected && unit(selected);
    if (event.key === "j" || event.key === "k") select(neighbour(event.key === "j" ? 1 : -1));
    else if (event.key in ACTIONS) arm(row, ...ACTIONS[event.key]);
    else if (event.key === "/") document.getElementById("q").focus();
    else if (event.key === "?") keys.showModal();
    else if (event.key === "Enter" && row && !event.target.closest("a, button, summary")) {
      if (performance.now() - decidedAt > 600) row.querySelector("a.id").click();
    } else return;
    event.preventDefault();
  });

  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  document.documentElement.classList.add("scripted");
  const begin = (selected && unit(selected)) || document.querySelector('section[data-section="check"] tbody[data-pk]');
  selected = null;
  if (begin) select(begin);
  settle();
  wait();
  timer = setTimeout(refresh, VISIBLE);
})();
