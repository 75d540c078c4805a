// The histories of metrics as charts. A chart asks for its points when it comes
// into view.

import {el, number, store} from "./dom.js";
import * as api from "./api.js";
import {colour, legend, lineChart} from "./chart.js";
import {byName} from "./columns.js";

const POINTS = 1000;

// Curves shows every metric of some runs that has more than one point. Its
// element is .node; refresh takes newer states of the same runs.
export class Curves {
  constructor(runs, signal) {
    this.runs = runs;
    this.signal = signal;
    this.charts = new Map(); // key -> {node, points, version, seen}
    this.options = {axis: "step", log: false, weight: 0, ...store.get("curves", {})};
    this.observer = new IntersectionObserver(entries => {
      for (const e of entries) if (e.isIntersecting) this.see(e.target.dataset.metric);
    }, {rootMargin: "300px"});
    signal.addEventListener("abort", () => this.observer.disconnect());
    this.model = el("div", {class: "charts"});
    this.system = el("div", {class: "charts"});
    this.systemBox = el("details", {class: "system", hidden: true}, el("summary", null, "System metrics"), this.system);
    this.empty = el("p", {class: "quiet", hidden: true}, "No metric has a history.");
    this.node = el("div", {class: "curves"}, this.controls(), runs.length > 1 ? legend(runs) : null, this.model, this.empty, this.systemBox);
    this.refresh(runs);
  }

  controls() {
    const o = this.options, change = what => {
      Object.assign(o, what);
      store.set("curves", o);
      for (const key of this.charts.keys()) this.draw(key);
    };
    const axis = el("select", {"aria-label": "Horizontal axis", onchange: e => change({axis: e.target.value})},
      [["step", "by step"], ["relative", "by time since start"], ["wall", "by time"]].map(([v, t]) => el("option", {value: v, selected: o.axis === v}, t)));
    const shown = el("output", null, String(o.weight));
    const weight = el("input", {type: "range", min: 0, max: 0.99, step: 0.01, value: o.weight, oninput: e => { shown.textContent = e.target.value; change({weight: Number(e.target.value)}); }});
    const find = el("input", {type: "search", placeholder: "Find a metric", "aria-label": "Find a metric", oninput: e => {
      for (const [key, c] of this.charts) c.node.hidden = c.single || !key.toLowerCase().includes(e.target.value.toLowerCase());
    }});
    return el("div", {class: "tools"}, axis,
      el("label", {class: "check"}, "Smoothing", weight, shown),
      el("label", {class: "check"}, el("input", {type: "checkbox", checked: o.log, onchange: e => change({log: e.target.checked})}), "Logarithmic"), find);
  }

  refresh(runs) {
    this.runs = runs;
    const keys = [...new Set(runs.flatMap(r => [...r.metrics.keys()]))].sort(byName);
    for (const key of keys) {
      const version = JSON.stringify(runs.map(r => r.points.get(key)));
      let c = this.charts.get(key);
      if (!c) {
        const node = el("figure", {data: {metric: key}}, el("figcaption", null, key), el("div", {class: "plot waiting"}));
        c = {node, version: null, seen: false, single: false};
        this.charts.set(key, c);
        (key.startsWith("system/") ? this.system : this.model).append(node);
        this.observer.observe(node);
      }
      if (c.version !== version) {
        c.version = version;
        c.stale = true;
        if (c.seen) this.load(key);
      }
    }
    this.systemBox.hidden = !keys.some(k => k.startsWith("system/"));
    this.empty.hidden = keys.length > 0;
  }

  see(key) {
    const c = this.charts.get(key);
    if (c.seen) return;
    c.seen = true;
    this.load(key);
  }

  async load(key) {
    const c = this.charts.get(key);
    c.stale = false;
    try {
      c.points = await api.histories(this.runs.map(r => r.id), key, POINTS, this.signal);
      this.draw(key);
    } catch (err) {
      if (err.name !== "AbortError") c.node.lastChild.replaceChildren(el("p", {class: "problem"}, err.message));
    }
  }

  draw(key) {
    const c = this.charts.get(key);
    if (!c.points) return;
    c.single = [...c.points.values()].every(p => p.length < 2);
    c.node.hidden = c.single;
    this.empty.hidden = [...this.charts].some(([k, c]) => !c.single && !k.startsWith("system/"));
    if (c.single) return;
    const place = {step: m => Number(m.step), wall: m => Number(m.timestamp)};
    const series = this.runs.map((run, i) => {
      const points = c.points.get(run.id) ?? [], start = run.start || Number(points[0]?.timestamp);
      const x = place[this.options.axis] ?? (m => (Number(m.timestamp) - start) / 1000);
      return {name: run.name, colour: colour(i), points: points.map(m => ({x: x(m), y: number(m.value)})).sort((a, b) => a.x - b.x)};
    }).filter(s => s.points.length);
    c.node.lastChild.replaceWith(lineChart(series, {...this.options, title: key}));
  }
}
