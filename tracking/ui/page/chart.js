// Lines over an axis, drawn as SVG.

import {el, short, svg} from "./dom.js";

const W = 480, H = 250, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 30;

// Colours of runs, told apart on light and dark paper.
const COLOURS = ["#1f78c8", "#e0701a", "#2b9a4a", "#d33f49", "#8a63c9", "#a0694f", "#d860a8", "#1aa5b8", "#a3a024", "#808890"];
export const colour = i => COLOURS[i % COLOURS.length];

// ticks gives round numbers from low to high.
export function ticks(low, high, about) {
  const raw = (high - low) / about, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(f => f * power).find(s => s >= raw) ?? raw;
  const out = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9 && out.length < 50; v += step) out.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return out;
}

// scale maps values to pixels, evenly or by their logarithm.
export function scale(low, high, from, to, log) {
  const f = log ? Math.log10 : v => v;
  const a = f(low), b = f(high);
  const at = v => b === a ? (from + to) / 2 : from + (f(v) - a) / (b - a) * (to - from);
  at.ticks = n => {
    if (!log) return high > low ? ticks(low, high, n) : [low];
    const out = [];
    for (let e = Math.ceil(a - 1e-9); e <= b + 1e-9; e += Math.max(1, Math.round((b - a) / n))) out.push(10 ** e);
    return out.length > 1 ? out : [low, high];
  };
  return at;
}

// smooth is a moving average that weighs what is past with w; it begins at the
// first value and not at nought.
export function smooth(points, w) {
  let sum = 0, weight = 0;
  return points.map(p => {
    if (!Number.isFinite(p.y)) return p;
    sum = sum * w + p.y * (1 - w);
    weight = weight * w + (1 - w);
    return {...p, y: sum / weight};
  });
}

// nearest gives the point whose x is closest; points are in the order of x.
export function nearest(points, x) {
  let low = 0, high = points.length - 1;
  while (high - low > 1) {
    const mid = (low + high) >> 1;
    if (points[mid].x < x) low = mid;
    else high = mid;
  }
  return points.length && Math.abs(points[low].x - x) <= Math.abs(points[high].x - x) ? points[low] : points[high];
}

function path(points, x, y, shows) {
  let d = "", pen = false;
  for (const p of points) {
    if (!shows(p)) { pen = false; continue; }
    d += `${pen ? "L" : "M"}${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}${pen ? "" : "h0"}`; // h0: a point alone is a dot
    pen = true;
  }
  return d;
}

const AXES = {
  step: {title: "step", text: v => Math.abs(v) >= 1e4 ? short(v) : String(Number(v.toFixed(2)))},
  relative: {title: "time since the start", text: s => s < 120 ? `${Number(s.toFixed(1))} s` : s < 7200 ? `${Number((s / 60).toFixed(1))} min` : `${Number((s / 3600).toFixed(1))} h`},
  wall: {title: "time", text: (v, span) => new Date(v).toLocaleString(undefined, span > 864e5 * 2 ? {month: "short", day: "numeric"} : {hour: "2-digit", minute: "2-digit"})},
};

