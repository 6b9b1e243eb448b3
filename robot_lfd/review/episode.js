// One episode: video in step with curves, scrubbed by mouse and keyboard.

const SPEEDS = [0.25, 0.5, 1, 2, 4];
const charted = new Map(); // chart name -> shown or not, kept from one episode to the next
let leave = () => 0;
let drawn = -1; // the episode on the screen: after a change it is drawn again where it was
let turns = 0; // pages asked for: whoever turns on before a page has come does not want it any more

// Returns whether the episode was drawn.
async function drawEpisode(source, index) {
  const before = { index: drawn, frame: leave() }, turn = ++turns;
  drawn = index;
  const e = source.episodes[index], T = e.length, hz = source.datasets[e.dataset].control_hz;
  const [charts] = await Promise.all([source.charts(index), source.fill(index)]);
  if (turn !== turns) return false;
  const views = [];
  const player = makePlayer(T, hz, e.trim ? e.trim[0] : 0, () => show());
  const controls = transport(player, T, hz, e, eventsOf(e, charts));
  const screen = makeScreen(source, e, player);
  const plots = el("div", { class: "plots" });
  const page = el("div", { class: "wide" }, titleBar(source, e),
    el("div", { class: "episode" },
      el("div", { class: "left" }, screen.root, controls.root, keysLine(), source.editable && editor(source, e, player), facts(source, e)),
      el("div", { class: "right" }, chooser(charts, fill), plots)));
  document.getElementById("main").replaceChildren(page);

  function show() {
    for (const view of views) view.show(player.frame);
    controls.show();
  }
  function redraw() {
    const bands = runs(e.by_hand);
    for (const view of views) view.draw(bands);
    show();
  }
  function fill() {
    views.length = 0;
    for (const chart of charts) {
      if (isShown(chart)) views.push(chartView(chart, T, hz, (frame) => player.go(frame)));
    }
    plots.replaceChildren(ruler(T, hz), ...views.map((view) => view.root));
    redraw();
  }
  fill();
  const onKey = (event) => pressKey(event, player, source, index);
  addEventListener("resize", redraw);
  document.addEventListener("themechange", redraw);
  document.addEventListener("keydown", onKey);
  leave = () => {
    player.pause();
    screen.stop();
    removeEventListener("resize", redraw);
    document.removeEventListener("themechange", redraw);
    document.removeEventListener("keydown", onKey);
    leave = () => 0;
    return player.frame;
  };
  if (before.index === index && before.frame <= T) player.go(before.frame);
  screen.start().catch((problem) => say(problem.message));
  return true;
}

function leaveEpisode() {
  leave();
  turns++;
  drawn = -1;
}

// The episode before or after this one, in the order that the grid shows.
function neighbour(source, e, by) {
  const list = chosen(source), place = list.indexOf(e);
  return place < 0 ? source.episodes[e.index + by] : list[place + by];
}

function titleBar(source, e) {
  const step = (by, name) => {
    const to = neighbour(source, e, by);
    return to ? el("a", { class: "button", href: "#e" + to.index }, name) : el("button", { disabled: true }, name);
  };
  return el("div", { class: "bar" },
    el("a", { class: "button", href: "#" }, "← All episodes"),
    el("h1", { tabindex: "-1", id: "episode-title" }, `Episode ${e.number}`),
    verdict(e.success),
    e.deleted && el("span", { class: "pill bad" }, "deleted"),
    e.verdict && el("span", { class: "pill plain" }, "label set by hand"),
    e.odd && el("span", { class: "pill bad" }, `odd: judged ${e.rank} of ${e.ranked}`),
    e.interventions > 0 && el("span", { class: "pill hand" }, e.interventions + " steps by hand"),
    e.stop_reason && el("span", { class: "pill bad" }, "stopped: " + e.stop_reason),
    el("div", { class: "push" }, step(-1, "‹ Previous"), step(1, "Next ›")));
}

