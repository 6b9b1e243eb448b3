// The grid: every episode as a card that plays when pointed at; filter, sort, search.

const SORTS = {
  recorded: ["order of recording", (e) => e.index],
  length: ["length", (e) => e.length],
  return: ["return", (e) => e.return],
  late: ["late steps", (e) => e.late],
  interventions: ["steps by hand", (e) => e.interventions],
  recovered: ["recovered reward", (e) => e.recovered],
};
const wish = { show: "all", sort: "recorded", down: false, text: "" };

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
    el("div", { class: "title" }, el("h1", {}, dataset.name), el("span", { class: "soft" }, about), index === 0 && el("span", { class: "push" }, themeButton())),
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

function drawGrid(source) {
  const list = el("ul", { class: "cards" });
  const count = el("span", { class: "count num", role: "status" });
  const redraw = () => {
    const found = chosen(source);
    list.replaceChildren(...found.map((e) => card(source, e)));
    if (!found.length) list.replaceChildren(el("li", { class: "empty", style: { gridColumn: "1 / -1" } }, "No episode fits; choose All or empty the search."));
    count.textContent = `${found.length} of ${source.episodes.length} episodes`;
  };
  const main = document.getElementById("main");
  main.replaceChildren(el("div", { class: "wide" }, el("h2", { class: "quiet" }, "Episodes"), tools(source, redraw, count), list));
  redraw();
}

function chosen(source) {
  const words = wish.text.toLowerCase().split(/\s+/).filter(Boolean);
  const key = SORTS[wish.sort][1];
  const found = source.episodes.filter((e) => isWished(e) && words.every((w) => e.words.includes(w)));
  found.sort((a, b) => key(a) - key(b) || a.index - b.index);
  return wish.down ? found.reverse() : found;
}

function isWished(e) {
  if (wish.show === "deleted" || e.deleted) return wish.show === "deleted" && Boolean(e.deleted);
  return wish.show === "all" || e.success === (wish.show === "solved");
}

function tools(source, redraw, count) {
  const living = source.episodes.filter((e) => !e.deleted), gone = source.episodes.length - living.length;
  const solved = living.filter((e) => e.success).length;
  const choices = [["all", "All " + living.length], ["solved", "Solved " + solved], ["failed", "Not solved " + (living.length - solved)]];
  if (gone) choices.push(["deleted", "Deleted " + gone]);
  else if (wish.show === "deleted") wish.show = "all";
  const segments = choices.map(([value, name]) => {
    const input = el("input", { type: "radio", name: "show", value, checked: wish.show === value, onchange: () => ((wish.show = value), redraw()) });
    return el("label", {}, input, el("span", { class: "num" }, name));
  });
  const sort = el("select", { "aria-label": "Sort by", onchange: (event) => ((wish.sort = event.target.value), redraw()) },
    Object.entries(SORTS).filter(([, [, key]]) => source.episodes.some((e) => Number.isFinite(key(e)))).map(([value, [name]]) => el("option", { value, selected: wish.sort === value }, "Sort: " + name)));
  const turn = el("button", { type: "button", "aria-pressed": String(wish.down), onclick: () => {
    wish.down = !wish.down;
    turn.setAttribute("aria-pressed", String(wish.down));
    turn.textContent = wish.down ? "↓ descending" : "↑ ascending";
    redraw();
  } }, wish.down ? "↓ descending" : "↑ ascending");
  const search = el("input", { type: "search", class: "grow", placeholder: "Note, operator, tag, id", "aria-label": "Search notes, operators, tags and ids", oninput: (event) => ((wish.text = event.target.value), redraw()) });
  search.value = wish.text;
  return el("div", { class: "tools" }, el("div", { class: "segments", role: "radiogroup", "aria-label": "Show" }, segments), sort, turn, search, count);
}

function card(source, e) {
  const still = source.still(e.index);
  const thumb = el("div", { class: "thumb" },
    still ? el("img", { src: still, alt: "", loading: "lazy", onerror: (event) => event.target.replaceWith(el("div", { class: "none" }, "no pictures")) }) : el("div", { class: "none" }, "no pictures"),
    verdict(e.success), el("span", { class: "secs num" }, clock(e.seconds)));
  const marks = [
    e.interventions > 0 && el("span", { class: "pill hand" }, e.interventions + " by hand"),
    e.late > 0 && el("span", { class: "pill plain" }, e.late + " late"),
    e.stop_reason && el("span", { class: "pill bad" }, "stopped"),
    Number.isFinite(e.recovered) && el("span", { class: "pill plain", title: "mean recovered reward a step" }, "r " + digits(e.recovered)),
    e.tags.map((t) => el("span", { class: "pill plain" }, t)),
  ];
  const who = [e.operator, e.device, e.seed !== null && "seed " + e.seed].filter(Boolean).join(" · ");
  const name = `Episode ${e.number}, ${e.success ? "solved" : "not solved"}, ${clock(e.seconds)}`;
  const link = el("a", { href: "#e" + e.index, "aria-label": name }, thumb,
    el("div", { class: "about" },
      el("div", { class: "first num" }, el("b", {}, "#" + e.number), el("span", {}, "return " + digits(e.return))),
      el("div", { class: "row num" }, who || " "),
      e.note && el("div", { class: "row", title: e.note }, e.note),
      el("div", { class: "marks" }, marks)));
  link.addEventListener("pointerenter", () => playIn(source, e, thumb));
  link.addEventListener("pointerleave", () => thumb.querySelector("video")?.remove());
  return el("li", { class: "card" }, link);
}

async function playIn(source, e, thumb) {
  const url = await source.clip(e.index);
  if (!url || thumb.querySelector("video") || !thumb.matches(":hover")) return;
  const video = el("video", { src: url, muted: true, loop: true, playsinline: true, "aria-hidden": "true", tabindex: "-1" });
  video.muted = true;
  thumb.querySelector("img")?.after(video);
  video.play().catch(() => video.remove());
}
