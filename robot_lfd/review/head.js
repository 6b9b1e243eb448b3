// What stands above the grid: each dataset's name, success with its interval, lengths; and the way to the evaluations.

function evaluationLink(source) {
  return source.evaluated && el("a", { class: "button", href: "#evaluation" }, "Evaluation");
}

function drawHead(source) {
  const head = document.getElementById("head");
  head.replaceChildren(el("div", { class: "wide" }, source.datasets.map((d, i) => datasetHead(source, d, i))));
}

function datasetHead(source, dataset, index) {
  const mine = source.episodes.filter((e) => e.dataset === index && !e.deleted);
  const kwargs = Object.entries(dataset.env_kwargs).map(([k, v]) => k + "=" + JSON.stringify(v)).join(" ");
  const about = [dataset.env, kwargs, dataset.control_hz + " Hz"].filter(Boolean).join(" · ");
  return el(
    "section",
    { "aria-label": "Dataset " + dataset.name },
    el("div", { class: "title" }, el("h1", {}, dataset.name), el("span", { class: "soft" }, about), index === 0 && el("span", { class: "push" }, evaluationLink(source), themeButton())),
    el("div", { class: "summary" }, el("dl", { class: "stats num" }, stats(dataset, mine)), mine.length > 1 && lengthsFigure(mine)),
  );
}

function stats(dataset, mine) {
  const solved = mine.filter((e) => e.success).length;
  const rate = mine.length ? Math.round((100 * solved) / mine.length) + " %" : "–";
  const range = mine.length ? wilson(solved, mine.length).map((x) => Math.round(100 * x)).join("–") + " %" : "";
  const seconds = mine.map((e) => e.seconds);
  const people = [...new Set(mine.map((e) => e.operator || e.device).filter(Boolean))];
  const more = dataset.hidden ? "of " + (mine.length + dataset.hidden) : "";
  return [
    ["Solved", rate, `${solved} of ${mine.length}, 95 %: ${range}`],
    ["Episodes", mine.length, more],
    ["Median length", clock(median(seconds)), median(mine.map((e) => e.length)) + " steps"],
    ["In all", clock(seconds.reduce((a, b) => a + b, 0)), mine.reduce((a, e) => a + e.length, 0) + " steps"],
    people.length && ["Driven by", people.slice(0, 3).join(", "), people.length > 3 ? "and " + (people.length - 3) + " more" : ""],
  ]
    .filter(Boolean)
    .map(([name, value, more]) => el("div", {}, el("dt", {}, name), el("dd", {}, value, more && el("small", {}, more))));
}

function wilson(successes, n) {
  const z = 1.959963984540054, p = successes / n, centre = p + (z * z) / (2 * n);
  const half = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n)), scale = 1 + (z * z) / n;
  return [Math.max(0, (centre - half) / scale), Math.min(1, (centre + half) / scale)];
}

function lengthsFigure(mine) {
  const longest = Math.max(...mine.map((e) => e.seconds)), bins = Math.min(24, Math.max(8, mine.length));
  const counts = Array.from({ length: bins }, () => [0, 0]);
  for (const e of mine) counts[Math.min(bins - 1, Math.floor((e.seconds / longest) * bins))][e.success ? 0 : 1]++;
  const most = Math.max(...counts.map(([a, b]) => a + b)), w = 340 / bins;
  const bars = counts.flatMap(([solved, failed], i) => {
    const a = (50 * solved) / most, b = (50 * failed) / most;
    const bar = (y, height, colour) => svg("rect", { x: i * w + 1, y, width: w - 2, height, style: `fill: var(${colour})`, rx: 1 });
    return [solved && bar(52 - a, a, "--l2"), failed && bar(52 - a - b, b, "--l1")].filter(Boolean);
  });
  const label = `Lengths from 0 to ${clock(longest)}: solved ones below, others on top`;
  const base = svg("rect", { x: 0, y: 52, width: 340, height: 1, style: "fill: var(--strong)" });
  const picture = svg("svg", { viewBox: "0 0 340 54", preserveAspectRatio: "none", role: "img", "aria-label": label }, bars, base);
  return el("div", { class: "lengths" }, el("div", { class: "soft" }, "Lengths"), picture, el("div", { class: "ends" }, el("span", {}, "0 s"), el("span", {}, clock(longest))));
}
