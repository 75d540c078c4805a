// The files of a run: a tree, and what is in the chosen one. Nothing of a file
// runs: text is shown as text, an HTML page as its source, a picture as an
// image, in which scripts are dead.

import {el, problem, size} from "./dom.js";
import * as api from "./api.js";
import {parseTable} from "./csv.js";

const TEXT = 300_000, ROWS = 500;
const PICTURES = /\.(png|jpe?g|gif|webp|bmp|svg|ico|avif)$/i;
const TABLES = /\.(csv|tsv)$/i;

export function artifacts(run, signal) {
  const preview = el("div", {class: "preview", "aria-live": "polite"}, el("p", {class: "quiet"}, "Choose a file to look at it."));
  const tree = el("div", {class: "tree"});
  let asked = 0;

  async function folder(into, path) {
    into.replaceChildren(el("li", {class: "quiet"}, "…"));
    try {
      const found = (await api.files(run.id, path, signal)).files ?? [];
      found.sort((a, b) => Number(b.is_dir ?? false) - Number(a.is_dir ?? false) || a.path.localeCompare(b.path));
      into.replaceChildren(...found.map(entry));
      if (!found.length) into.replaceChildren(el("li", {class: "quiet"}, path ? "empty" : "This run has no artifacts."));
    } catch (err) {
      if (err.name !== "AbortError") into.replaceChildren(el("li", null, problem(err)));
    }
  }

  function entry(f) {
    const name = f.path.split("/").at(-1);
    if (!f.is_dir) {
      const open = el("button", {type: "button", class: "file", data: {path: f.path}, onclick: () => show(f, open)}, name, el("span", {class: "quiet"}, ` ${size(f.file_size)}`));
      return el("li", null, open);
    }
    const list = el("ul");
    const box = el("details", null, el("summary", null, `${name}/`), list);
    box.addEventListener("toggle", () => { if (box.open && !list.childElementCount) folder(list, f.path); });
    return el("li", null, box);
  }

  async function show(f, opener) {
    const mine = ++asked;
    for (const b of tree.querySelectorAll("[aria-current]")) b.removeAttribute("aria-current");
    opener.setAttribute("aria-current", "true");
    const name = f.path.split("/").at(-1);
    const head = el("p", {class: "row head"}, el("b", null, f.path), el("span", {class: "quiet"}, size(f.file_size)),
      el("a", {class: "button", href: api.fileAddress(run.id, f.path), download: name}, "Download"));
    preview.replaceChildren(head, el("p", {class: "quiet"}, "Loading…"));
    let content;
    try {
      content = PICTURES.test(name) ? picture(f) : await text(f, name);
    } catch (err) {
      if (err.name === "AbortError") return;
      content = problem(err);
    }
    if (mine === asked) preview.replaceChildren(head, content);
  }

  function picture(f) {
    const img = el("img", {src: api.fileAddress(run.id, f.path), alt: f.path});
    img.addEventListener("error", () => img.replaceWith(problem("This picture cannot be shown.")));
    return img;
  }

  async function text(f, name) {
    const {bytes, whole} = await api.head(run.id, f.path, TEXT, signal);
    if (bytes.subarray(0, 8000).includes(0)) return el("p", {class: "quiet"}, "This file is not text; download it to look into it.");
    let content = new TextDecoder().decode(bytes);
    const cut = whole ? null : el("p", {class: "quiet"}, `The first ${size(bytes.length)} of ${size(f.file_size)}.`);
    if (TABLES.test(name)) return el("div", null, cut, table(content, name.toLowerCase().endsWith(".tsv") ? "\t" : ","));
    if (/\.json$/i.test(name) && whole) {
      try { content = JSON.stringify(JSON.parse(content), null, 2); } catch { /* as it is */ }
    }
    return el("div", null, cut, el("pre", {tabindex: "0"}, /\.(patch|diff)$/i.test(name) ? patch(content) : content || "(empty)"));
  }

  folder(tree.appendChild(el("ul")), "");
  return el("div", {class: "artifacts"}, tree, preview);
}

// patch colours what was added and what was taken away.
const patch = text => text.split("\n").map(line => {
  const kind = /^(\+\+\+|---|diff |index |@@)/.test(line) ? "quiet" : line.startsWith("+") ? "plus" : line.startsWith("-") ? "minus" : null;
  return kind ? el("span", {class: kind}, `${line}\n`) : `${line}\n`;
});

function table(text, comma) {
  const rows = parseTable(text, comma, ROWS + 2), head = rows.shift() ?? [];
  const more = rows.length > ROWS;
  const shown = rows.slice(0, ROWS);
  return el("div", null, el("div", {class: "wide", tabindex: "0"}, el("table", null,
    el("thead", null, el("tr", null, head.map(h => el("th", {scope: "col"}, h)))),
    el("tbody", null, shown.map(r => el("tr", null, r.map(v => el("td", null, v))))))),
  more ? el("p", {class: "quiet"}, `The first ${ROWS} rows.`) : null);
}
