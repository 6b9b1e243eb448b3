"use strict";
// Where the page's data come from: blocks of this very file. Nothing is fetched from anywhere.

function block(id) {
  const found = document.getElementById(id);
  return found ? found.textContent : null;
}

async function openSource() {
  const data = JSON.parse(block("data"));
  const clips = new Map();
  return {
    editable: false,
    datasets: data.datasets,
    episodes: data.episodes,
    made: data.made,
    evaluated: Boolean(data.evaluation),
    evaluation: async () => data.evaluation,
    film: async () => ({ url: null, about: "films of evaluations are shown by lfd review without --export" }),
    end: () => null,
    fill: async () => null,
    async charts(index) {
      return JSON.parse(block("charts-" + index));
    },
    async clip(index, view) {
      const camera = view ? data.datasets[data.episodes[index].dataset].cameras.indexOf(view.camera) : 0;
      const name = `clip-${index}-${camera}`;
      if (!clips.has(name)) {
        const text = block(name);
        clips.set(name, text ? URL.createObjectURL(new Blob([bytes(text)], { type: "video/mp4" })) : null);
      }
      return clips.get(name);
    },
    still(index) {
      const text = block("still-" + index);
      return text ? "data:image/jpeg;base64," + text : null;
    },
  };
}

function bytes(base64) {
  const text = atob(base64);
  const found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found;
}
