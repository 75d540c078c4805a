// Elements, and values as text. Everything that comes from a run goes into the
// page as text nodes or attributes that hold no code: there is no innerHTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "vars") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else if (["value", "checked", "indeterminate", "disabled", "selected", "hidden"].includes(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter(c => c !== null && c !== undefined && c !== false));
  return node;
}

// el makes an HTML element: el("a", {href, onclick}, "text", child, ...).
export const el = (tag, props, ...children) => fill(document.createElement(tag), props, children);

// svg makes an SVG element.
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

// button makes a button that does something.
export const button = (text, onclick, props) => el("button", {type: "button", onclick, ...props}, text);

// number reads a metric's value, which JSON has as a number or as "NaN",
// "Infinity" or "-Infinity". MLflow stores infinities as the largest double.
export function number(v) {
  const n = typeof v === "string" && v.trim() === "" ? NaN : Number(v);
  return Math.abs(n) > 1.7e308 ? Math.sign(n) * Infinity : n;
}

// short writes a number with as many digits as one can compare.
export function short(v) {
  const n = number(v);
  if (!Number.isFinite(n)) return Number.isNaN(n) ? "NaN" : n > 0 ? "∞" : "−∞";
  if (Number.isInteger(n) && Math.abs(n) < 1e9) return String(n);
  const a = Math.abs(n);
  if (a >= 1e6 || a < 1e-4) return n.toExponential(3).replace(/\.?0+e/, "e");
  return String(Number(n.toPrecision(5)));
}

// numeric tells whether a text is nothing but a number.
export const numeric = s => /^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/.test(String(s));

export function duration(ms) {
  if (!(ms >= 0)) return "";
  const s = ms / 1000;
  if (s < 1) return `${Math.round(ms)} ms`;
  if (s < 60) return `${s.toFixed(1)} s`;
  const m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
  if (m < 60) return `${m} min ${Math.floor(s % 60)} s`;
  return h < 24 ? `${h} h ${m % 60} min` : `${d} d ${h % 24} h`;
}

export function size(bytes) {
  if (bytes === undefined) return "";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let n = Number(bytes), u = 0;
  while (n >= 1000 && u < units.length - 1) { n /= 1000; u++; }
  return `${u ? n.toFixed(n < 10 ? 1 : 0) : n} ${units[u]}`;
}

// moment writes a time as one says it, with the exact one in its title.
export function moment(ms) {
  const t = Number(ms);
  if (!t) return el("span", {class: "quiet"}, "–");
  const date = new Date(t), past = (Date.now() - t) / 1000;
  let text = date.toLocaleDateString(undefined, {year: "numeric", month: "short", day: "numeric"});
  if (past < 60) text = "just now";
  else if (past < 3600) text = `${Math.floor(past / 60)} min ago`;
  else if (past < 86400) text = `${Math.floor(past / 3600)} h ago`;
  else if (past < 7 * 86400) text = `${Math.floor(past / 86400)} d ago`;
  return el("time", {datetime: date.toISOString(), title: date.toLocaleString()}, text);
}

const MARKS = {RUNNING: "◐", SCHEDULED: "○", FINISHED: "✓", FAILED: "✕", KILLED: "■"};

// badge shows the status of a run by mark, word and colour.
export function badge(status) {
  const known = status in MARKS ? status : "other";
  return el("span", {class: `badge ${known.toLowerCase()}`}, el("span", {"aria-hidden": "true"}, MARKS[status] ?? "?"), " ", String(status ?? "").toLowerCase());
}

// tell says something at the foot of the page for a moment.
export function tell(text) {
  const note = document.getElementById("note");
  note.textContent = text;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { note.textContent = ""; }, 4000);
}

// copyable shows a command with a button that copies it.
export function copyable(text) {
  const code = el("code", null, text);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      tell("Copied");
    } catch { // without https or leave: select it instead
      getSelection().selectAllChildren(code);
      tell("Press Ctrl-C to copy");
    }
  };
  return el("span", {class: "copyable"}, code, button("Copy", copy, {"aria-label": `Copy ${text}`}));
}

// problem shows an error in place of what could not be shown.
export const problem = err => el("p", {class: "problem", role: "alert"}, String(err?.message ?? err));

// store keeps the user's choices in this browser; without leave it forgets.
export const store = {
  get(key, fallback) {
    try { return JSON.parse(localStorage.getItem(`ctrx.${key}`)) ?? fallback; } catch { return fallback; }
  },
  set(key, value) {
    try { localStorage.setItem(`ctrx.${key}`, JSON.stringify(value)); } catch { /* private window */ }
  },
};
