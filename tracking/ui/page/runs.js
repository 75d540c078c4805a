// The runs of an experiment: filter, order, pages, child runs, selection. What
// is looked at stands in the address, so that it can be sent to a colleague.

import {button, el, numeric, problem, store, tell} from "./dom.js";
import * as api from "./api.js";
import {byName, Columns} from "./columns.js";
import {runTable} from "./runtable.js";
import {explore} from "./explore.js";

const PAGE = 100, CHILDREN = 1000;
const TOP = "tags.`mlflow.parentRunId` IS NULL";

// question turns what was typed into a search expression: a plain word is a
// part of the name.
function question(text) {
  const t = text.trim();
  if (!t || /[=<>]|\b(like|ilike|in|is)\b/i.test(t)) return t;
  return `attributes.run_name ILIKE '%${t.replaceAll("'", "")}%'`;
}

// order gives the order_by of the API for a column such as "metrics.auc".
function order(key, ascending) {
  const [, entity, name] = /^(metrics|params|attributes)\.(.*)$/s.exec(key) ?? [];
  if (!entity) return ["attributes.start_time DESC"];
  const field = entity === "attributes" ? key : api.quoted(entity, name);
  return [`${field} ${ascending ? "ASC" : "DESC"}`];
}

// comparison orders runs by a column, those without a value last.
function comparison(key, ascending) {
  const [, entity, name] = /^(metrics|params|attributes)\.(.*)$/s.exec(key) ?? [];
  const value = r => entity === "attributes" ? {run_name: r.name, status: r.status}[name] ?? r.start : r[entity]?.get(name);
  return (a, b) => {
    const x = value(a), y = value(b);
    if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined);
    const by = numeric(x) && numeric(y) ? Number(x) - Number(y) : byName(String(x), String(y));
    return ascending ? by : -by;
  };
}

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

  // ---- asking ----
  const grouped = () => !query.flat && !query.filter && !query.deleted;

  async function ask() {
    const filter = question(query.filter), view = query.deleted ? "DELETED_ONLY" : "ACTIVE_ONLY", by = order(query.key, query.ascending);
    const page = await api.search({
      experiment_ids: [id], filter: grouped() ? TOP : filter, run_view_type: view,
      max_results: PAGE, order_by: by, page_token: pages[at],
    }, signal);
    const result = {runs: page.runs, next: page.next, children: new Map(), more: false};
    if (grouped()) await addChildren(result, view);
    // The server orders parameters as texts; a whole list can be put right.
    else if (query.key.startsWith("params.") && !result.next && at === 0) result.runs.sort(comparison(query.key, query.ascending));
    return result;
  }

  // addChildren finds the child runs of a page. Children begin after their
  // parents, so those that began since the oldest of the page are asked for, and
  // where these are too many, those of the parents that are open. On a page that
  // is the whole list, a child whose parent is gone stands by itself.
  async function addChildren(result, view) {
    const ask = condition => api.search({
      experiment_ids: [id], filter: condition, run_view_type: view, max_results: CHILDREN, order_by: ["attributes.start_time ASC"],
    }, signal);
    const whole = at === 0 && !result.next;
    const since = whole ? 0 : Math.min(...result.runs.map(r => r.start));
    const below = await ask(`tags.\`mlflow.parentRunId\` IS NOT NULL and attributes.start_time >= ${since}`);
    result.more = Boolean(below.next);
    const found = new Map(below.runs.map(r => [r.id, r]));
    if (result.more) {
      for (const r of result.runs.filter(r => open.has(r.id) && /^[0-9a-f]+$/.test(r.id))) {
        for (const child of (await ask(`tags.\`mlflow.parentRunId\` = '${r.id}'`)).runs) found.set(child.id, child);
      }
    }
    const known = new Set([...result.runs.map(r => r.id), ...found.keys()]);
    for (const r of found.values()) {
      if (!whole || known.has(r.parent)) result.children.set(r.parent, [...result.children.get(r.parent) ?? [], r]);
      else result.runs.push(r);
    }
    if (whole) result.runs.sort(comparison(query.key, query.ascending));
    for (const list of result.children.values()) list.sort(comparison(query.key, query.ascending));
  }

  async function load() {
    const mine = ++asked;
    main.setAttribute("aria-busy", "true");
    try {
      const result = await ask();
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
    else runTable(body, {...last, columns, selected, open, query, grouped: grouped(), sort, select, toggle});
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

function help() {
  const line = (code, text) => el("tr", null, el("td", null, el("code", null, code)), el("td", null, text));
  return el("details", {class: "pop"}, el("summary", null, "Filter help"), el("div", null, el("table", null, el("tbody", null,
    line("amber", "a part of the name"),
    line("metrics.auc > 0.7", "= != < <= > >="),
    line("params.model = 'xgb'", "= != LIKE ILIKE; text stands in quotes"),
    line("metrics.`val loss` < 1", "odd names stand in back quotes"),
    line("tags.`mlflow.user` ILIKE '%ann%'", "% is any text"),
    line("attributes.status = 'FAILED'", "also run_name, start_time, end_time, user_id"),
    line("params.lr IS NOT NULL", "has a value"),
    line("… and …", "both; there is no or")))));
}
