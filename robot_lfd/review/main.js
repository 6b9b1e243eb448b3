// What is shown is in the address: "#" the grid, "#e3" the episode with index 3, "#evaluation". So back and forward work.

let source;
let scrolled = 0;

function prepare() {
  refresh();
  if (keptTheme() !== "auto") setTheme(keptTheme());
  document.getElementById("foot").append(el("div", { class: "wide" }, source.made));
}

function refresh() {
  source.episodes.forEach((e, index) => {
    e.index = index;
    e.datasetName = source.datasets[e.dataset].name;
    e.words = [e.id, e.note, e.operator, e.device, e.split, ...e.tags, e.policy && e.policy.algo, e.stop_reason].filter(Boolean).join(" ").toLowerCase();
  });
  rank(source);
}

async function route(event, stay = false) {
  const found = /^#e(\d+)$/.exec(location.hash);
  const e = found && source.episodes[Number(found[1])];
  const evaluation = location.hash === "#evaluation" && source.evaluated;
  document.getElementById("head").hidden = Boolean(e) || evaluation;
  if (document.querySelector(".cards")) scrolled = scrollY;
  if (e || evaluation) for (const img of document.querySelectorAll(".cards img")) if (!img.complete) img.removeAttribute("src"); // they would keep the film waiting
  if (e) {
    if (!(await drawEpisode(source, e.index)) || stay) return;
    scrollTo(0, 0);
    document.getElementById("episode-title").focus({ preventScroll: true });
    say(`Episode ${e.number}, ${e.success ? "solved" : "not solved"}`);
  } else if (evaluation) {
    leaveEpisode();
    await drawEvaluation(source);
    scrollTo(0, 0);
    document.getElementById("evaluation-title").focus({ preventScroll: true });
  } else if (location.hash !== "#main") {
    leaveEpisode();
    drawHead(source);
    drawGrid(source);
    scrollTo(0, scrolled);
  }
}

async function start() {
  source = await openSource();
  if (source.editable) {
    window.lfdSource = source;
    document.addEventListener("changed", () => {
      refresh();
      route(null, true);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.target.matches("input[type=text], input[type=search], textarea")) undo(source);
    });
  }
  prepare();
  const main = document.getElementById("main");
  if (source.episodes.some((e) => e.pending)) main.ariaBusy = "true";
  addEventListener("hashchange", route);
  document.addEventListener("keydown", (event) => { // here and not on the page itself: it works while one is on its way, too
    if (event.key === "Escape" && /^#e\d+$/.test(location.hash) && !writes(event)) location.hash = "#";
  });
  await route();
  if (main.ariaBusy) await measure();
}

// What takes its time comes once the grid is there: how the arm moved, and what the policy thinks of it.
async function measure() {
  await source.fillAll(() => document.dispatchEvent(new Event("measured")));
  refresh();
  document.getElementById("main").ariaBusy = null;
  if (/^#(e\d+|evaluation)$/.test(location.hash)) return; // nobody looks at the grid, which is drawn anew by and by
  const label = document.activeElement && document.activeElement.getAttribute("aria-label");
  await route(null, true);
  if (label) document.querySelector(`[aria-label="${CSS.escape(label)}"]`)?.focus({ preventScroll: true });
}

start().catch((problem) => document.getElementById("main").append(el("p", { class: "wide empty" }, "The page cannot be shown: " + problem.message)));
