// Elements are made here and nowhere else: names and notes are only ever text.

function el(tag, about, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(about || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(made.style, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  add(made, children);
  return made;
}

function add(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child.nodeType ? child : document.createTextNode(String(child)));
  }
}

function svg(tag, about, ...children) {
  const made = document.createElementNS(document.getElementById("svg").namespaceURI, tag); // no address in this file
  for (const [name, value] of Object.entries(about || {})) made.setAttribute(name, value);
  for (const child of children.flat()) made.append(child);
  return made;
}

function verdict(success) {
  return el("span", { class: "pill " + (success ? "good" : "bad") }, success ? "✓ solved" : "✕ not solved");
}

function clock(seconds) {
  if (seconds < 60) return seconds.toFixed(1) + " s";
  const whole = Math.round(seconds);
  if (whole < 3600) return Math.floor(whole / 60) + " min " + (whole % 60) + " s";
  return Math.floor(whole / 3600) + " h " + Math.floor((whole % 3600) / 60) + " min";
}

function digits(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 10000 || size < 0.0005)) return value.toExponential(1).replaceAll("-", "−");
  return value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 3).replace("-", "−");
}

function day(text) {
  const date = new Date(text);
  if (!text || Number.isNaN(date.getTime())) return "";
  return date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : 0;
}

function say(text) {
  document.getElementById("said").textContent = text;
}
