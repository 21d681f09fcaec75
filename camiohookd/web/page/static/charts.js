"use strict";
// Draws the charts of /trends with uPlot, in the page's colors. Data: /trends/data, times in seconds since 1970.

(function () {
  const place = document.getElementById("charts");
  const drawn = [];
  const palette = ["--chart-1", "--chart-2", "--chart-3", "--chart-4", "--chart-5", "--chart-6", "--chart-7", "--chart-8", "--chart-9"];
  let data = null;

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function axis(more) {
    const line = color("--line");
    return Object.assign({
      stroke: color("--soft"), font: "12px system-ui, sans-serif",
      grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 },
    }, more);
  }

  function short(value) {
    if (value === null || value === undefined) return "–";
    if (value !== 0 && value < 1) return value.toPrecision(2);
    return value >= 100 ? Math.round(value).toLocaleString() : String(Math.round(value * 100) / 100);
  }

  const counts = [1, 2, 5].flatMap(function (each) {
    return [0, 1, 2, 3, 4, 5, 6, 7].map(function (power) { return each * Math.pow(10, power); });
  }).sort(function (one, other) { return one - other; });

  function chart(name, lines, unit) {
    const holder = place.querySelector('[data-chart="' + name + '"]');
    const series = [{}].concat(lines.map(function (line) {
      return {
        label: line.label, stroke: color(line.color), width: 2, fill: line.fill ? color(line.color) + "22" : undefined,
        points: { show: data.times.length < 70, size: 4 }, spanGaps: false,
        value: function (_, value) { return short(value) + (unit && value !== null ? " " + unit : ""); },
      };
    }));
    const options = {
      width: Math.max(holder.clientWidth, 200), height: 220, series: series,
      axes: [axis(), axis({ size: 52, incrs: unit ? undefined : counts, values: function (_, values) { return values.map(short); } })],
      scales: { y: { range: function (_, low, high) { return [0, high > 0 ? high * 1.1 : 1]; } } },
      cursor: { y: false },
    };
    const plot = new uPlot(options, [data.times].concat(lines.map(function (line) { return line.values; })), holder);
    drawn.push({ plot: plot, holder: holder });
  }

  function draw() {
    for (const each of drawn.splice(0)) each.plot.destroy();
    chart("events", [
      { label: "accepted", values: data.accepted, color: "--chart-1", fill: true },
      { label: "delivered", values: data.delivered, color: "--chart-2" },
      { label: "failed", values: data.failed, color: "--chart-3" },
    ]);
    chart("seconds", [
      { label: "half within", values: data.total_p50, color: "--chart-1", fill: true },
      { label: "95 % within", values: data.total_p95, color: "--chart-4" },
      { label: "labeling, 95 % within", values: data.label_p95, color: "--chart-2" },
    ], "s");
    chart("labels", Object.keys(data.labels).slice(0, palette.length).map(function (name, nth) {
      return { label: name || "others", values: data.labels[name], color: palette[nth] };
    }));
    chart("depth", [{ label: "waiting", values: data.depth, color: "--chart-4", fill: true }]);
  }

  function load() {
    return fetch("/trends/data?span=" + encodeURIComponent(place.dataset.span)).then(function (answer) {
      if (!answer.ok) throw new Error("the numbers could not be read: status " + answer.status);
      return answer.json();
    }).then(function (found) {
      data = found;
      place.hidden = false;
      draw();
      place.dataset.drawn = "yes";
    });
  }

  let waiting = 0;
  window.addEventListener("resize", function () {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(function () {
      for (const each of drawn) each.plot.setSize({ width: Math.max(each.holder.clientWidth, 200), height: 220 });
    }, 100);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { if (data) draw(); });
  load();
  window.setInterval(function () { if (!document.hidden) load().catch(function () {}); }, 60000);
})();
