// Curves of runs over their steps, with a band where the truth may lie.

const PLOT = { w: 460, h: 210, left: 52, right: 14, top: 10, bottom: 34 };

function curvePanel(panel, names) {
  const all = panel.curves.flatMap((c) => [...c.low, ...c.high, ...c.y].filter(Number.isFinite));
  const xs = panel.curves.flatMap((c) => c.x);
  const x = scale([0, Math.max(1, ...xs)], [PLOT.left, PLOT.w - PLOT.right]);
  const y = scale(panel.share ? [0, 1] : widened(all), [PLOT.h - PLOT.bottom, PLOT.top]);
  const write = (v) => (panel.share ? Math.round(100 * v) + " %" : digits(v));
  const lines = panel.curves.flatMap((c) => drawCurve(c, x, y, `var(${COLOURS[names.indexOf(c.name) % COLOURS.length]})`));
  const label = `${panel.title}: ` + panel.curves.map((c) => `${c.name} ends at ${write(c.y[c.y.length - 1])}`).join(", ");
  return el("section", { class: "chart" },
    el("header", {}, el("h2", {}, panel.title), legendOf(panel.curves.map((c) => c.name), names)),
    svg("svg", { viewBox: `0 0 ${PLOT.w} ${PLOT.h}`, class: "runs", role: "img", "aria-label": label }, axes(x, y, write, panel.x_label), lines));
}

function legendOf(shown, names) {
  return el("div", { class: "legend" }, shown.map((name) => el("span", {}, el("i", { style: { background: `var(${COLOURS[names.indexOf(name) % COLOURS.length]})` } }), name)));
}

function drawCurve(curve, x, y, colour) {
  const at = curve.x.map(x), up = curve.high.map((v) => (Number.isFinite(v) ? v : null)), low = curve.low.map((v) => (Number.isFinite(v) ? v : null));
  const whole = at.map((_, i) => i).filter((i) => up[i] !== null && low[i] !== null);
  const band = [...whole.map((i) => `${at[i]},${y(up[i])}`), ...whole.reverse().map((i) => `${at[i]},${y(low[i])}`)].join(" ");
  const points = at.map((px, i) => `${px},${y(curve.y[i])}`);
  const dots = curve.x.length <= 12 ? at.map((px, i) => svg("circle", { cx: px, cy: y(curve.y[i]), r: 3, style: `fill: ${colour}` })) : [];
  return [
    svg("polygon", { points: band, style: `fill: ${colour}; opacity: .14` }),
    svg("polyline", { points: points.join(" "), style: `fill: none; stroke: ${colour}; stroke-width: 2; stroke-linejoin: round` }),
    ...dots,
  ];
}

function axes(x, y, write, name) {
  const made = [];
  for (const v of ticks(y.from, 4)) {
    made.push(svg("line", { x1: PLOT.left, x2: PLOT.w - PLOT.right, y1: y(v), y2: y(v), style: "stroke: var(--grid)" }));
    made.push(svg("text", { x: PLOT.left - 7, y: y(v) + 4, "text-anchor": "end" }, write(v)));
  }
  for (const v of ticks(x.from, 4)) made.push(svg("text", { x: x(v), y: PLOT.h - 16, "text-anchor": "middle" }, v >= 1000 ? v / 1000 + "k" : v));
  made.push(svg("text", { x: PLOT.w - PLOT.right, y: PLOT.h - 4, "text-anchor": "end" }, name));
  return made;
}

function scale(from, to) {
  const put = (v) => to[0] + ((v - from[0]) / (from[1] - from[0])) * (to[1] - to[0]);
  put.from = from;
  return put;
}

function ticks([low, high], count) {
  const rough = (high - low) / count, size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((k) => k * size).find((s) => (high - low) / s <= count + 0.001);
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step) found.push(Number(v.toPrecision(6)));
  return found;
}

function widened(values) {
  const low = Math.min(...values), high = Math.max(...values), more = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return values.length ? [low - more, high + more] : [0, 1];
}
