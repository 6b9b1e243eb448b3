// The screen of an episode: its film through any camera at any size, and beside it what the policy makes of its start.

const SIZES = [128, 192, 256, 384, 512, 768];
const seen = { camera: "", size: "", beside: false }; // kept from one episode to the next

function makeScreen(source, e, player) {
  const own = pane("Recorded"), other = pane("The policy, from the same start");
  const screens = el("div", { class: "screens" }, own.root);
  const films = { own: null, other: null };
  const attach = () => player.attach([
    films.own && { video: films.own, first: e.trim ? e.trim[0] : 0, length: e.length },
    films.other && { video: films.other.video, first: 0, length: films.other.steps },
  ].filter(Boolean));

  async function showOwn() {
    own.say("drawing …");
    const view = seen.camera || seen.size ? { camera: seen.camera, size: seen.size } : null;
    const url = await source.clip(e.index, view);
    if (!own.root.isConnected) return; // the reader has gone on
    films.own = url ? own.show(url, `Video of episode ${e.number}`, player) : null;
    if (!url) own.say(e.pictures || "no pictures");
    attach();
  }

  async function showOther() {
    screens.classList.toggle("two", seen.beside);
    own.name.hidden = !seen.beside;
    if (!seen.beside) {
      other.root.remove();
      films.other = null;
      return attach();
    }
    screens.append(other.root);
    other.say("the policy drives …");
    const { url, about } = await source.beside(e.index);
    if (!other.root.isConnected) return;
    if (!url) return other.say(about || "no pictures");
    films.other = { video: other.show(url, "Video of the policy from the same start", player), steps: about.steps };
    other.verdict.replaceChildren(verdict(about.success), ` ${about.steps} steps`);
    attach();
  }

  const judged = source.datasets[e.dataset].judged;
  own.name.hidden = true;
  return { root: el("div", {}, screens, source.editable && viewTools(source, e, showOwn, showOther)), start: () => Promise.all([showOwn(), seen.beside && judged ? showOther() : null]) };
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
  const camera = el("select", { "aria-label": "Camera", onchange: (event) => ((seen.camera = event.target.value), showOwn()) }, el("option", { value: "" }, "Camera"));
  source.cameras(e.dataset).then((names) => {
    if (!names.includes(seen.camera)) seen.camera = "";
    camera.append(...names.map((name) => el("option", { value: name, selected: seen.camera === name }, name)));
  }).catch(() => camera.remove());
  const size = el("select", { "aria-label": "Size of the pictures", onchange: (event) => ((seen.size = event.target.value), showOwn()) },
    el("option", { value: "" }, "Size"), SIZES.map((px) => el("option", { value: px, selected: String(px) === seen.size }, px + " px")));
  const beside = source.datasets[e.dataset].judged && el("button", { type: "button", "aria-pressed": String(seen.beside), onclick: () => {
    seen.beside = !seen.beside;
    beside.setAttribute("aria-pressed", String(seen.beside));
    showOther();
  } }, "Policy beside");
  return el("div", { class: "viewTools" }, camera, size, beside);
}
