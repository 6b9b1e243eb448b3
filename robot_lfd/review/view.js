// The screen of an episode: its film through any camera at any size, and beside it what the policy makes of its start.

const SIZES = [128, 192, 256, 384, 512, 768];
const seen = { camera: "", size: "", beside: false }; // kept from one episode to the next

function makeScreen(source, e, player) {
  const dataset = source.datasets[e.dataset];
  const other = pane("The policy, from the same start");
  const screens = el("div", { class: "screens" });
  const films = { own: [], other: null };
  let own = [], waiting = new AbortController(), waitingOther = new AbortController();
  const attach = () => player.attach([
    ...films.own.filter(Boolean).map((video) => ({ video, first: e.trim ? e.trim[0] : 0, length: e.length })),
    ...(films.other ? [{ video: films.other.video, first: 0, length: films.other.steps }] : []),
  ]);
  const arrange = () => {
    const many = own.length + (seen.beside ? 1 : 0) > 1;
    screens.classList.toggle("two", many);
    for (const one of own) one.name.hidden = !many;
  };

  // The camera that was chosen, else every one that was recorded, all on one clock.
  async function showOwn() {
    waiting.abort();
    const { signal } = (waiting = new AbortController());
    const cameras = seen.camera ? [seen.camera] : dataset.cameras.length ? dataset.cameras : [""];
    for (const one of own) one.root.remove();
    own = cameras.map((name) => pane(name || "Recorded"));
    films.own = [];
    screens.prepend(...own.map((one) => one.root));
    arrange();
    await Promise.all(own.map(async (one, k) => {
      one.say("drawing …");
      const usual = k === 0 && !seen.camera && !seen.size; // the one that the grid plays, too
      const url = await source.clip(e.index, usual ? null : { camera: cameras[k], size: seen.size }, signal).catch(unlessStopped);
      if (signal.aborted || !one.root.isConnected) return; // the reader has gone on
      if (url) films.own[k] = one.show(url, `Video of episode ${e.number}` + (cameras[k] && `, camera ${cameras[k]}`), player);
      else one.say(e.pictures || "no pictures");
      attach();
    }));
  }

  async function showOther() {
    waitingOther.abort();
    const { signal } = (waitingOther = new AbortController());
    arrange();
    if (!seen.beside) {
      other.root.remove();
      films.other = null;
      return attach();
    }
    screens.append(other.root);
    other.say("the policy drives …");
    const { url, about } = await source.beside(e.index, signal).catch((problem) => unlessStopped(problem) || {});
    if (signal.aborted || !other.root.isConnected) return;
    if (!url) return other.say(about || "no pictures");
    films.other = { video: other.show(url, "Video of the policy from the same start", player), steps: about.steps };
    other.verdict.replaceChildren(verdict(about.success), ` ${about.steps} steps`);
    attach();
  }

  const judged = dataset.judged;
  return {
    root: el("div", {}, screens, source.editable && viewTools(source, e, showOwn, showOther)),
    start: () => Promise.all([showOwn(), seen.beside && judged ? showOther() : null]),
    stop: () => (waiting.abort(), waitingOther.abort()),
  };
}

function unlessStopped(problem) {
  if (problem.name !== "AbortError") throw problem;
  return null;
}

function pane(title) {
  const screen = el("div", { class: "screen" }), end = el("span", {});
  const name = el("div", { class: "paneName" }, title, " ", end);
  return {
    root: el("div", { class: "pane" }, screen, name), name, verdict: end,
    say: (text) => screen.replaceChildren(el("div", { class: "none" }, text)),
    show(url, label, player) {
      const video = el("video", { src: url, muted: true, playsinline: true, preload: "auto", "aria-label": label, onclick: () => player.toggle() });
      video.muted = true;
      screen.replaceChildren(video);
      return video;
    },
  };
}

function viewTools(source, e, showOwn, showOther) {
  const dataset = source.datasets[e.dataset];
  const camera = el("select", { "aria-label": "Camera", onchange: (event) => ((seen.camera = event.target.value), showOwn()) }, el("option", { value: "" }, dataset.cameras.length > 1 ? "All cameras" : "Camera"));
  source.cameras(e.dataset).then((names) => {
    if (!names.includes(seen.camera)) seen.camera = "";
    camera.append(...names.map((name) => el("option", { value: name, selected: seen.camera === name }, name)));
  }).catch(() => camera.remove());
  const size = el("select", { "aria-label": "Size of the pictures", onchange: (event) => ((seen.size = event.target.value), showOwn()) },
    el("option", { value: "" }, "Size"), SIZES.map((px) => el("option", { value: px, selected: String(px) === seen.size }, px + " px")));
  const beside = dataset.judged && el("button", { type: "button", "aria-pressed": String(seen.beside), onclick: () => {
    seen.beside = !seen.beside;
    beside.setAttribute("aria-pressed", String(seen.beside));
    showOther();
  } }, "Policy beside");
  return el("div", { class: "viewTools" }, camera, size, beside);
}
