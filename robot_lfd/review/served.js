"use strict";
// Where the page's data come from: the server that gave the page, under the same address.

async function openSource() {
  const clips = new Map();
  const one = (kind, e) => `${kind}/${e.dataset}/${encodeURIComponent(e.id)}`;
  const found = await ask("index.json");
  const source = {
    ...found,
    editable: true,
    made: JSON.parse(document.getElementById("data").textContent).made,
    charts: (index) => ask(one("curves", source.episodes[index])),
    still: (index) => one("still", source.episodes[index]),
    async clip(index) {
      const e = source.episodes[index];
      if (!clips.has(e.id)) clips.set(e.id, loadClip(one("clip", e), e));
      return clips.get(e.id);
    },
    async change(index, wish) {
      const e = source.episodes[index];
      const answer = await fetch(one("change", e), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ ...wish, revision: e.revision }),
      });
      const said = await answer.json();
      if (said.row) Object.assign(e, { ...said.row, number: e.number });
      if (!answer.ok) throw new Error(said.error || answer.statusText);
    },
  };
  return source;
}

async function ask(path) {
  const answer = await fetch(path);
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error || answer.statusText);
  return said;
}

async function loadClip(path, e) {
  const answer = await fetch(path);
  e.pictures = JSON.parse(answer.headers.get("X-Pictures") || '""');
  return answer.status === 200 ? URL.createObjectURL(await answer.blob()) : null;
}
