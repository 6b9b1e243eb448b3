// Curves on canvas. A line of T values belongs to steps and is drawn as stairs; one of T + 1 values to the observations.

const COLOURS = ["--l0", "--l1", "--l2", "--l3", "--l4", "--l5", "--l6"];
const PAD = 5;

function chartView(chart, T, hz, onPick) {
  const outputs = chart.lines.map(() => el("output", { class: "num" }));
  const legend = chart.lines.map((line, i) =>
    el("span", { title: (chart.scale && chart.scale[i]) || null }, el("i", { style: { background: `var(${COLOURS[i % COLOURS.length]})` } }), line.name, outputs[i]));
  const canvas = el("canvas", { role: "img", "aria-label": describeChart(chart) });
  const cursor = el("div", { class: "cursor" });
  const plot = el("div", { class: chart.lines.length > 2 ? "plot tall" : "plot" }, canvas, cursor);
  const root = el("section", { class: "chart" }, el("header", {}, el("h2", {}, chart.name), el("span", { class: "soft" }, chart.unit), el("div", { class: "legend" }, legend)), plot);
  const pick = (event) => {
    const box = plot.getBoundingClientRect();
    onPick(Math.round(((event.clientX - box.left) / box.width) * T));
  };
  plot.addEventListener("pointerdown", (event) => { plot.setPointerCapture(event.pointerId); pick(event); });
  plot.addEventListener("pointermove", (event) => { if (plot.hasPointerCapture(event.pointerId)) pick(event); });
  return {
    root,
    draw: (bands) => drawChart(canvas, chart, T, hz, bands),
    show(frame) {
      cursor.style.transform = `translateX(${(Math.min(frame, T) / T) * plot.clientWidth}px)`;
      chart.lines.forEach((line, i) => (outputs[i].textContent = digits(line.values[Math.min(frame, line.values.length - 1)])));
    },
  };
}

function describeChart(chart) {
  const parts = chart.lines.map((line) => {
    const values = line.values.filter((v) => v !== null);
    return values.length ? `${line.name} from ${digits(Math.min(...values))} to ${digits(Math.max(...values))}` : line.name;
  });
  return `${chart.name} over time: ${parts.join(", ")}`;
}

function drawChart(canvas, chart, T, hz, bands) {
  const width = canvas.clientWidth, height = canvas.clientHeight, ratio = devicePixelRatio || 1;
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  pen.scale(ratio, ratio);
  const [low, high] = span(chart);
  const x = (k) => (k / T) * width, y = (v) => PAD + (1 - (v - low) / (high - low)) * (height - 2 * PAD);
  drawBands(pen, bands, x, height, colour("--hand-back"));
  drawGridLines(pen, { T, hz, x, y, low, high, width, height, colour });
  if (chart.limit !== undefined && chart.limit < high) dashed(pen, y(chart.limit), width, colour("--bad"));
  chart.lines.forEach((line, i) => drawLine(pen, line.values, T, x, y, colour(COLOURS[i % COLOURS.length])));
  drawEnds(pen, low, high, height, colour);
}

function span(chart) {
  const values = chart.lines.flatMap((line) => line.values).filter((v) => v !== null);
  let low = Math.min(...values), high = Math.max(...values);
  if (!values.length) return [0, 1];
  if (chart.range) [low, high] = [Math.min(low, chart.range[0]), Math.max(high, chart.range[1])];
  if (chart.limit !== undefined) [low, high] = [Math.min(low, 0), Math.max(high, chart.limit * 0.4)];
  if (high - low < 1e-9) return [low - Math.max(Math.abs(low) * 0.1, 0.01), high + Math.max(Math.abs(high) * 0.1, 0.01)];
  return [low, high];
}

function drawBands(pen, bands, x, height, colour) {
  pen.fillStyle = colour;
  pen.globalAlpha = 0.6;
  for (const [from, to] of bands) pen.fillRect(x(from), 0, Math.max(1, x(to) - x(from)), height);
  pen.globalAlpha = 1;
}

function drawGridLines(pen, at) {
  pen.fillStyle = at.colour("--grid");
  const seconds = at.T / at.hz, every = gridEvery(seconds, at.width);
  for (let s = every; s < seconds; s += every) {
    pen.fillRect(Math.round(at.x(s * at.hz)), 0, 1, at.height);
  }
  if (at.low < 0 && at.high > 0) {
    pen.fillStyle = at.colour("--strong");
    pen.fillRect(0, Math.round(at.y(0)), at.width, 1);
  }
}

function gridEvery(seconds, width) {
  return [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300].find((s) => (s / seconds) * width >= 56) || 600;
}

function ruler(T, hz) {
  const seconds = T / hz, every = gridEvery(seconds, Math.min(innerWidth, 700)), marks = [];
  for (let s = 0; s < seconds; s += every) marks.push(el("span", { style: { left: (100 * s) / seconds + "%" } }, Number(s.toFixed(1)) + " s"));
  return el("div", { class: "ruler num", "aria-hidden": "true" }, marks);
}

function dashed(pen, height, width, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.setLineDash([4, 4]);
  pen.beginPath();
  pen.moveTo(0, height);
  pen.lineTo(width, height);
  pen.stroke();
  pen.setLineDash([]);
}

function drawLine(pen, values, T, x, y, colour) {
  const stairs = values.length === T;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.8;
  pen.lineJoin = "round";
  pen.beginPath();
  let down = false;
  values.forEach((value, k) => {
    if (value === null) {
      down = false;
      return;
    }
    if (down) pen.lineTo(x(k), y(value));
    else pen.moveTo(x(k), y(value));
    if (stairs) pen.lineTo(x(k + 1), y(value));
    down = true;
  });
  pen.stroke();
}

function drawEnds(pen, low, high, height, colour) {
  pen.font = "11px system-ui, sans-serif";
  pen.lineWidth = 4;
  pen.lineJoin = "round";
  pen.strokeStyle = colour("--panel");
  pen.fillStyle = colour("--soft");
  for (const [value, at, line] of [[high, 1, "top"], [low, height - 1, "bottom"]]) {
    pen.textBaseline = line;
    const text = Math.abs(value) < 0.002 * (high - low) ? "0" : digits(value);
    pen.strokeText(text, 2, at);
    pen.fillText(text, 2, at);
  }
}
