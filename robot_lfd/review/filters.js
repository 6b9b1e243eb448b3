// Which episodes are shown, and in which order. One wish for the whole page, kept while the reader looks at an episode.

const SORTS = {
  recorded: ["order of recording", (e) => e.index],
  date: ["date", (e) => Date.parse(e.recorded_at)],
  success: ["success", (e) => (e.success ? 1 : 0)],
  length: ["length", (e) => e.length],
  return: ["return", (e) => e.return],
  smoothness: ["smoothness", (e) => e.smoothness],
  recovered: ["the policy’s judgement: recovered reward", (e) => e.recovered],
  agreement: ["the policy’s judgement: agreement", (e) => e.agreement],
  operator: ["operator", (e) => e.operator || e.device],
  policy: ["policy", (e) => policyName(e)],
  tag: ["tags", (e) => e.tags.join(" ")],
  interventions: ["steps by hand", (e) => e.interventions],
  late: ["late steps", (e) => e.late],
};
const RANGES = { length: "Steps", return: "Return", smoothness: "Smoothness", recovered: "Recovered reward", agreement: "Agreement" };
const CHOICES = {
  operator: ["Operator", (e) => [e.operator || e.device || ""]],
  policy: ["Policy", (e) => [policyName(e)]],
  tag: ["Tag", (e) => e.tags],
  split: ["Split", (e) => [e.split]],
  dataset: ["Dataset", (e) => [e.datasetName]],
};
const wish = { show: "all", sort: "recorded", down: false, text: "", choices: {}, ranges: {}, days: {} };

function policyName(e) {
  return e.policy ? [e.policy.run ? e.policy.run.split("/").pop() : e.policy.algo, e.policy.step].filter(Boolean).join(" @ ") : "";
}

function chosen(source) {
  const words = wish.text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = source.episodes.filter((e) => isWished(e) && isInFilters(e) && words.every((w) => e.words.includes(w)));
  found.sort((a, b) => compare(SORTS[wish.sort][1](a), SORTS[wish.sort][1](b)) || a.index - b.index);
  return found;
}

function compare(a, b) {
  const missing = (x) => x === null || x === undefined || x === "" || Number.isNaN(x);
  if (missing(a) || missing(b)) return missing(a) - missing(b); // what has no number stands last, whichever way
  const order = typeof a === "string" ? a.localeCompare(b) : a - b;
  return wish.down ? -order : order;
}

function isWished(e) {
  if (wish.show === "deleted" || e.deleted) return wish.show === "deleted" && Boolean(e.deleted);
  return wish.show === "all" || e.success === (wish.show === "solved");
}

function isInFilters(e) {
  for (const [name, value] of Object.entries(wish.choices)) if (!CHOICES[name][1](e).includes(value)) return false;
  for (const [name, [low, high]] of Object.entries(wish.ranges)) {
    if (low !== null && !(e[name] >= low)) return false;
    if (high !== null && !(e[name] <= high)) return false;
  }
  const day = localDay(e.recorded_at);
  if (wish.days.from && !(day >= wish.days.from)) return false;
  return !(wish.days.to && !(day && day <= wish.days.to));
}

function localDay(text) {
  const date = new Date(text);
  if (!text || Number.isNaN(date.getTime())) return "";
  return [date.getFullYear(), String(date.getMonth() + 1).padStart(2, "0"), String(date.getDate()).padStart(2, "0")].join("-");
}

function filtersInUse() {
  const ranges = Object.values(wish.ranges).filter(([low, high]) => low !== null || high !== null).length;
  return Object.keys(wish.choices).length + ranges + (wish.days.from || wish.days.to ? 1 : 0);
}

// The panel that opens below the tools.

let filtersOpen = false;

function filterPanel(source, redraw) {
  const name = el("span", {}, "");
  const label = () => (name.textContent = filtersInUse() ? `Filters: ${filtersInUse()}` : "Filters");
  const changed = () => (label(), redraw());
  const panel = el("div", { class: "filters", id: "filters", hidden: !filtersOpen });
  const fill = () => panel.replaceChildren(
    ...Object.keys(CHOICES).map((key) => choiceField(source, key, changed)).filter(Boolean),
    ...Object.keys(RANGES).map((key) => rangeField(source, key, changed)).filter(Boolean),
    dayField(changed),
    el("button", { type: "button", onclick: () => (Object.assign(wish, { choices: {}, ranges: {}, days: {} }), fill(), changed()) }, "Clear filters"));
  const button = el("button", { type: "button", "aria-expanded": String(filtersOpen), "aria-controls": "filters", onclick: () => {
    filtersOpen = !filtersOpen;
    panel.hidden = !filtersOpen;
    button.setAttribute("aria-expanded", String(filtersOpen));
  } }, name);
  label();
  fill();
  return { button, panel };
}

function choiceField(source, key, changed) {
  const [title, of] = CHOICES[key];
  const values = [...new Set(source.episodes.flatMap(of))].filter(Boolean).sort();
  if (!values.length || (key === "dataset" && values.length < 2)) return null;
  const select = el("select", { "aria-label": title, onchange: (event) => {
    if (event.target.value === "any") delete wish.choices[key];
    else wish.choices[key] = values[Number(event.target.value)];
    changed();
  } }, el("option", { value: "any" }, "any"), values.map((v, i) => el("option", { value: i, selected: wish.choices[key] === v }, v)));
  return el("label", {}, el("span", {}, title), select);
}

function rangeField(source, key, changed) {
  if (!source.episodes.some((e) => Number.isFinite(e[key]))) return null;
  const bounds = wish.ranges[key] || [null, null];
  const box = (side, words) => {
    const input = el("input", { type: "number", step: "any", placeholder: words, "aria-label": `${RANGES[key]} ${words}`, oninput: (event) => {
      const found = wish.ranges[key] || [null, null];
      found[side] = event.target.value === "" ? null : Number(event.target.value);
      wish.ranges[key] = found;
      changed();
    } });
    input.value = bounds[side] === null ? "" : bounds[side];
    return input;
  };
  return el("fieldset", {}, el("legend", {}, RANGES[key]), box(0, "from"), box(1, "to"));
}

function dayField(changed) {
  const box = (side) => {
    const input = el("input", { type: "date", "aria-label": `Recorded ${side}`, onchange: (event) => ((wish.days[side] = event.target.value), changed()) });
    input.value = wish.days[side] || "";
    return input;
  };
  return el("fieldset", {}, el("legend", {}, "Recorded"), box("from"), box("to"));
}

// The policy's ranking of the demos of a dataset: the best is first; odd ones lie far below the rest.

function rank(source) {
  for (const e of source.episodes) e.rank = e.odd = null;
  const judged = (e) => (Number.isFinite(e.recovered) ? e.recovered : e.agreement);
  source.datasets.forEach((_, number) => {
    const mine = source.episodes.filter((e) => e.dataset === number && !e.deleted && Number.isFinite(judged(e)));
    mine.sort((a, b) => judged(b) - judged(a));
    const quarter = (share) => judged(mine[Math.round((mine.length - 1) * (1 - share))]);
    const fence = mine.length >= 4 ? quarter(0.25) - 1.5 * (quarter(0.75) - quarter(0.25)) : -Infinity; // Tukey's
    mine.forEach((e, i) => Object.assign(e, { rank: i + 1, ranked: mine.length, judged: judged(e), odd: judged(e) < fence }));
  });
}
