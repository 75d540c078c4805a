// The table of runs. It is drawn anew when something changed; the focus stays
// where it was.

import {badge, duration, el, moment, number, short} from "./dom.js";

const FIXED = [
  {id: "attributes.start_time", title: "Started"},
  {id: null, title: "Took"},
  {id: "attributes.status", title: "Status"},
];

// ranges gives the least and greatest value of each metric on the page.
function ranges(runs, columns) {
  const out = new Map();
  for (const c of columns) {
    if (c.kind !== "metrics") continue;
    const values = runs.map(r => number(r.metrics.get(c.key) ?? NaN)).filter(Number.isFinite);
    if (values.length > 1) out.set(c.id, [Math.min(...values), Math.max(...values)]);
  }
  return out;
}

export function runTable(body, view) {
  const {runs, children, more, columns, selected, open, query, grouped} = view;
  const shown = columns.shown, kinds = ["metrics", "params"].map(k => shown.filter(c => c.kind === k));
  const span = ranges([...runs, ...[...children.values()].flat()], shown);

  const head = (id, title, props) => {
    if (!id) return el("th", {scope: "col", ...props}, title);
    const sorted = query.key === id;
    return el("th", {scope: "col", "aria-sort": sorted ? (query.ascending ? "ascending" : "descending") : "none", ...props},
      el("button", {type: "button", class: "sort", title, data: {focus: `sort ${id}`}, onclick: () => view.sort(id)},
        el("span", {class: "key"}, title), el("span", {class: "arrow", "aria-hidden": "true"}, sorted ? (query.ascending ? "▲" : "▼") : "")));
  };

  const everyone = runs.length > 0 && runs.every(r => selected.has(r.id));
  const pickAll = el("input", {type: "checkbox", "aria-label": "Select all runs of the page", checked: everyone, indeterminate: !everyone && runs.some(r => selected.has(r.id)), data: {focus: "all"},
    onchange: e => { for (const r of runs) view.select(r, e.target.checked); runTable(body, view); }});

  const cell = (run, c) => {
    const value = run[c.kind].get(c.key);
    if (value === undefined) return el("td", {class: `${c.kind} none`}, el("span", {class: "hide"}, "none"));
    if (c.kind === "params") return el("td", {class: "params", title: value}, value);
    const [low, high] = span.get(c.id) ?? [0, 0], n = number(value);
    const part = high > low && Number.isFinite(n) ? (n - low) / (high - low) : null;
    return el("td", {class: part === null ? "metrics num" : "metrics num part", title: String(value), vars: part === null ? {} : {"--part": part.toFixed(3)}}, short(value));
  };

  const row = (run, depth, parents) => {
    const below = children.get(run.id) ?? [];
    const expandable = grouped && (below.length > 0 || more && depth === 0) && !parents.has(run.id);
    const isOpen = open.has(run.id);
    const tr = el("tr", {data: {run: run.id}, class: selected.has(run.id) ? "picked" : ""},
      el("td", {class: "pick"}, el("input", {type: "checkbox", checked: selected.has(run.id), "aria-label": `Select ${run.name}`, data: {focus: `pick ${run.id}`},
        onchange: e => { view.select(run, e.target.checked); tr.classList.toggle("picked", e.target.checked); }})),
      el("th", {scope: "row", class: "name", vars: {"--depth": depth}},
        expandable ? el("button", {type: "button", class: "fold", "aria-expanded": String(isOpen), "aria-label": `Child runs of ${run.name}`, data: {focus: `fold ${run.id}`}, onclick: () => view.toggle(run)}, isOpen ? "▾" : "▸") : el("span", {class: "fold"}),
        el("a", {href: run.address, title: run.name, data: {focus: `open ${run.id}`}}, run.name),
        below.length ? el("span", {class: "quiet"}, ` ${below.length}`) : null),
      el("td", null, moment(run.start)),
      el("td", {class: "num"}, duration(run.took)),
      el("td", null, badge(run.status)),
      shown.map(c => cell(run, c)));
    if (!expandable || !isOpen) return [tr];
    const path = new Set(parents).add(run.id);
    return [tr, ...below.flatMap(r => row(r, depth + 1, path))];
  };

  const focus = document.activeElement?.dataset?.focus;
  const old = body.querySelector(".wide"), left = old?.scrollLeft ?? 0, top = old?.scrollTop ?? 0;
  const table = el("table", {class: "runs"},
    el("caption", {class: "hide"}, "Runs"),
    el("thead", null,
      kinds.some(k => k.length) ? el("tr", {class: "groups"}, el("td", {colspan: 2}), el("td", {colspan: FIXED.length}),
        kinds[0].length ? el("th", {scope: "colgroup", colspan: kinds[0].length, class: "metrics"}, "Metrics") : null,
        kinds[1].length ? el("th", {scope: "colgroup", colspan: kinds[1].length, class: "params"}, "Parameters") : null) : null,
      el("tr", null, el("th", {class: "pick"}, pickAll), head("attributes.run_name", "Name", {class: "name"}),
        FIXED.map(f => head(f.id, f.title)),
        shown.map(c => head(c.id, c.key, {class: c.kind})))),
    el("tbody", null, runs.flatMap(r => row(r, 0, new Set()))));
  const wide = el("div", {class: "wide", tabindex: "0", role: "region", "aria-label": "Runs"}, table);
  body.replaceChildren(wide);
  wide.scrollTo(left, top);
  if (focus) body.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus({preventScroll: true});
}
