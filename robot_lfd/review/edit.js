// What a person changes: verdict, note, tags, trim, delete; each step can be taken back, and all of it is in the label log.

const undone = []; // what takes each change back, newest last: [index, wish, words]

async function change(source, index, wish, words) {
  const e = source.episodes[index];
  const back = {};
  for (const name of Object.keys(wish)) back[name] = name === "trim" ? e.trim || [0, e.whole_length] : e[name];
  try {
    await source.change(index, wish);
    undone.push([index, back, words]);
    tell(words);
  } catch (problem) {
    tell(problem.message, true);
  }
  document.dispatchEvent(new Event("changed"));
}

async function undo(source) {
  const last = undone.pop();
  if (!last) return tell("there is nothing to undo");
  const [index, wish, words] = last;
  try {
    await source.change(index, wish);
    tell("undone: " + words);
  } catch (problem) {
    tell(problem.message, true);
  }
  document.dispatchEvent(new Event("changed"));
}

function tell(text, bad) {
  const bar = document.getElementById("toast") || document.body.appendChild(el("div", { id: "toast", role: "status" }));
  const button = el("button", { type: "button", onclick: () => undo(window.lfdSource) }, "Undo");
  bar.replaceChildren(el("span", { class: bad ? "bad" : "" }, text), undone.length && !bad ? button : "");
  bar.className = "shown";
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => (bar.className = ""), 6000);
}

function editor(source, e, player) {
  const mark = (success, name) => el("button", { type: "button", class: "mark", "aria-pressed": String(e.success === success), onclick: () => change(source, e.index, { success }, `episode ${e.number} is ${success ? "solved" : "not solved"}`) }, name);
  const note = el("textarea", { rows: 2, "aria-label": "Note", placeholder: "Note" });
  note.value = e.note;
  const tags = el("input", { type: "text", "aria-label": "Tags, with commas between", placeholder: "Tags, with commas" });
  tags.value = e.tags.join(", ");
  const save = () => {
    const list = tags.value.split(",").map((t) => t.trim()).filter(Boolean), wish = {};
    if (note.value !== e.note) wish.note = note.value;
    if (list.join() !== e.tags.join()) wish.tags = list;
    if (Object.keys(wish).length) change(source, e.index, wish, `note and tags of episode ${e.number} kept`);
  };
  const start = e.trim ? e.trim[0] : 0, stop = e.trim ? e.trim[1] : e.whole_length;
  const cut = (from, to) => from < to && change(source, e.index, { trim: [from, to] }, `episode ${e.number} is now steps ${from} to ${to}`);
  return el("section", { class: "edit", "aria-label": "Change this episode" },
    el("div", { class: "line" }, mark(true, "✓ Solved"), mark(false, "✕ Not solved"),
      el("button", { type: "button", class: "delete", onclick: () => change(source, e.index, { deleted: !e.deleted }, `episode ${e.number} ${e.deleted ? "is back" : "deleted"}`) }, e.deleted ? "Undelete" : "Delete")),
    el("div", { class: "line" },
      el("button", { type: "button", onclick: () => cut(start + player.frame, stop) }, "Cut before here"),
      el("button", { type: "button", onclick: () => cut(start, start + player.frame) }, "Cut after here"),
      e.trim && el("button", { type: "button", onclick: () => cut(0, e.whole_length) }, "Whole again")),
    note, el("div", { class: "line" }, tags, el("button", { type: "button", onclick: save }, "Keep note and tags")));
}
