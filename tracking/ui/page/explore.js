// Many runs in one picture: parallel coordinates, and any number against any
// other.

import {el, number, numeric, short, svg} from "./dom.js";
import {scale, ticks} from "./chart.js";

const W = 1100, H = 320, TOP = 46, BOTTOM = 18;

// axisOf makes an axis of a column: numbers where all values are numbers, else
// the texts at even distances. null: nothing to draw.
function axisOf(column, runs) {
  const raw = runs.map(r => r[column.kind].get(column.key));
  const given = raw.filter(v => v !== undefined);
  if (!given.length) return null;
  if (column.kind === "metrics" || given.every(numeric)) {
    const values = raw.map(v => v === undefined ? NaN : number(v));
    const finite = values.filter(Number.isFinite);
    if (!finite.length) return null;
    return {column, values, low: Math.min(...finite), high: Math.max(...finite), words: null};
  }
  const words = [...new Set(given)].sort();
  if (words.length > 30) return null;
  return {column, values: raw.map(v => v === undefined ? NaN : words.indexOf(v)), low: 0, high: Math.max(words.length - 1, 1), words};
}

// tone goes from blue to orange with a share between 0 and 1.
const tone = share => Number.isFinite(share) ? `hsl(${(210 - 180 * share).toFixed(0)} 70% ${(52 - 6 * share).toFixed(0)}%)` : "#888";

const label = column => `${column.key}`;

export function explore(runs, columns) {
  const axes = columns.known.map(c => axisOf(c, runs)).filter(Boolean);
  const metrics = axes.filter(a => a.column.kind === "metrics" && !a.column.key.startsWith("system/"));
  if (runs.length < 2 || !axes.length) return el("p", {class: "empty"}, "There is too little to draw: it takes two runs with numbers.");
  const shown = axes.filter(a => columns.shows(a.column.id) && (a.low < a.high || a.words?.length > 1));
  // Parameters left, results right, as one reads it.
  shown.sort((a, b) => Number(a.column.kind === "metrics") - Number(b.column.kind === "metrics"));
  const pick = (label, chosen, from, change) => el("label", {class: "check"}, label, el("select", {onchange: e => change(from[e.target.value])},
    from.map((a, i) => el("option", {value: i, selected: a === chosen}, a.column.key))));
  // The metric that most runs have, over a parameter that differs in most.
  const most = (list, count) => list.reduce((best, a) => !best || count(a) > count(best) ? a : best, null);
  const state = {hue: most(metrics, a => a.values.filter(Number.isFinite).length) ?? axes[0]};
  state.x = most(shown.filter(a => a.column.kind === "params"), a => a.words ? 0 : new Set(a.values.filter(Number.isFinite)).size) ?? axes[0];
  state.y = state.hue;
  const hue = el("span", {class: "hue quiet"});
  const lines = el("div", {class: "wide parallel", tabindex: "0"}), dots = el("div", {class: "scatter"}), name = el("p", {class: "quiet name-of", role: "status"}, "Point at a line or a dot to see its run.");

  function draw() {
    const share = i => state.hue.high > state.hue.low ? (state.hue.values[i] - state.hue.low) / (state.hue.high - state.hue.low) : 0.5;
    hue.replaceChildren(...state.hue.words ? [] : [short(state.hue.low), el("i"), short(state.hue.high)]);
    const light = (i, on) => {
      for (const node of box.querySelectorAll(`[data-line="${i}"]`)) node.classList.toggle("lit", on);
      name.replaceChildren(on ? runs[i].name : "Point at a line or a dot to see its run.");
    };
    const mark = (node, i) => svg("a", {href: runs[i].address, "aria-label": runs[i].name, data: {line: i}, onpointerenter: () => light(i, true), onpointerleave: () => light(i, false), onfocus: () => light(i, true), onblur: () => light(i, false)}, node);
    lines.replaceChildren(shown.length > 1 ? parallel(shown, runs, i => tone(share(i)), mark) : el("p", {class: "quiet"}, "Only one column differs."));
    dots.replaceChildren(scatter(state.x, state.y, runs, i => tone(share(i)), mark));
  }

  const box = el("div", {class: "explore"},
    el("div", {class: "tools"}, pick("Colour by", state.hue, axes, a => { state.hue = a; draw(); }), hue), lines,
    el("div", {class: "tools"}, pick("Across", state.x, axes, a => { state.x = a; draw(); }), pick("Up", state.y, axes, a => { state.y = a; draw(); })), dots, name);
  draw();
  return box;
}

