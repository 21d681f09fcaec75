"use strict";
// Times in the browser's zone, and live updates by server-sent events. The pages work without it.

(function () {
  const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

  function localTimes(within) {
    for (const each of within.querySelectorAll("time[datetime]")) {
      const moment = new Date(each.dateTime);
      if (!Number.isNaN(moment.getTime())) each.textContent = clock.format(moment);
    }
  }

  function numbers(message) {
    for (const each of document.querySelectorAll("[data-text]")) {
      const text = message.texts[each.dataset.text];
      if (text !== undefined && each.textContent !== text) each.textContent = text;
    }
    for (const each of document.querySelectorAll("[data-status]")) {
      const status = message.status[each.dataset.status];
      if (status === undefined) continue;
      each.classList.remove("ok", "warn", "bad");
      if (status) each.classList.add(status);
    }
    for (const each of document.querySelectorAll("[data-list]")) {
      const lines = message.lists[each.dataset.list] || [];
      each.hidden = lines.length === 0;
      each.replaceChildren(...lines.map(function (line) {
        const item = document.createElement("li");
        item.textContent = line;
        return item;
      }));
    }
  }

  // A card comes as HTML of this server, which has escaped everything that others wrote.
  function card(message) {
    const list = document.getElementById("events");
    if (!list) return;
    const holder = document.createElement("template");
    holder.innerHTML = message.html;
    const fresh = holder.content.firstElementChild;
    const old = document.getElementById(fresh.id);
    localTimes(holder.content);
    if (old) {
      if (old.outerHTML !== fresh.outerHTML) old.replaceWith(fresh);
      return;
    }
    fresh.classList.add("fresh");
    const place = Array.from(list.children).find(function (each) {
      return Number(each.dataset.received) < Number(fresh.dataset.received);
    });
    list.insertBefore(fresh, place || null);
    while (list.children.length > Number(list.dataset.most)) list.lastElementChild.remove();
    const none = document.getElementById("no-events");
    if (none) none.hidden = true;
  }

  function listen(kind) {
    const sign = document.getElementById("live");
    const query = new URLSearchParams(window.location.search);
    query.set("page", kind);
    const source = new EventSource("/live?" + query.toString());
    sign.hidden = false;
    source.addEventListener("open", function () { sign.classList.add("on"); sign.textContent = "live"; });
    source.addEventListener("error", function () { sign.classList.remove("on"); sign.textContent = "not live"; });
    source.addEventListener("numbers", function (event) { numbers(JSON.parse(event.data)); });
    source.addEventListener("card", function (event) { card(JSON.parse(event.data)); });
    window.addEventListener("pagehide", function () { source.close(); });
    window.addEventListener("pageshow", function (event) { if (event.persisted) listen(kind); });
  }

  localTimes(document);
  for (const form of document.querySelectorAll("form[data-sure]")) {
    form.addEventListener("submit", function (event) {
      if (!window.confirm(form.dataset.sure)) event.preventDefault();
    });
  }
  for (const each of document.querySelectorAll("form")) {
    each.addEventListener("submit", function (event) {
      if (event.defaultPrevented || each.method !== "post") return;
      for (const button of each.querySelectorAll("button")) button.disabled = true;
    });
  }
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) for (const button of document.querySelectorAll("form button")) button.disabled = false;
  });
  if (document.body.dataset.live) listen(document.body.dataset.live);
})();