// What happened when: the gripper's turns as they were commanded, where the arm was stopped, where the task was solved.
function eventsOf(e, charts) {
  const grip = charts.find((c) => c.name === "action")?.lines.find((line) => line.name === "gripper");
  const found = [];
  let before = 0;
  (grip ? grip.values : []).forEach((value, k) => {
    const side = Math.sign(value);
    if (before && side && side !== before) found.push([k, side > 0 ? "gripper closes" : "gripper opens", side > 0 ? "▾" : "▴"]);
    before = side || before;
  });
  if (e.stopped_at !== null && e.stopped_at !== undefined) found.push([e.stopped_at - (e.trim ? e.trim[0] : 0), "stopped: " + e.stop_reason, "■"]);
  if (e.terminated && e.success && !e.trim) found.push([e.length, "solved", "✓"]);
  return found.filter(([k]) => k >= 0 && k <= e.length);
}

function transport(player, T, hz, e, events) {
  const play = el("button", { type: "button", class: "play", onclick: () => player.toggle() });
  const speed = el("select", { "aria-label": "Speed", onchange: (event) => player.setSpeed(Number(event.target.value)) },
    SPEEDS.map((s) => el("option", { value: s, selected: s === 1 }, s + "×")));
  const time = el("div", { class: "time num" });
  const done = el("div", { class: "done" }), knob = el("div", { class: "knob" });
  const hands = runs(e.by_hand).map(([from, to]) => [el("div", { class: "hand" }), from, to - from]);
  const lates = e.late_steps.map((k) => [el("div", { class: "late" }), k, 0]);
  const marks = events.map(([k, words, sign]) => [el("div", { class: "event", title: `step ${k}: ${words}` }, sign), k, 0]);
  let stretched = 0;
  const stretch = () => { // a policy beside may take longer than the recording
    stretched = player.length;
    track.setAttribute("aria-valuemax", stretched);
    for (const [mark, from, width] of [...hands, ...lates, ...marks]) {
      mark.style.left = (100 * from) / stretched + "%";
      if (width) mark.style.width = (100 * width) / stretched + "%";
    }
  };
  const track = el("div", { class: "track", role: "slider", tabindex: "0", "aria-label": "Time", "aria-valuemin": 0, "aria-valuemax": T },
    el("div", { class: "rail" }, hands.map(([mark]) => mark), done), lates.map(([mark]) => mark), marks.map(([mark]) => mark), knob);
  const pick = (event) => {
    const box = track.getBoundingClientRect();
    player.go(Math.round(((event.clientX - box.left) / box.width) * player.length));
  };
  track.addEventListener("pointerdown", (event) => { track.setPointerCapture(event.pointerId); pick(event); });
  track.addEventListener("pointermove", (event) => { if (track.hasPointerCapture(event.pointerId)) pick(event); });
  const jump = (by, name, title) => el("button", { type: "button", title, "aria-label": title, onclick: () => (player.pause(), player.go(player.frame + by)) }, name);
  const legend = events.length > 0 && el("div", { class: "eventNames num" }, events.map(([k, words, sign]) =>
    el("button", { type: "button", title: "go there", onclick: () => (player.pause(), player.go(k)) }, `${sign} ${words} at ${(k / hz).toFixed(1)} s`)));
  const root = el("div", {}, track, legend, el("div", { class: "transport" }, jump(-1, "‹", "One step back"), play, jump(1, "›", "One step on"), speed, time));
  return {
    root,
    show() {
      const share = (100 * player.frame) / player.length + "%", seconds = (player.frame / hz).toFixed(2);
      if (stretched !== player.length) stretch();
      play.textContent = player.playing ? "❚❚ Pause" : "▶ Play";
      done.style.width = knob.style.left = share;
      time.replaceChildren(el("b", {}, `${seconds} / ${(player.length / hz).toFixed(2)} s`), `step ${player.frame} of ${player.length}`);
      track.setAttribute("aria-valuenow", player.frame);
      track.setAttribute("aria-valuetext", `${seconds} seconds, step ${player.frame} of ${player.length}`);
    },
  };
}

