// What is shown is in the address: "#" the grid, "#e3" the episode with index 3. So back and forward work.

let source;
let scrolled = 0;

function prepare() {
  source.episodes.forEach((e, index) => {
    e.index = index;
    words(e);
  });
  if (keptTheme() !== "auto") setTheme(keptTheme());
  document.getElementById("foot").append(el("div", { class: "wide" }, source.made));
}

function words(e) {
  e.words = [e.id, e.note, e.operator, e.device, e.split, ...e.tags, e.policy && e.policy.algo].filter(Boolean).join(" ").toLowerCase();
}

async function route(event, stay = false) {
  const found = /^#e(\d+)$/.exec(location.hash);
  const e = found && source.episodes[Number(found[1])];
  document.getElementById("head").hidden = Boolean(e);
  if (e) {
    if (document.querySelector(".cards")) scrolled = scrollY;
    await drawEpisode(source, e.index);
    if (stay) return;
    scrollTo(0, 0);
    document.getElementById("episode-title").focus({ preventScroll: true });
    say(`Episode ${e.number}, ${e.success ? "solved" : "not solved"}`);
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
      source.episodes.forEach(words);
      route(null, true);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.target.matches("input, textarea")) undo(source);
    });
  }
  prepare();
  addEventListener("hashchange", route);
  await route();
}

start().catch((problem) => document.getElementById("main").append(el("p", { class: "wide empty" }, "The page cannot be shown: " + problem.message)));
