// Runs side by side: what differs, their curves over each other, and pictures
// of many at once.

import {badge, duration, el, moment, number, numeric, short, store} from "./dom.js";
import * as api from "./api.js";
import {Curves} from "./curves.js";
import {byName, Columns} from "./columns.js";
import {colour} from "./chart.js";
import {explore} from "./explore.js";

const MOST = 100;

function list(text) {
  try {
    const value = JSON.parse(text ?? "[]");
    return Array.isArray(value) ? value.map(String) : [];
  } catch {
    return [];
  }
}

export async function showComparison(main, {query, signal, crumbs, every}) {
  const ids = [...new Set(list(query.get("runs")))].slice(0, MOST);
  if (!ids.length) {
    await crumbs(null, "Comparison");
    main.replaceChildren(el("p", {class: "empty"}, "Select runs in the table to compare them."));
    return null;
  }
  const load = () => Promise.all(ids.map(id => api.run(id, signal)));
  let runs = await load(), seen = "";
  crumbs(runs[0].info.experiment_id, `Comparison of ${runs.length} runs`).catch(() => {});
  const table = el("div"), pictures = el("div");
  const curves = new Curves(runs, signal);
  const only = el("input", {type: "checkbox", checked: store.get("differences", true), onchange: e => { store.set("differences", e.target.checked); draw(); }});

  function draw() {
    table.replaceChildren(differences(runs, only.checked));
    if (pictures.childElementCount === 0 && runs.length > 1) {
      const columns = new Columns(runs[0].info.experiment_id);
      columns.learn(runs);
      pictures.replaceChildren(explore(runs, columns));
    }
  }
  draw();
  seen = JSON.stringify(runs.map(r => r.raw));
  main.replaceChildren(el("h1", null, `${runs.length} runs compared`), el("div", {class: "tools"}, el("label", {class: "check"}, only, "Only what differs")), table,
    el("section", null, el("h2", null, "Curves"), curves.node), el("section", null, el("h2", null, "All at once"), pictures));
  every(() => runs.some(r => r.live) ? 3000 : 30000, async () => {
    runs = await load();
    const text = JSON.stringify(runs.map(r => r.raw));
    if (text === seen) return;
    seen = text;
    draw();
    curves.refresh(runs);
  });
  return null;
}

// rowsOf gives what can differ: [{group, name, values: [text or undefined], kind}].
function rowsOf(runs) {
  const keys = what => [...new Set(runs.flatMap(r => [...r[what].keys()]))].sort(byName);
  const rows = [];
  for (const key of keys("metrics")) if (!key.startsWith("system/")) rows.push({group: "Metrics", kind: "metrics", name: key, values: runs.map(r => r.metrics.get(key))});
  for (const key of keys("params")) rows.push({group: "Parameters", kind: "params", name: key, values: runs.map(r => r.params.get(key))});
  const datasets = new Set(runs.flatMap(r => r.datasets.map(d => d.dataset.name)));
  for (const name of [...datasets].sort(byName)) rows.push({group: "Datasets", kind: "datasets", name, values: runs.map(r => r.datasets.find(d => d.dataset.name === name)?.dataset.digest)});
  for (const [key, name] of [["mlflow.source.git.commit", "commit"], ["mlflow.source.git.branch", "branch"], ["mlflow.user", "user"], ["mlflow.source.name", "source"]]) {
    if (runs.some(r => r.tags.has(key))) rows.push({group: "Code", kind: "tags", name, values: runs.map(r => r.tags.get(key))});
  }
  for (const key of keys("tags")) if (!key.startsWith("mlflow.")) rows.push({group: "Tags", kind: "tags", name: key, values: runs.map(r => r.tags.get(key))});
  return rows;
}

const differs = row => new Set(row.values.map(v => v === undefined ? v : String(v))).size > 1;

function differences(runs, only) {
  const rows = rowsOf(runs).filter(r => !only || runs.length < 2 || differs(r));
  const groups = Map.groupBy(rows, r => r.group);
  const head = el("thead", null,
    el("tr", null, el("td"), runs.map((r, i) => el("th", {scope: "col", class: "key", vars: {"--colour": colour(i)}}, el("a", {href: r.address, title: r.name}, r.name)))),
    el("tr", null, el("th", {scope: "row"}, "Status"), runs.map(r => el("td", null, badge(r.status)))),
    el("tr", null, el("th", {scope: "row"}, "Started"), runs.map(r => el("td", null, moment(r.start)))),
    el("tr", null, el("th", {scope: "row"}, "Took"), runs.map(r => el("td", null, duration(r.took)))));
  const bodies = [...groups].map(([group, list]) => el("tbody", null,
    el("tr", {class: "group"}, el("th", {scope: "rowgroup", colspan: runs.length + 1}, group)),
    list.map(row => el("tr", {data: {row: `${row.kind}.${row.name}`}, class: !only && differs(row) ? "differs" : ""}, el("th", {scope: "row", title: row.name}, row.name), cells(row)))));
  if (!rows.length) bodies.push(el("tbody", null, el("tr", null, el("td", {colspan: runs.length + 1, class: "quiet"}, "Nothing differs."))));
  return el("div", {class: "wide", tabindex: "0"}, el("table", {class: "comparison"}, el("caption", {class: "hide"}, "Comparison"), head, ...bodies));
}

// cells of numbers say how far they are from the first run's.
function cells(row) {
  const first = row.values[0];
  return row.values.map((v, i) => {
    if (v === undefined) return el("td", {class: "quiet"}, "–");
    if (row.kind === "metrics" || numeric(v)) {
      const by = i > 0 && first !== undefined && (row.kind === "metrics" || numeric(first)) ? number(v) - number(first) : 0;
      const text = row.kind === "metrics" ? short(v) : String(v);
      return el("td", {title: String(v)}, text, by && Number.isFinite(by) && row.kind === "metrics" ? el("small", {class: "quiet"}, ` ${by > 0 ? "+" : "−"}${short(Math.abs(by))}`) : null);
    }
    if (row.name === "commit" || row.kind === "datasets") return el("td", {title: String(v)}, el("code", null, String(v).slice(0, 12)));
    return el("td", {class: "text"}, v);
  });
}