function runs(flags) {
  const found = [];
  flags.forEach((flag, k) => {
    if (flag && k && flags[k - 1]) found[found.length - 1][1] = k + 1;
    else if (flag) found.push([k, k + 1]);
  });
  return found;
}

function keysLine() {
  const key = (name) => el("kbd", {}, name);
  return el("p", { class: "keys" }, key("Space"), " play  ", key("←"), key("→"), " step, with ", key("Shift"), " ten  ", key("Home"), key("End"), " ends  ", key("PgUp"), key("PgDn"), " episode  ", key("Esc"), " all");
}

function writes(event) {
  return event.target.matches("input[type=search], input[type=text], input[type=number], textarea, select");
}

function pressKey(event, player, source, index) {
  if (event.ctrlKey || event.metaKey || event.altKey || writes(event)) return;
  const by = event.shiftKey ? 10 : 1;
  const scrub = (frame) => (player.pause(), player.go(frame));
  const goTo = (by) => {
    const to = neighbour(source, source.episodes[index], by);
    if (to) location.hash = "#e" + to.index;
  };
  const does = {
    " ": () => event.target.matches("button, a") || player.toggle(),
    ArrowLeft: () => scrub(player.frame - by),
    ArrowRight: () => scrub(player.frame + by),
    Home: () => scrub(0),
    End: () => scrub(Infinity),
    PageUp: () => goTo(-1),
    PageDown: () => goTo(1),
  }[event.key];
  if (!does) return;
  if (does() !== true) event.preventDefault();
}

function isShown(chart) {
  return charted.has(chart.name) ? charted.get(chart.name) : chart.shown;
}

function chooser(charts, redraw) {
  const chips = charts.map((chart) => {
    const input = el("input", { type: "checkbox", checked: isShown(chart), onchange: (event) => (charted.set(chart.name, event.target.checked), redraw()) });
    return el("label", {}, input, el("span", { class: "chip" }, chart.name));
  });
  return el("div", { class: "choose", role: "group", "aria-label": "Curves" }, chips);
}

function facts(source, e) {
  const policy = e.policy && [e.policy.run, e.policy.algo, e.policy.step !== undefined && "step " + e.policy.step].filter(Boolean).join(", ");
  const ended = e.terminated ? "the task was over" : e.truncated ? "cut by a limit" : "stopped by the operator";
  const rows = [
    ["Result", (e.success ? "solved" : "not solved") + (e.verdict ? ", label set by hand" : "") + "; " + ended],
    ["Length", `${e.length} steps, ${clock(e.seconds)}`],
    ["Return", digits(e.return)],
    ["Smoothness", Number.isFinite(e.smoothness) && digits(e.smoothness)],
    ["Judgement", e.rank && `${e.rank} of ${e.ranked} in this dataset, ${digits(e.judged)} ${Number.isFinite(e.recovered) ? "recovered reward a step" : "agreement"}`],
    ["Rate", e.achieved_hz && `${e.achieved_hz.toFixed(2)} Hz; ${e.late} late, worst ${digits(e.late_worst_ms)} ms`],
    ["By hand", e.interventions > 0 && `${e.interventions} of ${e.length} steps`],
    ["Stopped", e.stop_reason],
    ["Operator", e.operator],
    ["Device", e.device],
    ["Policy", policy],
    ["Seed", e.seed !== null && e.seed],
    ["Recorded", day(e.recorded_at)],
    ["Note", e.note],
    ["Tags", e.tags.join(", ")],
    ["Split", e.split],
    ["Trim", e.trim && `steps ${e.trim[0]} to ${e.trim[1]} of the recording`],
    ["Pictures", e.pictures],
    ["Dataset", source.datasets.length > 1 && source.datasets[e.dataset].name],
    ["Id", e.id],
  ];
  const kept = rows.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return el("dl", { class: "facts num" }, kept.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}
