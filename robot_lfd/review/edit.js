// The form beside an episode: verdict, note, tags, split, trim, cut in two, delete.

const drafts = new Map(); // what was typed and not kept yet: a redrawn form must not lose it

function editor(source, e, player) {
  const put = (wish, words) => change(source, [[e.index, wish]], words);
  const mark = (success, name) => el("button", { type: "button", class: "mark", "aria-pressed": String(e.success === success), onclick: () => put({ success }, `episode ${e.number} is ${success ? "solved" : "not solved"}`) }, name);
  const note = el("textarea", { rows: 2, "aria-label": "Note", placeholder: "Note" });
  const draft = drafts.get(e.id) || {};
  note.value = draft.note ?? e.note;
  const tags = el("input", { type: "text", "aria-label": "Tags, with commas between", placeholder: "Tags, with commas" });
  tags.value = draft.tags ?? e.tags.join(", ");
  for (const field of [note, tags]) field.addEventListener("input", () => drafts.set(e.id, { note: note.value, tags: tags.value }));
  const save = () => {
    const list = tags.value.split(",").map((t) => t.trim()).filter(Boolean), wish = {};
    drafts.delete(e.id);
    if (note.value !== e.note) wish.note = note.value;
    if (list.join() !== e.tags.join()) wish.tags = list;
    if (Object.keys(wish).length) put(wish, `note and tags of episode ${e.number} kept`);
  };
  const splits = [...new Set(["", "train", "valid", "test", e.split])];
  const split = el("select", { "aria-label": "Split", onchange: (event) => put({ split: event.target.value }, `episode ${e.number} is in ${event.target.value || "no split"}`) },
    splits.map((name) => el("option", { value: name, selected: e.split === name }, name || "no split")));
  const start = e.trim ? e.trim[0] : 0, stop = e.trim ? e.trim[1] : e.whole_length;
  const frame = () => Math.min(player.frame, e.length);
  const cut = (from, to) => from < to && put({ trim: [from, to] }, `episode ${e.number} is now steps ${from} to ${to}`);
  const button = (name, does, look) => el("button", { type: "button", class: look, onclick: does }, name);
  return el("section", { class: "edit", "aria-label": "Change this episode" },
    el("div", { class: "line" }, mark(true, "✓ Solved"), mark(false, "✕ Not solved"), split,
      button(e.deleted ? "Undelete" : "Delete", () => put({ deleted: !e.deleted }, `episode ${e.number} ${e.deleted ? "is back" : "deleted"}`), "delete")),
    el("div", { class: "line" },
      button("Cut before here", () => cut(start + frame(), stop)),
      button("Cut after here", () => cut(start, start + frame())),
      button("Split here", () => frame() > 0 && frame() < e.length && splitHere(source, e.index, frame())),
      e.trim && button("Whole again", () => cut(0, e.whole_length))),
    note, el("div", { class: "line" }, tags, button("Keep note and tags", save)));
}
