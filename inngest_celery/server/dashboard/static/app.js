// What makes pages fresher and quicker to use; all of them work without it.
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Times in the reader's zone.
const TIME = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  fractionalSecondDigits: 3,
});
function localise() {
  for (const time of all("time[datetime]")) time.textContent = TIME.format(new Date(time.dateTime));
}

// Live parts ask for themselves anew when the server says that there is something new.
let source = null;
function listen() {
  const part = one("[data-live]");
  if (source && (!part || source.address !== part.dataset.live)) {
    source.close();
    source = null;
  }
  if (part && !source) {
    source = new EventSource(part.dataset.live);
    source.address = part.dataset.live;
    source.addEventListener("changed", refresh);
    // What has happened since the page was made, or while the connection was away.
    source.addEventListener("open", refresh);
  }
}
function refresh() {
  const part = one("[data-live]");
  // A text that somebody is marking, or typing, stays under the hand.
  const editing = part && part.contains(document.activeElement) && document.activeElement.matches("textarea");
  if (part && !editing && !document.hidden) htmx.trigger(part, "changed");
}
document.addEventListener("visibilitychange", refresh);
addEventListener("pagehide", () => source && source.close());

// Rows: chosen by keys, checked together.
const CHECKS = "input[name=run], input[name=item]";
function countChecked() {
  const label = one("#checked");
  if (!label) return;
  const checked = all(CHECKS).filter((box) => box.checked).length;
  label.textContent = checked ? `${checked} checked` : "";
  for (const button of all(".bulk .actions button")) button.disabled = !checked;
}
document.addEventListener("change", (event) => {
  if (event.target.id === "all") for (const box of all(CHECKS)) box.checked = event.target.checked;
  countChecked();
});

// Actions that cannot be taken back ask first.
document.addEventListener("submit", (event) => {
  const question = (event.submitter && event.submitter.dataset.confirm) || event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

// Editors of JSON: wrong text is told at once, and not sent.
function check(area) {
  let problem = "";
  if (area.value.trim()) {
    try {
      const value = JSON.parse(area.value);
      const isObject = value !== null && typeof value === "object";
      if (area.dataset.json === "object" && !isObject) problem = "A JSON object, or a list of them.";
    } catch (error) {
      problem = error.message;
    }
  }
  area.setCustomValidity(problem);
  let hint = area.nextElementSibling;
  if (!hint || !hint.matches(".problem")) {
    hint = document.createElement("span");
    hint.className = "problem";
    hint.setAttribute("role", "status");
    area.after(hint);
  }
  hint.textContent = problem;
}
document.addEventListener("input", (event) => { if (event.target.matches("[data-json]")) check(event.target); });

// Keys.
let prefix = "";
function move(by) {
  const rows = all("[data-row]");
  if (!rows.length) return;
  // Where the focus is: that outlasts a part that has fetched itself anew.
  const now = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[Math.min(Math.max(now + by, 0), rows.length - 1)];
  const link = next.matches("[data-open]") ? next : one("[data-open]", next);
  link.focus();
  next.scrollIntoView({ block: "nearest" });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=checkbox]), textarea, select")) return;
  if (prefix === "g") {
    prefix = "";
    const link = one(`nav [data-key="${CSS.escape(event.key)}"]`);
    if (link) link.click();
    return;
  }
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    x: () => { const box = one(`[data-row]:focus-within :is(${CHECKS})`); if (box) box.click(); },
    g: () => { prefix = "g"; },
    "/": () => { const search = one("#search"); if (search) search.focus(); },
    "?": () => one("#help").showModal(),
  };
  if (event.key in keys) {
    event.preventDefault();
    keys[event.key]();
  }
});

function begin() {
  one("#keys").hidden = one("#theme").hidden = false;
  one("#keys").addEventListener("click", () => one("#help").showModal());
  one("#theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* It holds for this page. */ }
  });
  document.addEventListener("htmx:after:swap", () => { localise(); countChecked(); listen(); });
  localise();
  countChecked();
  listen();
}
begin();
