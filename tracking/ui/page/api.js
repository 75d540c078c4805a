// The REST API of the server that this page comes from. Every call takes an
// AbortSignal, so that what a page asked for ends with the page.

const root = new URL(".", document.baseURI.split(/[?#]/)[0]);
const at = path => new URL(path, root);

async function answer(response) {
  if (response.ok) return response.json();
  let text = "";
  try { text = (await response.json()).message; } catch { /* no JSON: the status will do */ }
  const err = new Error(text || `the server answers ${response.status}`);
  err.status = response.status;
  throw err;
}

async function send(url, options) {
  try {
    return await fetch(url, options);
  } catch (err) {
    if (err.name === "AbortError") throw err;
    throw new Error("The server does not answer. Is `ctrx ui` still running?");
  }
}

export async function get(call, query, signal) {
  const url = at(`ajax-api/2.0/mlflow/${call}`);
  for (const [k, v] of Object.entries(query ?? {})) for (const one of [v].flat()) if (one !== undefined) url.searchParams.append(k, one);
  return answer(await send(url, {signal}));
}

export async function post(call, body, signal) {
  const url = at(`ajax-api/2.0/mlflow/${call}`);
  return answer(await send(url, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body), signal}));
}

// experiments gives all active experiments, the last changed first.
export async function experiments(signal) {
  const all = [];
  for (let token; ;) {
    const page = await get("experiments/search", {max_results: 1000, order_by: "last_update_time DESC", page_token: token}, signal);
    all.push(...page.experiments ?? []);
    token = page.next_page_token;
    if (!token || all.length >= 10000) return all;
  }
}

// Run is a run with its lists as maps.
export class Run {
  constructor(raw) {
    this.raw = raw;
    this.info = raw.info;
    this.id = raw.info.run_id ?? raw.info.run_uuid;
    this.name = raw.info.run_name || this.id.slice(0, 8);
    this.status = raw.info.status;
    this.start = Number(raw.info.start_time) || 0;
    this.end = Number(raw.info.end_time) || 0;
    const pairs = list => new Map((list ?? []).map(p => [p.key, p.value]));
    this.params = pairs(raw.data?.params);
    this.metrics = pairs(raw.data?.metrics);
    this.tags = pairs(raw.data?.tags);
    this.points = new Map((raw.data?.metrics ?? []).map(m => [m.key, m]));
    this.datasets = raw.inputs?.dataset_inputs ?? [];
  }
  get live() { return this.status === "RUNNING"; }
  get deleted() { return this.info.lifecycle_stage === "deleted"; }
  get parent() { return this.tags.get("mlflow.parentRunId"); }
  get took() { return this.start ? (this.end || (this.live ? Date.now() : NaN)) - this.start : NaN; }
  get address() { return `#/experiments/${this.info.experiment_id}/runs/${this.id}`; }
}

// search gives {runs, next}.
export async function search(query, signal) {
  const page = await post("runs/search", query, signal);
  return {runs: (page.runs ?? []).map(r => new Run(r)), next: page.next_page_token};
}

export const run = async (id, signal) => new Run((await get("runs/get", {run_id: id}, signal)).run);

// histories gives the points of one metric of several runs, at most limit of
// each, as a map from run id to [{step, timestamp, value}].
export async function histories(ids, key, limit, signal) {
  const out = new Map(ids.map(id => [id, []]));
  for (let i = 0; i < ids.length; i += 100) {
    const page = await get("metrics/get-history-bulk-interval", {run_ids: ids.slice(i, i + 100), metric_key: key, max_results: limit}, signal);
    for (const m of page.metrics ?? []) out.get(m.run_id)?.push(m);
  }
  return out;
}

export const files = (id, path, signal) => get("artifacts/list", {run_id: id, path}, signal);

// fileAddress is where the content of an artifact is.
export function fileAddress(id, path) {
  const url = at("get-artifact");
  url.searchParams.set("run_uuid", id);
  url.searchParams.set("path", path);
  return url.href;
}

// head reads the first bytes of an artifact: {bytes, whole}.
export async function head(id, path, limit, signal) {
  const response = await send(fileAddress(id, path), {headers: {Range: `bytes=0-${limit - 1}`}, signal});
  if (response.status === 416) return {bytes: new Uint8Array(), whole: true}; // an empty file has no range
  if (!response.ok) return answer(response);
  const reader = response.body.getReader(), parts = [];
  let length = 0, ended = false;
  while (length < limit) {
    const {done, value} = await reader.read();
    if (done) { ended = true; break; }
    parts.push(value);
    length += value.length;
  }
  if (!ended) await reader.cancel();
  const bytes = new Uint8Array(Math.min(length, limit));
  let at = 0;
  for (const p of parts) {
    const room = p.subarray(0, bytes.length - at);
    bytes.set(room, at);
    at += room.length;
  }
  const total = Number(/\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "")?.[1] ?? (ended ? length : Infinity));
  return {bytes, whole: total <= bytes.length};
}

// key quotes the key of a metric, parameter or tag for a filter.
export function quoted(entity, key) {
  const q = key.includes("`") ? '"' : "`";
  return `${entity}.${q}${key}${q}`;
}
