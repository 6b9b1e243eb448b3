// Many episodes at once: chosen by their boxes, changed together, taken back together.

const picked = new Set(); // "dataset/id": a selection outlives a redrawn grid
let anchor = null; // where a range begins; outlives it too

function makeSelection(source, list) {
  const key = (e) => `${e.dataset}/${e.id}`;
  const chosenNow = () => source.episodes.filter((e) => picked.has(key(e)));
  let order = [];
  const bar = el("section", { class: "bulk", "aria-label": "Change the selected episodes", hidden: true });
  const all = el("button", { type: "button", onclick: () => {
    const whole = order.length && order.every((e) => picked.has(key(e)));
    for (const e of order) whole ? picked.delete(key(e)) : picked.add(key(e));
    show();
  } }, "Select all");

  function show() {
    for (const box of list.querySelectorAll("input.pick")) box.checked = picked.has(box.value);
    const mine = chosenNow();
    bar.hidden = mine.length === 0;
    all.textContent = order.length && order.every((e) => picked.has(key(e))) ? "Select none" : "Select all";
    if (mine.length) bar.replaceChildren(el("div", { class: "wide" }, bulkTools(source, mine, () => (picked.clear(), show()))));
  }

  function box(e) {
    const input = el("input", { type: "checkbox", class: "pick", value: key(e), "aria-label": `Select episode ${e.number}` });
    input.checked = picked.has(key(e));
    input.addEventListener("click", (event) => {
      const from = order.indexOf(anchor), to = order.indexOf(e);
      const range = event.shiftKey && from >= 0 ? order.slice(Math.min(from, to), Math.max(from, to) + 1) : [e];
      for (const one of range) input.checked ? picked.add(key(one)) : picked.delete(key(one));
      anchor = e;
      show();
    });
    return input;
  }

  return { all, bar, box, shown: (found) => ((order = found), show()) };
}

function bulkTools(source, mine, clear) {
  const many = mine.length === 1 ? "1 episode" : mine.length + " episodes";
  const put = (make, words) => change(source, mine.map((e) => [e.index, make(e)]), `${many} ${words}`);
  const tag = el("input", { type: "text", "aria-label": "Tag for the selected episodes", placeholder: "Tag" });
  const tagging = (make, words) => () => {
    const word = tag.value.trim();
    if (word) put((e) => ({ tags: make(e.tags, word) }), `${words} “${word}”`);
    else tag.focus();
  };
  const split = el("select", { "aria-label": "Split of the selected episodes", onchange: (event) => event.target.value !== "" && put(() => ({ split: event.target.value === "none" ? "" : event.target.value }), `in split ${event.target.value}`) },
    el("option", { value: "" }, "Split …"), ["train", "valid", "test", "none"].map((name) => el("option", { value: name }, name)));
  const button = (name, does, look) => el("button", { type: "button", class: look, onclick: does }, name);
  const living = mine.some((e) => !e.deleted), gone = mine.some((e) => e.deleted);
  return [
    el("b", { class: "num", role: "status" }, many + " selected"),
    button("✓ Solved", () => put(() => ({ success: true }), "marked solved")),
    button("✕ Not solved", () => put(() => ({ success: false }), "marked not solved")),
    el("span", { class: "together" }, tag,
      button("Add tag", tagging((tags, word) => [...new Set([...tags, word])], "tagged")),
      button("Remove tag", tagging((tags, word) => tags.filter((t) => t !== word), "rid of tag"))),
    split,
    gone && button("Undelete", () => put(() => ({ deleted: false }), "back")),
    living && button("Delete", () => put(() => ({ deleted: true }), "deleted"), "delete"),
    button("Clear selection", clear),
  ];
}
