"use strict";
// The zone editor: polygons on a camera's last picture, with mouse, finger or keyboard. It changes nothing on the box:
// /cameras/preview writes the text of the rule and says which objects it would send.

(function () {
  const editor = document.getElementById("zone-editor");
  const canvas = document.getElementById("canvas");
  const width = Number(editor.dataset.width), height = Number(editor.dataset.height);
  const given = JSON.parse(editor.dataset.zones);
  const zones = given.zones.map(function (zone) {
    return { name: zone.name, kind: zone.kind, polygon: zone.polygon.map(function (each) { return each.slice(); }) };
  });
  const byId = function (id) { return document.getElementById(id); };
  const letters = Math.max(width, height) / 90;
  let drawing = [];
  let moved = null;
  let asked = 0;
  let timer = 0;

  function svg(name, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key of Object.keys(attributes)) made.setAttribute(key, attributes[key]);
    return made;
  }

  function points(polygon) {
    return polygon.map(function (each) { return each[0] * width + "," + each[1] * height; }).join(" ");
  }

  function round(number) {
    return Math.round(Math.min(Math.max(number, 0), 1) * 1000) / 1000;
  }

  function where(event) {
    const place = canvas.getBoundingClientRect();
    return [round((event.clientX - place.left) / place.width), round((event.clientY - place.top) / place.height)];
  }

  function distance(one, other) {
    const place = canvas.getBoundingClientRect();
    return Math.hypot((one[0] - other[0]) * place.width, (one[1] - other[1]) * place.height);
  }

  function draw() {
    const parts = [];
    for (const zone of zones) {
      parts.push(svg("polygon", { class: "zone " + zone.kind, points: points(zone.polygon) }));
    }
    given.detections.forEach(function (each, nth) {
      const state = verdicts === null ? "" : verdicts[nth] === null ? " in" : " out";
      parts.push(svg("circle", {
        class: "foot" + state, cx: each.foot[0] * width, cy: each.foot[1] * height, r: letters,
      }));
    });
    if (drawing.length) parts.push(svg("polyline", { class: "drawing", points: points(drawing) }));
    for (const polygon of zones.map(function (zone) { return zone.polygon; }).concat([drawing])) {
      for (const corner of polygon) {
        parts.push(svg("circle", { class: "corner", cx: corner[0] * width, cy: corner[1] * height, r: letters * 1.1 }));
      }
    }
    canvas.replaceChildren.apply(canvas, parts);
    byId("finish").disabled = drawing.length < 3;
    byId("undo").disabled = drawing.length === 0;
    byId("hint").textContent = drawing.length === 0 ? "Tap the first corner of a new zone." :
      drawing.length < 3 ? "Tap the next corner; a zone has three or more." :
      "Tap the next corner, or the first one again to finish the zone.";
  }

  let verdicts = null;

  function corner(at) {
    for (const polygon of [drawing].concat(zones.map(function (zone) { return zone.polygon; }))) {
      for (let nth = 0; nth < polygon.length; nth++) {
        if (distance(polygon[nth], at) < 16) return { polygon: polygon, nth: nth };
      }
    }
    return null;
  }

  canvas.addEventListener("pointerdown", function (event) {
    if (event.button > 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    moved = corner(where(event));
    if (moved) moved.began = [event.clientX, event.clientY];
    else { drawing.push(where(event)); moved = { polygon: drawing, nth: drawing.length - 1, began: null }; }
    draw();
  });
  canvas.addEventListener("pointermove", function (event) {
    if (!moved) return;
    if (moved.began && Math.hypot(event.clientX - moved.began[0], event.clientY - moved.began[1]) < 4) return;
    moved.began = null;
    moved.polygon[moved.nth] = where(event);
    draw();
    if (moved.polygon !== drawing) { list(); ask(); }
  });
  canvas.addEventListener("pointerup", function () {
    const tapped = moved && moved.began && moved.polygon === drawing && moved.nth === 0 && drawing.length >= 3;
    moved = null;
    if (tapped) finish();
  });
  canvas.addEventListener("pointercancel", function () { moved = null; });

  function freeName() {
    for (let number = zones.length + 1; ; number++) {
      const name = "zone " + number;
      if (!zones.some(function (zone) { return zone.name === name; })) return name;
    }
  }

  function finish() {
    if (drawing.length < 3) return;
    zones.push({ name: freeName(), kind: "include", polygon: drawing });
    drawing = [];
    draw(); list(); ask();
  }

  function labelled(text, field, id) {
    const holder = document.createElement("div"), label = document.createElement("label");
    field.id = id;
    label.htmlFor = id;
    label.textContent = text;
    holder.append(label, field);
    return holder;
  }

  function corners(text) {
    const found = text.split(";").map(function (pair) {
      return pair.trim().split(/[\s,]+/).map(Number);
    });
    const fits = found.length >= 3 && found.every(function (each) {
      return each.length === 2 && each.every(function (one) { return one >= 0 && one <= 1; });
    });
    return fits ? found : null;
  }

  function list() {
    byId("zones").replaceChildren.apply(byId("zones"), zones.map(function (zone, nth) {
      const row = document.createElement("div");
      row.className = "fields";
      const name = document.createElement("input");
      name.value = zone.name;
      name.addEventListener("input", function () { zone.name = name.value; ask(); });
      const kind = document.createElement("select");
      for (const each of ["include", "exclude", "state"]) {
        const option = document.createElement("option");
        option.textContent = each;
        option.selected = each === zone.kind;
        kind.append(option);
      }
      kind.addEventListener("change", function () { zone.kind = kind.value; draw(); ask(); });
      const text = document.createElement("input");
      text.value = zone.polygon.map(function (each) { return each.join(" "); }).join("; ");
      text.addEventListener("change", function () {
        const found = corners(text.value);
        text.setAttribute("aria-invalid", found ? "false" : "true");
        if (found) { zone.polygon = found; draw(); ask(); }
      });
      const drop = document.createElement("button");
      drop.type = "button";
      drop.className = "danger";
      drop.textContent = "Delete " + zone.name;
      drop.addEventListener("click", function () { zones.splice(nth, 1); draw(); list(); ask(); });
      const corner = labelled("Corners: x y; x y; ... from the top left, 0 to 1", text, "corners-" + nth);
      corner.className = "whole";
      row.append(labelled("Name", name, "name-" + nth), labelled("Kind", kind, "kind-" + nth), drop, corner);
      return row;
    }));
    if (!zones.length) {
      const none = document.createElement("p");
      none.className = "soft";
      none.textContent = "There is no zone: objects in the whole picture are sent.";
      byId("zones").append(none);
    }
  }

  function ask() {
    window.clearTimeout(timer);
    timer = window.setTimeout(preview, 120);
  }

  function preview() {
    const number = ++asked;
    const query = new URLSearchParams({ camera: given.camera, zones: JSON.stringify(zones) });
    fetch("/cameras/preview?" + query.toString()).then(function (answer) {
      if (!answer.ok) throw new Error("status " + answer.status);
      return answer.json();
    }).then(function (found) {
      if (number === asked) show(found);
    }).catch(function (error) {
      if (number === asked) show({ problem: "The preview failed: " + error.message, left_out: [], text: "" });
    });
  }

  function show(found) {
    byId("problem").hidden = !found.problem;
    byId("problem").textContent = found.problem || "";
    if (found.problem) return;
    verdicts = found.left_out;
    byId("text").value = found.text;
    const sent = verdicts.filter(function (each) { return each === null; }).length;
    byId("count").textContent = verdicts.length === 0 ? "No object of this camera is known yet." :
      sent + " of the last " + verdicts.length + " objects would be sent, " + (verdicts.length - sent) + " would not.";
    byId("how").textContent = found.replaces ?
      "The settings have a rule for this camera. This one replaces it (--replace)." :
      "This is the rule that applies to this camera now, with these zones and only for this camera.";
    byId("command").textContent = "sudo camiohookd rules add " + (found.replaces ? "--replace " : "") + "-";
    byId("objects").replaceChildren.apply(byId("objects"), given.detections.map(function (each, nth) {
      const item = document.createElement("li");
      item.textContent = each.label + " " + each.probability.toFixed(2) + ": " +
        (verdicts[nth] === null ? "sent" : "left out, " + verdicts[nth]);
      return item;
    }));
    editor.dataset.previewed = String(asked);
    draw();
  }

  byId("finish").addEventListener("click", finish);
  byId("undo").addEventListener("click", function () { drawing.pop(); draw(); });
  byId("copy").addEventListener("click", function () {
    const field = byId("text"), button = byId("copy");
    const done = function () { button.textContent = "Copied"; window.setTimeout(function () { button.textContent = "Copy"; }, 2000); };
    field.focus();
    field.select();
    // Browsers offer the clipboard by https and on the loopback only.
    if (navigator.clipboard) navigator.clipboard.writeText(field.value).then(done, function () { document.execCommand("copy"); done(); });
    else { document.execCommand("copy"); done(); }
  });
  editor.hidden = false;
  draw(); list(); preview();
})();
