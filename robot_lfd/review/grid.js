// The grid: every episode as a card that plays when pointed at; filter, sort, search, select.

function drawGrid(source) {
  const list = el("ul", { class: "cards" });
  const count = el("span", { class: "count num", role: "status" });
  const picks = source.editable ? makeSelection(source, list) : null;
  const tellCount = (shown) => {
    const left = source.episodes.filter((e) => e.pending).length;
    count.textContent = `${shown} of ${source.episodes.length} episodes` + (left ? `; ${left} still to be measured` : "");
  };
  document.addEventListener("measured", () => count.isConnected && tellCount(list.querySelectorAll(".card").length));
  const redraw = () => {
    const found = chosen(source);
    list.replaceChildren(...found.map((e) => card(source, e, picks)));
    if (!found.length) list.replaceChildren(el("li", { class: "empty", style: { gridColumn: "1 / -1" } }, "No episode fits; choose All, clear the filters, or empty the search."));
    tellCount(found.length);
    if (picks) picks.shown(found);
  };
  const main = document.getElementById("main");
  main.replaceChildren(el("div", { class: "wide" }, el("h2", { class: "quiet" }, "Episodes"), tools(source, redraw, count, picks), list), picks ? picks.bar : "");
  redraw();
}

function tools(source, redraw, count, picks) {
  const living = source.episodes.filter((e) => !e.deleted), gone = source.episodes.length - living.length;
  const solved = living.filter((e) => e.success).length;
  const choices = [["all", "All " + living.length], ["solved", "Solved " + solved], ["failed", "Not solved " + (living.length - solved)]];
  if (gone) choices.push(["deleted", "Deleted " + gone]);
  else if (wish.show === "deleted") wish.show = "all";
  const segments = choices.map(([value, name]) => {
    const input = el("input", { type: "radio", name: "show", value, checked: wish.show === value, onchange: () => ((wish.show = value), redraw()) });
    return el("label", {}, input, el("span", { class: "num" }, name));
  });
  const search = el("input", { type: "search", class: "grow", placeholder: "Note, operator, tag, id", "aria-label": "Search notes, operators, tags and ids", oninput: (event) => ((wish.text = event.target.value), redraw()) });
  search.value = wish.text;
  const filters = filterPanel(source, redraw);
  return [el("div", { class: "tools" }, el("div", { class: "segments", role: "radiogroup", "aria-label": "Show" }, segments), sortMenu(source, redraw), search, filters.button, picks && picks.all, count), filters.panel];
}

function sortMenu(source, redraw) {
  const tells = (key) => { // a sort of which nothing is known, or by which all are alike, is none
    const found = new Set(source.episodes.map(key).filter((v) => v !== "" && v !== null && v !== undefined && !Number.isNaN(v)));
    return found.size > 1;
  };
  const sort = el("select", { "aria-label": "Sort by", onchange: (event) => ((wish.sort = event.target.value), redraw()) },
    Object.entries(SORTS).filter(([value, [, key]]) => value === "recorded" || value === "length" || tells(key)).map(([value, [name]]) => el("option", { value, selected: wish.sort === value }, "Sort: " + name)));
  const turn = el("button", { type: "button", "aria-pressed": String(wish.down), "aria-label": "Descending", onclick: () => {
    wish.down = !wish.down;
    turn.setAttribute("aria-pressed", String(wish.down));
    turn.textContent = wish.down ? "↓" : "↑";
    redraw();
  } }, wish.down ? "↓" : "↑");
  return el("span", { class: "together" }, sort, turn);
}

function card(source, e, picks) {
  const still = source.still(e.index);
  const thumb = el("div", { class: "thumb" },
    still ? el("img", { src: still, alt: "", loading: "lazy", onerror: (event) => event.target.src && event.target.replaceWith(el("div", { class: "none" }, "no pictures")) }) : el("div", { class: "none" }, "no pictures"),
    verdict(e.success), el("span", { class: "secs num" }, clock(e.seconds)));
  const marks = [
    e.odd && el("span", { class: "pill bad", title: "the policy’s judgement lies far below that of the others" }, "odd"),
    e.interventions > 0 && el("span", { class: "pill hand" }, e.interventions + " by hand"),
    e.late > 0 && el("span", { class: "pill plain" }, e.late + " late"),
    e.stop_reason && el("span", { class: "pill bad" }, "stopped"),
    e.rank && el("span", { class: "pill plain num", title: "rank by the policy’s judgement: " + digits(e.judged) + (Number.isFinite(e.recovered) ? " recovered reward a step" : " agreement") }, `judged ${e.rank} of ${e.ranked}`),
    e.split && el("span", { class: "pill plain" }, e.split),
    e.tags.map((t) => el("span", { class: "pill plain" }, t)),
  ];
  const who = [e.operator, e.device !== e.operator && e.device, e.seed !== null && "seed " + e.seed].filter(Boolean).join(" · ");
  const name = `Episode ${e.number}, ${e.success ? "solved" : "not solved"}, ${clock(e.seconds)}`;
  const link = el("a", { href: "#e" + e.index, "aria-label": name }, thumb,
    el("div", { class: "about" },
      el("div", { class: "first num" }, el("b", {}, "#" + e.number), el("span", {}, "return " + digits(e.return))),
      el("div", { class: "row num" }, who || " "),
      e.note && el("div", { class: "row", title: e.note }, e.note),
      el("div", { class: "marks" }, marks)));
  link.addEventListener("pointerenter", () => playIn(source, e, thumb));
  link.addEventListener("focus", () => link.matches(":focus-visible") && playIn(source, e, thumb));
  for (const gone of ["pointerleave", "blur"]) link.addEventListener(gone, () => {
    stopWaiting.abort();
    thumb.querySelector("video")?.remove();
  });
  return el("li", { class: "card" }, link, picks && picks.box(e));
}

let stopWaiting = new AbortController(); // for the film of the card that is pointed at

async function playIn(source, e, thumb) {
  stopWaiting.abort();
  stopWaiting = new AbortController();
  const url = await source.clip(e.index, null, stopWaiting.signal).catch(() => null);
  if (!url || thumb.querySelector("video") || !(thumb.matches(":hover") || thumb.parentElement.matches(":focus"))) return;
  const video = el("video", { src: url, muted: true, loop: true, playsinline: true, "aria-hidden": "true", tabindex: "-1" });
  video.muted = true;
  thumb.querySelector("img")?.after(video);
  video.play().catch(() => video.remove());
}
