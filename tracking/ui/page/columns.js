// Which parameters and metrics are columns. Without a choice of the user it is
// the metrics, and the parameters that differ between the runs.

import {button, el, store} from "./dom.js";

const METRICS = 8, PARAMS = 8;

export class Columns {
  constructor(experiment) {
    this.key = `columns.${experiment}`;
    this.chosen = store.get(this.key, null); // {"metrics.auc": true, ...}: what the user said
    this.known = []; // {id, kind, key}
    this.usual = new Set();
  }

  // learn takes notice of the runs on the page.
  learn(runs) {
    const metrics = new Set(), params = new Map();
    for (const r of runs) {
      for (const k of r.metrics.keys()) metrics.add(k);
      for (const [k, v] of r.params) params.set(k, (params.get(k) ?? new Set()).add(v));
    }
    this.known = [
      ...[...metrics].sort(byName).map(key => ({id: `metrics.${key}`, kind: "metrics", key})),
      ...[...params.keys()].sort(byName).map(key => ({id: `params.${key}`, kind: "params", key})),
    ];
    const plain = [...metrics].filter(k => !k.startsWith("system/")).sort(byName);
    let useful = [...params.keys()].filter(k => params.get(k).size > 1);
    if (!useful.length) useful = [...params.keys()];
    this.usual = new Set([
      ...plain.slice(0, METRICS).map(k => `metrics.${k}`),
      ...useful.sort(byName).slice(0, PARAMS).map(k => `params.${k}`),
    ]);
    this.paint?.();
  }

  shows(id) { return this.chosen?.[id] ?? this.usual.has(id); }
  get shown() { return this.known.filter(c => this.shows(c.id)); }

  // chooser is the button with the list; changed is called after a choice.
  chooser(changed) {
    const list = el("div", {class: "choices"});
    const find = el("input", {type: "search", placeholder: "Find a column", "aria-label": "Find a column", oninput: () => this.paint()});
    const choose = (ids, on) => {
      this.chosen = {...this.chosen, ...Object.fromEntries(ids.map(id => [id, on]))};
      store.set(this.key, this.chosen);
      changed();
    };
    let painted = "";
    this.paint = () => {
      const text = find.value.toLowerCase();
      const matching = this.known.filter(c => c.key.toLowerCase().includes(text));
      const now = JSON.stringify(matching.map(c => [c.id, this.shows(c.id)]));
      if (now === painted) return;
      painted = now;
      const focused = document.activeElement?.dataset?.column;
      list.replaceChildren(...["metrics", "params"].map(kind => {
        const those = matching.filter(c => c.kind === kind);
        if (!those.length) return "";
        return el("fieldset", null, el("legend", null, kind === "metrics" ? "Metrics" : "Parameters"),
          el("p", null, button("All", () => choose(those.map(c => c.id), true)), " ", button("None", () => choose(those.map(c => c.id), false))),
          those.slice(0, 500).map(c => el("label", {class: "check"},
            el("input", {type: "checkbox", checked: this.shows(c.id), data: {column: c.id}, onchange: e => choose([c.id], e.target.checked)}), c.key)));
      }));
      if (focused) list.querySelector(`[data-column="${CSS.escape(focused)}"]`)?.focus();
    };
    const reset = button("Reset", () => {
      this.chosen = null;
      store.set(this.key, null);
      changed();
    });
    return el("details", {class: "pop columns"}, el("summary", null, "Columns"), el("div", null, el("p", {class: "row"}, find, reset), list));
  }
}

export const byName = (a, b) => a.localeCompare(b, undefined, {numeric: true});
