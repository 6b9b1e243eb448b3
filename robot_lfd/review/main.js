// What is shown is in the address: "#" the grid, "#e3" the episode with index 3. So back and forward work.

const source = embeddedSource();
let scrolled = 0;

function prepare() {
  source.episodes.forEach((e, index) => {
    e.index = index;
    e.words = [e.id, e.note, e.operator, e.device, e.split, ...e.tags, e.policy && e.policy.algo].filter(Boolean).join(" ").toLowerCase();
  });
  if (keptTheme() !== "auto") setTheme(keptTheme());
  document.getElementById("foot").append(el("div", { class: "wide" }, source.made));
}

async function route() {
  const found = /^#e(\d+)$/.exec(location.hash);
  const index = found ? Number(found[1]) : -1;
  document.getElementById("head").hidden = Boolean(source.episodes[index]);
  if (source.episodes[index]) {
    if (document.querySelector(".cards")) scrolled = scrollY;
    await drawEpisode(source, index);
    scrollTo(0, 0);
    document.getElementById("episode-title").focus({ preventScroll: true });
    say(`Episode ${source.episodes[index].number}, ${source.episodes[index].success ? "solved" : "not solved"}`);
  } else if (location.hash !== "#main") {
    leaveEpisode();
    drawGrid(source);
    scrollTo(0, scrolled);
  }
}

prepare();
drawHead(source);
addEventListener("hashchange", route);
route();
