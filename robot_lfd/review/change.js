// What a person changes goes to the label log, one wish or many at once; each change can be taken back, the newest first.

const undone = []; // [[[index, wish], ...], words]
const AT_ONCE = 200;

function before(e, wish) {
  const back = {};
  for (const name of Object.keys(wish)) back[name] = name === "trim" ? e.trim || [0, e.whole_length] : e[name];
  return back;
}

async function change(source, wishes, words) {
  const back = wishes.map(([index, wish]) => [index, before(source.episodes[index], wish)]);
  await attempt(async () => {
    await put(source, wishes);
    undone.push([back, words]);
    tell(words);
  });
}

async function splitHere(source, index, at) {
  const e = source.episodes[index], trim = e.trim || [0, e.whole_length];
  await attempt(async () => {
    const other = await source.split(index, at);
    undone.push([[[other, { deleted: true }], [index, { trim }]], `episode ${e.number} split`]);
    tell(`episode ${e.number} split at step ${at}; the rest is the last episode of the list`);
  });
}

async function undo(source) {
  const last = undone.pop();
  if (!last) return tell("there is nothing to undo");
  await attempt(async () => {
    await put(source, last[0]);
    tell("undone: " + last[1]);
  });
}

async function put(source, wishes) {
  for (let k = 0; k < wishes.length; k += AT_ONCE) await source.change(wishes.slice(k, k + AT_ONCE));
}

async function attempt(does) {
  try {
    await does();
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
