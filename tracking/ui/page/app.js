// What the address names is shown. An address is MLflow's:
//
//   #/experiments                         all experiments
//   #/experiments/ID/runs?searchFilter=   the runs of one
//   #/experiments/ID/runs/RUN             one run; .../artifacts and the like too
//   #/compare-runs?runs=["A","B"]         some runs side by side

import {el, problem, store} from "./dom.js";
import * as api from "./api.js";
import {showExperiments} from "./experiments.js";
import {showRuns} from "./runs.js";
import {showRun} from "./run.js";
import {showComparison} from "./compare.js";

const main = document.getElementById("main");
const where = document.getElementById("where");
let shown = null; // {place, page, controller}

function parse() {
  const [path, query] = location.hash.replace(/^#/, "").split(/\?(.*)/s);
  return {parts: path.split("/").filter(Boolean).map(p => { try { return decodeURIComponent(p); } catch { return p; } }), query: new URLSearchParams(query ?? "")};
}

function view({parts}) {
  const [a, id, b, run] = parts;
  if (a === "experiments" && id && run) return {place: `run ${run}`, show: showRun};
  if (a === "experiments" && id) return {place: `runs ${id}`, show: showRuns};
  if (a === "compare-runs") return {place: "comparison", show: showComparison};
  return {place: "experiments", show: showExperiments};
}

async function go() {
  if (location.hash === "#main") return; // the link that skips the head
  const address = parse(), {place, show} = view(address);
  if (shown?.place === place && shown.page?.update) {
    shown.page.update(address);
    return;
  }
  shown?.controller.abort();
  const controller = new AbortController();
  const mine = shown = {place, controller, page: null};
  main.replaceChildren(el("p", {class: "quiet loading"}, "Loading…"));
  try {
    const context = {...address, signal: controller.signal, crumbs, every: (ms, f) => every(ms, f, controller.signal)};
    const page = await show(main, context);
    if (shown !== mine) return;
    mine.page = page;
    main.dataset.shown = place;
  } catch (err) {
    if (shown === mine && err.name !== "AbortError") main.replaceChildren(problem(err));
  }
}

// every calls f again and again while the page is looked at, until the signal.
function every(ms, f, signal) {
  let timer;
  const tick = async () => {
    if (!document.hidden) {
      try { await f(); } catch (err) { if (err.name === "AbortError") return; } // next time, perhaps
    }
    if (!signal.aborted) timer = setTimeout(tick, typeof ms === "function" ? ms() : ms);
  };
  timer = setTimeout(tick, typeof ms === "function" ? ms() : ms);
  signal.addEventListener("abort", () => clearTimeout(timer));
}

// crumbs fills the head: the experiment as a list to choose from, and what
// follows it.
async function crumbs(experiment, ...rest) {
  document.title = [...rest.map(r => typeof r === "string" ? r : r.textContent), "ctrx"].join(" · ");
  const items = [];
  if (experiment) {
    const all = await api.experiments();
    const choose = el("select", {"aria-label": "Experiment", onchange: e => { location.hash = `#/experiments/${e.target.value}/runs`; }},
      all.map(x => el("option", {value: x.experiment_id, selected: x.experiment_id === experiment}, x.name)));
    if (!all.some(x => x.experiment_id === experiment)) choose.prepend(el("option", {value: experiment, selected: true}, `experiment ${experiment}`));
    const name = choose.selectedOptions[0]?.textContent;
    document.title = [...rest.map(r => typeof r === "string" ? r : r.textContent), name, "ctrx"].join(" · ");
    items.push(choose);
    if (rest.length) items.push(el("a", {href: `#/experiments/${experiment}/runs`}, "Runs"));
    store.set("experiment", experiment);
  }
  items.push(...rest.map(r => typeof r === "string" ? el("span", {"aria-current": "page"}, r) : r));
  where.replaceChildren(...items);
}

// A list that hangs open closes when one does something else.
function closeLists(target) {
  for (const list of document.querySelectorAll("details.pop[open]")) if (!list.contains(target)) list.open = false;
}

addEventListener("pointerdown", e => closeLists(e.target));
addEventListener("keydown", e => { if (e.key === "Escape") closeLists(null); });
addEventListener("hashchange", go);
go();
