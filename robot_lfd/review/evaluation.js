// The evaluation page: how often each run succeeds, how it learned, where two runs differ, and what failure looks like.

const STARTS_SHOWN = 200;

async function drawEvaluation(source) {
  const main = document.getElementById("main");
  const found = await source.evaluation();
  const names = found.families.map((f) => f.name);
  main.replaceChildren(el("div", { class: "wide evaluation" },
    el("div", { class: "bar" }, el("a", { class: "button", href: "#" }, "← All episodes"), el("h1", { tabindex: "-1", id: "evaluation-title" }, "Evaluation")),
    successTable(found.families, names),
    el("div", { class: "panels" }, found.panels.filter((p) => p.curves.length).map((p) => curvePanel(p, names))),
    pairedStarts(found, names),
    gallery(source, found.failures)));
}

function percent(share) {
  return Math.round(100 * share) + " %";
}

function successTable(families, names) {
  const rows = families.flatMap((f) => f.checkpoints.length
    ? f.checkpoints.map((c, i) => successRow(f, c, names, i === 0 ? f.checkpoints.length : 0))
    : [el("tr", {}, nameCell(f, names, 1), el("td", { colspan: 6, class: "soft" }, "not evaluated yet; measure it on the command line"))]);
  return el("section", { class: "chart" }, el("header", {}, el("h2", {}, "Success by checkpoint and seed"), el("span", { class: "soft" }, "with 95 % Wilson intervals; the last checkpoint is the claim, an earlier one is chosen after the fact")),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of success" }, el("table", { class: "num" },
      el("thead", {}, el("tr", {}, ["Run", "Seed", "Checkpoint", "Success", "95 %", "Solved", "Mean length"].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, rows))));
}

function nameCell(family, names, span) {
  const about = [family.algo, family.sight, family.demos && family.demos + " demos", family.train_s && clock(family.train_s) + " of training"].filter(Boolean).join(", ");
  return el("th", { scope: "rowgroup", rowspan: span }, legendOf([family.name], names), el("div", { class: "soft" }, about));
}

function successRow(family, c, names, span) {
  const [low, high] = c.interval;
  const bar = el("div", { class: "interval", "aria-hidden": "true" },
    el("i", { style: { left: 100 * low + "%", width: 100 * (high - low) + "%", background: `var(${COLOURS[names.indexOf(family.name) % COLOURS.length]})` } }),
    el("b", { style: { left: (100 * c.solved) / c.episodes + "%" } }));
  return el("tr", { class: c.last ? "last" : null },
    span > 0 && nameCell(family, names, span),
    el("td", {}, c.seed ?? "–"), el("td", {}, c.step, c.last && el("span", { class: "soft" }, " last")),
    el("td", {}, el("b", {}, percent(c.solved / c.episodes)), bar), el("td", {}, `${percent(low)} to ${percent(high)}`),
    el("td", {}, `${c.solved} of ${c.episodes}`), el("td", {}, Math.round(c.length_mean)));
}

function pairedStarts(found, names) {
  const shown = found.families.filter((f) => Object.keys(f.starts).length);
  if (!shown.length) return null;
  const seeds = [...new Set(shown.flatMap((f) => Object.keys(f.starts)))].map(Number).sort((a, b) => a - b).slice(0, STARTS_SHOWN);
  const rows = shown.map((f) => el("div", { class: "startsRow" }, el("div", { class: "startsName" }, legendOf([f.name], names)),
    el("div", { class: "starts", role: "img", "aria-label": `${f.name}: solved ${seeds.filter((s) => f.starts[s] > 0.5).length} of ${seeds.length} starts` },
      seeds.map((s) => el("i", { class: s in f.starts ? (f.starts[s] > 0.5 ? "yes" : "no") : "none", title: `start ${s}: ` + (s in f.starts ? percent(f.starts[s]) + " solved" : "not tried") })))));
  const pairs = found.pairs.map((p) => el("li", {}, `${p.a} is better on ${p.a_better} of ${p.starts} common starts, ${p.b} on ${p.b_better}; `,
    el("span", { class: "soft" }, p.a_better + p.b_better === 0 ? "no difference at all" : `such a split would come by chance in ${percent(p.p) === "0 %" ? "less than 1 %" : percent(p.p)} of cases (sign test)`)));
  return el("section", { class: "chart" }, el("header", {}, el("h2", {}, "The same starts, side by side"), el("span", { class: "soft" }, `last checkpoints, starts ${seeds[0]} to ${seeds[seeds.length - 1]}: full solved, hollow not`)), rows, el("ul", { class: "pairs" }, pairs));
}

function gallery(source, failures) {
  if (!failures.length) return el("section", { class: "chart" }, el("header", {}, el("h2", {}, "Failures")), el("p", { class: "soft" }, "None: every evaluated episode of the last checkpoints was solved, or none was evaluated."));
  const cards = failures.map((f) => {
    const still = source.end(f);
    const thumb = el("div", { class: "thumb" }, still && el("div", { class: "none" }, "drawing …"), still ? el("img", { src: still, alt: "", loading: "lazy", onerror: (event) => event.target.replaceWith(el("div", { class: "none" }, "no pictures")) }) : el("div", { class: "none" }, "films are not part of this file"));
    const button = el("button", { type: "button", class: "cardButton", "aria-label": `Play the failure of ${f.name}, seed ${f.of_seed ?? "unknown"}, from start ${f.seed}`, onclick: () => playFailure(source, f, thumb) }, thumb,
      el("div", { class: "about" }, el("div", { class: "first" }, el("b", {}, f.name)), el("div", { class: "row num" }, `seed ${f.of_seed ?? "–"} · start ${f.seed} · ${f.length} steps`)));
    button.disabled = !still;
    return el("li", { class: "card" }, button);
  });
  return el("section", {}, el("h2", { class: "sectionTitle" }, "Failures of the last checkpoints"), el("ul", { class: "cards" }, cards));
}

async function playFailure(source, f, thumb) {
  const old = thumb.querySelector("video");
  if (old) return old.paused ? old.play() : old.pause();
  thumb.append(el("span", { class: "secs" }, "drawing …"));
  const { url, about } = await source.film(f);
  thumb.querySelector(".secs").remove();
  if (!url) return thumb.append(el("div", { class: "none" }, about));
  const video = el("video", { src: url, muted: true, loop: true, playsinline: true, "aria-hidden": "true", tabindex: "-1" });
  video.muted = true;
  thumb.append(video);
  video.play().catch(() => video.remove());
}
