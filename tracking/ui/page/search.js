// The search behind the table: what was typed and clicked becomes a question to
// the API, and child runs are put below their parents.

import {el, number, numeric} from "./dom.js";
import * as api from "./api.js";
import {byName} from "./columns.js";

// Runs of a page, and child runs that are looked for at once.
export const PAGE = 100;
const CHILDREN = 1000;
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
  const value = r => {
    if (entity !== "metrics") return entity === "params" ? r.params.get(name) : {run_name: r.name, status: r.status}[name] ?? r.start;
    const n = number(r.metrics.get(name) ?? NaN);
    return Number.isNaN(n) ? undefined : n;
  };
  return (a, b) => {
    const x = value(a), y = value(b);
    if (x === undefined || y === undefined) return Number(x === undefined) - Number(y === undefined);
    const numbers = typeof x === "number" || numeric(x) && numeric(y);
    const by = numbers ? Number(x) - Number(y) || 0 : byName(x, y);
    return ascending ? by : -by;
  };
}

// grouped tells whether child runs stand below their parents: a filter finds all
// that match, wherever they stand.
export const grouped = query => !query.flat && !query.filter && !query.deleted;

// searchRuns gives a page of an experiment: {runs, next, children, more}. children
// are the runs below a run's id; more tells that not all of them were found. token
// is the next of the page before, open has the ids of runs whose children are
// wanted in any case.
export async function searchRuns(id, query, token, open, signal) {
  const view = query.deleted ? "DELETED_ONLY" : "ACTIVE_ONLY";
  const page = await api.search({
    experiment_ids: [id], filter: grouped(query) ? TOP : question(query.filter), run_view_type: view,
    max_results: PAGE, order_by: order(query.key, query.ascending), page_token: token,
  }, signal);
  const result = {runs: page.runs, next: page.next, children: new Map(), more: false, whole: token === undefined && !page.next};
  if (grouped(query)) await addChildren(result, id, query, open, signal);
  // The server orders parameters as texts; a whole list can be put right.
  else if (query.key.startsWith("params.") && result.whole) result.runs.sort(comparison(query.key, query.ascending));
  return result;
}

// addChildren finds the child runs of a page. Children begin after their parents,
// so those that began since the oldest of the page are asked for, and where these
// are too many, those of the parents that are open. On a page that is the whole
// list, a child whose parent is gone stands by itself.
async function addChildren(result, id, query, open, signal) {
  if (!result.whole && !result.runs.length) return;
  const ask = condition => api.search({experiment_ids: [id], filter: condition, max_results: CHILDREN, order_by: ["attributes.start_time ASC"]}, signal);
  const since = result.whole ? 0 : Math.min(...result.runs.map(r => r.start));
  const below = await ask(`tags.\`mlflow.parentRunId\` IS NOT NULL and attributes.start_time >= ${since}`);
  result.more = Boolean(below.next);
  const found = new Map(below.runs.map(r => [r.id, r]));
  if (result.more) {
    for (const r of result.runs.filter(r => open.has(r.id) && /^[0-9a-f]+$/.test(r.id))) {
      for (const child of (await ask(`tags.\`mlflow.parentRunId\` = '${r.id}'`)).runs) found.set(child.id, child);
    }
  }
  const known = new Set([...result.runs.map(r => r.id), ...found.keys()]), {whole} = result;
  for (const r of found.values()) {
    if (!whole || known.has(r.parent)) result.children.set(r.parent, [...result.children.get(r.parent) ?? [], r]);
    else result.runs.push(r);
  }
  if (whole) result.runs.sort(comparison(query.key, query.ascending));
  for (const list of result.children.values()) list.sort(comparison(query.key, query.ascending));
}

// help is what a filter may say.
export function help() {
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
