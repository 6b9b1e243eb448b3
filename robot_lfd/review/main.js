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
    await drawEpisode(source, e.index);
    if (stay) return;
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
  addEventListener("hashchange", route);
  await route();
}

start().catch((problem) => document.getElementById("main").append(el("p", { class: "wide empty" }, "The page cannot be shown: " + problem.message)));
