"use strict";
// Where the page's data come from: the server that gave the page, under the same address.

async function openSource() {
  const films = new Map(); // path -> {film, wanted, stop}
  const one = (kind, e) => `${kind}/${e.dataset}/${encodeURIComponent(e.id)}`;
  let reading = 0; // pages that are on their way: measuring waits for them

  // A film is asked for once, and no longer than anybody wants it: a browser holds six requests, and the next page needs one.
  const once = (path, signal) => {
    if (!films.has(path)) {
      const stop = new AbortController(), entry = { wanted: 0, stop, film: loadFilm(path, stop.signal) };
      films.set(path, entry);
      entry.film.then(() => (entry.come = true), () => films.get(path) === entry && films.delete(path));
    }
    const entry = films.get(path);
    entry.wanted++;
    signal?.addEventListener("abort", () => {
      if (--entry.wanted > 0 || entry.come) return;
      films.delete(path);
      entry.stop.abort();
    }, { once: true });
    return entry.film;
  };
  const found = await ask("index.json");
  const source = {
    ...found,
    editable: true,
    made: JSON.parse(document.getElementById("data").textContent).made,
    async fill(index) { // a row whose arrays nobody has read yet
      const e = source.episodes[index];
      if (e.pending) Object.assign(e, { ...(await ask(one("row", e))), number: e.number, pending: false });
    },
    async fillAll(onSome) {
      const places = new Map(source.episodes.map((e) => [`${e.dataset}/${e.id}`, e]));
      for (let dataset = 0; dataset < source.datasets.length; dataset++) {
        const first = source.episodes.find((e) => e.pending && e.dataset === dataset);
        for (let next = first ? first.number - 1 : null; next !== null; ) {
          while (reading) await new Promise((done) => setTimeout(done, 20));
          const found = await ask(`rows/${dataset}/${next}`);
          for (const row of found.rows) {
            const e = places.get(`${dataset}/${row.id}`);
            if (e && e.pending) Object.assign(e, row, { pending: false });
          }
          next = found.next;
          onSome();
        }
      }
    },
    async charts(index) {
      reading++;
      return ask(one("curves", source.episodes[index])).finally(() => reading--);
    },
    still: (index) => one("still", source.episodes[index]),
    async clip(index, view, signal) {
      const e = source.episodes[index], film = await once(one("clip", e) + (view ? "?" + new URLSearchParams(view) : ""), signal);
      e.pictures = film.about;
      return film.url;
    },
    cameras: (dataset) => ask("cameras/" + dataset),
    beside: (index, signal) => once(one("beside", source.episodes[index]), signal),
    evaluation: () => ask("evaluation.json"),
    film: (f) => once(`film/${f.run}/${f.step}/${f.seed}`),
    end: (f) => `end/${f.run}/${f.step}/${f.seed}`,
    change: (wishes) => send("change", { changes: wishes.map(([index, wish]) => named(source.episodes[index], wish)) }, wishes.map(([index]) => index)),
    async split(index, at) {
      const rows = await send("split", named(source.episodes[index], { at }), [index]);
      const place = source.episodes.length;
      source.episodes.push({ ...rows[1], number: place + 1, index: place });
      return place;
    },
  };
  const named = (e, wish) => ({ ...wish, dataset: e.dataset, id: e.id, revision: e.revision });
  async function send(path, wish, indices) {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish) });
    const said = await answer.json();
    indices.forEach((index, k) => {
      const e = source.episodes[index];
      if (said.rows) Object.assign(e, { ...said.rows[k], number: e.number, pending: false });
    });
    if (!answer.ok) throw new Error(said.error || answer.statusText);
    return said.rows;
  }
  return source;
}

async function ask(path) {
  const answer = await fetch(path);
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error || answer.statusText);
  return said;
}

async function loadFilm(path, signal) {
  const answer = await fetch(path, { signal });
  if (answer.status >= 400) return { url: null, about: (await answer.json()).error };
  const about = JSON.parse(answer.headers.get("X-About") || '""');
  return { url: answer.status === 200 ? URL.createObjectURL(await answer.blob()) : null, about };
}