// place gives the pixel of a value on an axis.
const place = (axis, from, to) => scale(axis.low, axis.high === axis.low ? axis.low + 1 : axis.high, from, to);

function tickTexts(axis, about) {
  if (axis.words) return axis.words.map((w, i) => [i, w]);
  if (axis.low === axis.high) return [[axis.low, short(axis.low)]];
  return ticks(axis.low, axis.high, about).map(v => [v, short(v)]);
}

const cut = (text, n) => text.length > n ? `${text.slice(0, n - 1)}…` : text;

function parallel(axes, runs, hue, mark) {
  const width = Math.max(W, axes.length * 120), x = i => 60 + i * (width - 140) / Math.max(axes.length - 1, 1);
  const picture = svg("svg", {viewBox: `0 0 ${width} ${H}`, vars: {"min-width": `${axes.length * 90}px`}, role: "group", "aria-label": `Parallel coordinates of ${runs.length} runs`});
  const ys = axes.map(a => place(a, H - BOTTOM, TOP));
  runs.forEach((run, r) => {
    let d = "", pen = false;
    axes.forEach((a, i) => {
      const v = a.values[r];
      if (!Number.isFinite(v)) { pen = false; return; }
      d += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${ys[i](v).toFixed(1)}`;
      pen = true;
    });
    picture.append(mark(svg("path", {class: "line", d, stroke: hue(r)}, svg("title", null, run.name)), r));
  });
  axes.forEach((a, i) => {
    picture.append(svg("line", {class: "axis", x1: x(i), x2: x(i), y1: TOP, y2: H - BOTTOM}),
      svg("text", {class: `head ${a.column.kind}`, x: x(i), y: i % 2 ? 34 : 18, "text-anchor": "middle"}, cut(label(a.column), 22), svg("title", null, a.column.key)));
    for (const [v, text] of tickTexts(a, 5)) picture.append(svg("text", {class: "tick", x: x(i) + 6, y: ys[i](v), dy: "0.32em"}, cut(text, 14)));
  });
  return picture;
}

function scatter(ax, ay, runs, hue, mark) {
  const w = 560, h = 320, x = place(ax, 66, w - 20), y = place(ay, h - 40, 14);
  const picture = svg("svg", {viewBox: `0 0 ${w} ${h}`, role: "group", "aria-label": `${ay.column.key} against ${ax.column.key}`});
  for (const [v, text] of tickTexts(ay, 5)) picture.append(svg("line", {class: "grid", x1: 66, x2: w - 20, y1: y(v), y2: y(v)}), svg("text", {class: "tick", x: 60, y: y(v), dy: "0.32em", "text-anchor": "end"}, cut(text, 10)));
  for (const [v, text] of tickTexts(ax, 6)) picture.append(svg("text", {class: "tick", x: x(v), y: h - 24, "text-anchor": "middle"}, cut(text, 12)));
  picture.append(svg("line", {class: "axis", x1: 66, x2: w - 20, y1: h - 40, y2: h - 40}),
    svg("text", {class: `head ${ax.column.kind}`, x: w - 20, y: h - 6, "text-anchor": "end"}, cut(label(ax.column), 40)));
  runs.forEach((run, i) => {
    if (!Number.isFinite(ax.values[i]) || !Number.isFinite(ay.values[i])) return;
    picture.append(mark(svg("circle", {class: "dot", cx: x(ax.values[i]), cy: y(ay.values[i]), r: 5, fill: hue(i)}, svg("title", null, `${run.name}: ${short(ax.values[i])}, ${short(ay.values[i])}`)), i));
  });
  return picture;
}