// lineChart draws series [{name, colour, points: [{x, y}]}], whose points are in
// the order of x. Options: axis ("step", "relative", "wall"), log, weight (of the
// smoothing, 0 to 1), title.
export function lineChart(series, {axis, log, weight, title}) {
  const shows = p => Number.isFinite(p.y) && (!log || p.y > 0);
  const lines = series.map(s => ({...s, line: weight > 0 ? smooth(s.points, weight) : s.points}));
  const drawn = lines.flatMap(s => s.points.filter(shows));
  if (!drawn.length) return el("p", {class: "quiet"}, log ? "nothing above zero" : "no finite values");
  const span = (get) => drawn.reduce(([a, b], p) => [Math.min(a, get(p)), Math.max(b, get(p))], [Infinity, -Infinity]);
  const [x0, x1] = span(p => p.x);
  let [y0, y1] = span(p => p.y);
  if (y0 === y1 && !log) { const pad = Math.abs(y0) * 0.1 || 1; y0 -= pad; y1 += pad; }
  const x = scale(x0, x1, LEFT, W - RIGHT), y = scale(y0, y1, H - BOTTOM, TOP + 4, log), kind = AXES[axis];

  const picture = svg("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": describe(title, lines, kind)});
  for (const v of y.ticks(5)) {
    picture.append(svg("line", {class: "grid", x1: LEFT, x2: W - RIGHT, y1: y(v), y2: y(v)}),
      svg("text", {class: "tick", x: LEFT - 6, y: y(v), dy: "0.32em", "text-anchor": "end"}, short(v)));
  }
  for (const v of x.ticks(axis === "wall" ? 4 : 6)) {
    picture.append(svg("text", {class: "tick", x: x(v), y: H - BOTTOM + 14, "text-anchor": "middle"}, kind.text(v, x1 - x0)));
  }
  picture.append(svg("line", {class: "axis", x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM, y2: H - BOTTOM}),
    svg("text", {class: "tick", x: W - RIGHT, y: H - 3, "text-anchor": "end"}, kind.title));
  for (const s of lines) {
    const few = s.points.filter(shows).length < 2;
    if (weight > 0 && !few) picture.append(svg("path", {class: "raw", d: path(s.points, x, y, shows), stroke: s.colour}));
    if (few) for (const p of s.points.filter(shows)) picture.append(svg("circle", {cx: x(p.x), cy: y(p.y), r: 3.5, fill: s.colour}));
    else picture.append(svg("path", {class: "curve", d: path(s.line, x, y, shows), stroke: s.colour, data: {series: s.name}}));
  }
  const box = el("div", {class: "plot"}, picture);
  hover(box, picture, lines, {x, y, x0, x1, kind, shows});
  return box;
}

const describe = (title, lines, kind) => `${title} over ${kind.title}: ` + lines.map(s => {
  const values = s.points.map(p => p.y).filter(Number.isFinite);
  return values.length ? `${s.name} ${values.length} points, from ${short(values[0])} to ${short(values.at(-1))}` : `${s.name} no points`;
}).join("; ");

// hover shows the values below the pointer.
function hover(box, picture, lines, {x, y, x0, x1, kind, shows}) {
  const rule = svg("line", {class: "rule", y1: TOP, y2: H - BOTTOM, visibility: "hidden"});
  const dots = lines.map(s => svg("circle", {r: 3.5, fill: s.colour, visibility: "hidden"}));
  picture.append(rule, ...dots);
  const tip = el("div", {class: "tip", hidden: true});
  box.append(tip);
  const hide = () => {
    tip.hidden = true;
    for (const o of [rule, ...dots]) o.setAttribute("visibility", "hidden");
  };
  picture.addEventListener("pointerleave", hide);
  picture.addEventListener("pointermove", e => {
    const r = picture.getBoundingClientRect(), px = (e.clientX - r.left) / r.width * W;
    const at = x1 > x0 ? x0 + (px - LEFT) / (W - LEFT - RIGHT) * (x1 - x0) : x0;
    const found = lines.map(s => nearest(s.line.filter(shows), at));
    const first = found.filter(Boolean).sort((a, b) => Math.abs(a.x - at) - Math.abs(b.x - at))[0];
    if (!first) { hide(); return; }
    rule.setAttribute("x1", x(first.x));
    rule.setAttribute("x2", x(first.x));
    rule.setAttribute("visibility", "visible");
    found.forEach((p, i) => {
      dots[i].setAttribute("visibility", p ? "visible" : "hidden");
      if (p) { dots[i].setAttribute("cx", x(p.x)); dots[i].setAttribute("cy", y(p.y)); }
    });
    tip.replaceChildren(el("b", null, `${kind.title} ${kind.text(first.x, x1 - x0)}`), ...found.flatMap((p, i) => p ? [el("span", {class: "key", vars: {"--colour": lines[i].colour}}, `${short(p.y)}  ${lines.length > 1 ? lines[i].name : ""}`)] : []).slice(0, 14));
    tip.hidden = false;
    tip.classList.toggle("left", px > W / 2);
    tip.style.setProperty("--x", `${(x(first.x) / W * 100).toFixed(1)}%`);
  });
}

// legend names the runs by their colours.
export const legend = runs => el("ul", {class: "legend"}, runs.map((r, i) => el("li", {class: "key", vars: {"--colour": colour(i)}}, el("a", {href: r.address}, r.name))));
