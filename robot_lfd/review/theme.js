// Light, dark, or as the system says; the choice is kept where the browser lets a page keep something.

const THEMES = ["auto", "light", "dark"];

function keptTheme() {
  try {
    return localStorage.getItem("lfd-theme") || "auto";
  } catch (refused) {
    return "auto";
  }
}

function setTheme(name) {
  if (name === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = name;
  try {
    localStorage.setItem("lfd-theme", name);
  } catch (refused) {
    return; // a page from a file may keep nothing
  } finally {
    document.dispatchEvent(new Event("themechange"));
  }
}

function themeButton() {
  let now = keptTheme();
  const button = el("button", { type: "button", title: "Light, dark, or as the system says" });
  const name = () => (button.textContent = "Theme: " + now);
  button.addEventListener("click", () => {
    now = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    setTheme(now);
    name();
  });
  name();
  return button;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
