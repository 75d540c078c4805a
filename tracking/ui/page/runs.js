// The runs of an experiment: filter, order, pages, child runs, selection. What
// is looked at stands in the address, so that it can be sent to a colleague.

import {button, el, problem, store, tell} from "./dom.js";
import * as api from "./api.js";
import {Columns} from "./columns.js";
import {runTable} from "./runtable.js";
import {explore} from "./explore.js";
import {grouped, help, PAGE, searchRuns} from "./search.js";

export async function showRuns(main, context) {
  const {signal, crumbs, every} = context;
  const id = context.parts[1];
  crumbs(id).catch(() => {});
  const columns = new Columns(id);
  const selected = new Map(), open = new Set(store.get("open", []));
  let query = read(context), pages = [undefined], at = 0, seen = "", last = null, asked = 0;

  function read({query: q}) {
    return {
      filter: q.get("searchFilter") ?? "", key: q.get("orderByKey") ?? "attributes.start_time",
      ascending: q.get("orderByAsc") === "true", flat: q.get("flat") === "true", deleted: q.get("lifecycleFilter") === "Deleted",
      chart: q.get("compareRunsMode") === "CHART",
    };
  }

  function change(what) {
    const next = {...query, ...what}, q = new URLSearchParams();
    if (next.filter) q.set("searchFilter", next.filter);
    if (next.key !== "attributes.start_time" || next.ascending) { q.set("orderByKey", next.key); q.set("orderByAsc", next.ascending); }
    if (next.flat) q.set("flat", "true");
    if (next.deleted) q.set("lifecycleFilter", "Deleted");
    if (next.chart) q.set("compareRunsMode", "CHART");
    location.hash = `#/experiments/${id}/runs${q.size ? `?${q}` : ""}`;
  }

  // ---- the head of the page ----
  const field = el("input", {type: "search", id: "filter", spellcheck: "false", autocomplete: "off", placeholder: "a name, or metrics.auc > 0.7 and params.model = 'xgb'", "aria-describedby": "filter-error"});
  const wrong = el("p", {id: "filter-error", class: "problem", role: "alert", hidden: true});
  const form = el("form", {class: "filter", role: "search", onsubmit: e => { e.preventDefault(); change({filter: field.value.trim()}); }},
    el("label", {for: "filter", class: "hide"}, "Filter"), field, el("button", {type: "submit"}, "Filter"));
  field.addEventListener("search", () => { if (!field.value) change({filter: ""}); });
  const nested = el("input", {type: "checkbox", onchange: e => change({flat: !e.target.checked})});
  const deleted = el("input", {type: "checkbox", onchange: e => change({deleted: e.target.checked})});
  const mode = button("Chart", () => change({chart: !query.chart}), {class: "mode"});
  const tools = el("div", {class: "tools"}, form,
    el("label", {class: "check"}, nested, "Group child runs"), el("label", {class: "check"}, deleted, "Deleted"),
    mode, columns.chooser(() => draw()), help());
  const body = el("div", {class: "body"});
  const back = button("‹ Newer", () => turn(-1)), forth = button("Older ›", () => turn(1));
  const count = el("span", {class: "count", role: "status"});
  const pager = el("div", {class: "pager"}, back, count, forth);
  const compare = el("a", {class: "button primary", href: "#"}, "Compare");
  const remove = button("Delete", () => setStage());
  const picked = el("span");
  const bar = el("div", {class: "selection", hidden: true, role: "region", "aria-label": "Selected runs"}, picked, compare, remove,
    button("Clear", () => { selected.clear(); draw(); }));
  main.replaceChildren(el("h1", {class: "hide"}, "Runs"), tools, wrong, body, pager, bar);

  function showControls() {
    if (document.activeElement !== field) field.value = query.filter;
    nested.checked = !query.flat && !query.filter;
    nested.disabled = Boolean(query.filter);
    deleted.checked = query.deleted;
    mode.textContent = query.chart ? "Table" : "Chart";
  }

  function turn(by) {
    at += by;
    load().then(() => main.querySelector(".wide")?.scrollTo(0, 0), () => {});
  }

  async function load() {
    const mine = ++asked;
    main.setAttribute("aria-busy", "true");
    try {
      const result = await searchRuns(id, query, pages[at], open, signal);
      if (mine !== asked) return;
      wrong.hidden = true;
      const text = JSON.stringify([query, at, result.runs.map(r => r.raw), [...result.children.values()].flat().map(r => r.raw)]);
      if (result.next) pages[at + 1] = result.next;
      last = result;
      for (const r of all()) if (selected.has(r.id)) selected.set(r.id, r);
      if (text !== seen) draw();
      seen = text;
    } catch (err) {
      if (mine !== asked || err.name === "AbortError") throw err;
      wrong.textContent = err.message;
      wrong.hidden = false;
      if (!last) body.replaceChildren();
    } finally {
      if (mine === asked) main.removeAttribute("aria-busy");
    }
  }

  const all = () => [...last.runs, ...[...last.children.values()].flat()];

  // ---- showing ----
  function draw() {
    if (!last) return;
    showControls();
    columns.learn(all());
    if (!last.runs.length && at === 0) body.replaceChildren(nothing());
    else if (query.chart) body.replaceChildren(explore(selected.size > 1 ? [...selected.values()] : all(), columns));
    else runTable(body, {...last, columns, selected, open, query, grouped: grouped(query), sort, select, toggle});
    back.disabled = at === 0;
    forth.disabled = !last.next;
    const first = at * PAGE + 1, end = at * PAGE + last.runs.length;
    count.textContent = last.runs.length ? `${first}–${end}${last.next || at ? "" : last.runs.length === 1 ? " run" : " runs"}` : "";
    pager.hidden = at === 0 && !last.next && last.runs.length < 10;
    showSelection();
  }

  function showSelection() {
    bar.hidden = selected.size === 0;
    picked.textContent = `${selected.size} selected`;
    compare.href = `#/compare-runs?runs=${encodeURIComponent(JSON.stringify([...selected.keys()]))}&experiments=${encodeURIComponent(JSON.stringify([id]))}`;
    compare.hidden = selected.size < 2;
    remove.textContent = query.deleted ? "Restore" : "Delete";
  }

  function nothing() {
    if (query.filter) return el("p", {class: "empty"}, "No run matches this filter.");
    if (query.deleted) return el("p", {class: "empty"}, "No run is deleted.");
    return el("div", {class: "empty"}, el("p", null, "No runs yet. Make one:"), el("code", null, "ctrx exp run"));
  }

  const sort = key => change(query.key === key ? {ascending: !query.ascending} : {key, ascending: false});
  function select(run, on) {
    if (on) selected.set(run.id, run);
    else selected.delete(run.id);
    if (query.chart) draw();
    showSelection();
  }
  function toggle(run) {
    if (!open.delete(run.id)) open.add(run.id);
    store.set("open", [...open].slice(-500));
    draw();
    if (last.more && open.has(run.id)) load().catch(() => {});
  }

  async function setStage() {
    const call = query.deleted ? "runs/restore" : "runs/delete", n = selected.size;
    if (!query.deleted && !confirm(`Delete ${n} ${n === 1 ? "run" : "runs"}? They can be restored under “Deleted”.`)) return;
    try {
      for (const run of [...selected.values()]) {
        await api.post(call, {run_id: run.id}, signal);
        selected.delete(run.id);
      }
      tell(query.deleted ? "Restored" : "Deleted");
    } catch (err) {
      tell(err.message);
    }
    await load();
    draw();
  }

  await load();
  if (!last && !wrong.hidden) showControls();
  every(() => last && all().some(r => r.live) ? 3000 : 10000, load);
  return {
    update(address) {
      const next = read(address), same = next.filter === query.filter && next.key === query.key && next.ascending === query.ascending && next.flat === query.flat && next.deleted === query.deleted;
      if (next.deleted !== query.deleted) selected.clear();
      query = next;
      if (same) { draw(); return; }
      pages = [undefined];
      at = 0;
      load().then(showControls, err => { if (err.name !== "AbortError") main.replaceChildren(problem(err)); });
    },
  };
}
