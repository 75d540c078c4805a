// One run: what it was given, what came out, its curves, files and commands.

import {badge, button, copyable, duration, el, moment, short, tell} from "./dom.js";
import * as api from "./api.js";
import {Curves} from "./curves.js";
import {artifacts} from "./artifacts.js";
import {byName, OUTPUT, STAGE} from "./columns.js";

export async function showRun(main, {parts, signal, crumbs, every}) {
  const id = parts[3];
  let run = await api.run(id, signal), seen = JSON.stringify(run.raw);
  crumbs(run.info.experiment_id, run.name).catch(() => {});
  const head = el("div"), tables = el("div", {class: "columns"}), below = el("div"), children = el("div");
  const curves = new Curves([run], signal);

  function draw() {
    head.replaceChildren(...headOf(run, signal));
    tables.replaceChildren(
      el("section", null, el("h2", null, `Metrics (${run.metrics.size})`), metricsOf(run)),
      el("section", null, el("h2", null, `Parameters (${run.params.size})`), pairs(run.params, "parameter")));
    below.replaceChildren(...datasetsOf(run), ...tagsOf(run));
  }

  draw();
  main.replaceChildren(head, tables, el("section", null, el("h2", null, "Curves"), curves.node), children,
    el("section", null, el("h2", null, "Artifacts"), artifacts(run, signal)), below);
  showChildren(children, run, signal).catch(() => {});
  every(() => run.live ? 2000 : 15000, async () => {
    const next = await api.run(id, signal), text = JSON.stringify(next.raw);
    run = next;
    if (text === seen && !run.live) return;
    if (text !== seen && !main.querySelector("dialog[open]")) draw();
    else head.querySelector(".took")?.replaceChildren(duration(run.took));
    seen = text;
    curves.refresh([run]);
  });
  return {};
}

function headOf(run, signal) {
  const fact = (name, ...value) => el("div", null, el("dt", null, name), el("dd", null, ...value));
  const facts = [
    fact("Status", badge(run.status), run.deleted ? " (deleted)" : ""),
    fact("Started", moment(run.start)),
    fact("Took", el("span", {class: "took"}, duration(run.took) || "–")),
    fact("Run", el("code", null, run.id)),
  ];
  const user = run.info.user_id || run.tags.get("mlflow.user"), source = run.tags.get("mlflow.source.name");
  if (user) facts.push(fact("User", user));
  if (source) facts.push(fact("Source", el("code", null, source)));
  const commit = run.tags.get("mlflow.source.git.commit");
  if (commit) facts.push(fact("Commit", commitOf(run, commit)));
  if (run.parent) facts.push(fact("Parent", el("a", {href: `#/experiments/${run.info.experiment_id}/runs/${encodeURIComponent(run.parent)}`}, run.parent.slice(0, 8))));
  const note = run.tags.get("mlflow.note.content");
  return [
    el("div", {class: "title"}, el("h1", null, run.name), button("Rename", () => rename(run, signal)), button(note ? "Edit the description" : "Describe", () => describe(run, signal))),
    el("dl", {class: "facts"}, facts),
    note ? el("p", {class: "note"}, note) : null,
    commands(run),
  ].filter(Boolean);
}

// commands are those that bring the run back. A name that a shell would not take
// for one word is no command.
function commands(run) {
  if (!/^[0-9a-f]{32}$/.test(run.id)) return null;
  const short = run.id.slice(0, 8), experiment = run.tags.get("ctrx.experiment") ?? "";
  const list = [["Bring back its code, data and parameters", `ctrx runs checkout ${short}`]];
  if (/^[A-Za-z0-9][\w.-]*$/.test(experiment)) list.push(["Put the experiment into the work tree", `ctrx exp apply ${experiment}`]);
  return el("div", {class: "commands"}, list.map(([what, command]) => el("p", null, el("span", {class: "quiet"}, what), copyable(command))));
}

// commitOf links to the page of the commit where the repository has one.
function commitOf(run, commit) {
  const name = el("code", null, commit.slice(0, 10)), branch = run.tags.get("mlflow.source.git.branch");
  const rest = branch ? el("span", {class: "quiet"}, ` ${branch}`) : null;
  let repo = (run.tags.get("mlflow.source.git.repoURL") ?? "").trim().replace(/\/+$/, "").replace(/\.git$/, "");
  const ssh = /^(?:ssh:\/\/)?git@([\w.-]+)[:/](.+)$/.exec(repo);
  if (ssh) repo = `https://${ssh[1]}/${ssh[2]}`;
  if (!/^https?:\/\//.test(repo) || !/^[0-9a-f]{7,64}$/.test(commit)) return el("span", null, name, rest);
  let url;
  try { url = new URL(repo); } catch { return el("span", null, name, rest); }
  url.username = url.password = url.search = url.hash = "";
  const part = /gitlab/.test(url.hostname) ? "/-/commit/" : "/commit/";
  return el("span", null, el("a", {href: url.href.replace(/\/$/, "") + part + commit, rel: "noopener noreferrer", target: "_blank"}, name), rest);
}

function metricsOf(run) {
  if (!run.metrics.size) return el("p", {class: "quiet"}, "none");
  const keys = [...run.metrics.keys()].filter(k => !k.startsWith("system/")).sort(byName);
  return searchable(keys.map(k => [k, el("tr", {data: {key: k}}, el("th", {scope: "row"}, k),
    el("td", {class: "num", title: String(run.metrics.get(k))}, short(run.metrics.get(k))), el("td", {class: "num quiet"}, `step ${run.points.get(k).step ?? 0}`))]), "metric");
}

function pairs(map, what) {
  if (!map.size) return el("p", {class: "quiet"}, "none");
  return searchable([...map].sort(([a], [b]) => byName(a, b)).map(([k, v]) => [k, el("tr", {data: {key: k}}, el("th", {scope: "row"}, k), el("td", {class: "text"}, v))]), what);
}

// searchable is a table of named rows, with a field to find one in if there are
// many.
function searchable(rows, what) {
  const table = el("div", {class: "wide"}, el("table", {class: "pairs"}, el("tbody", null, rows.map(([, tr]) => tr))));
  if (rows.length < 12) return table;
  return el("div", null, el("input", {type: "search", placeholder: `Find a ${what}`, "aria-label": `Find a ${what}`, oninput: e => {
    for (const [name, tr] of rows) tr.hidden = !name.toLowerCase().includes(e.target.value.toLowerCase());
  }}), table);
}

function datasetsOf(run) {
  if (!run.datasets.length) return [];
  const rows = run.datasets.map(({dataset: d, tags}) => el("tr", null, el("th", {scope: "row"}, d.name), el("td", null, el("code", null, d.digest)),
    el("td", null, (tags ?? []).find(t => t.key === "mlflow.data.context")?.value ?? ""), el("td", null, d.source_type ?? ""), el("td", {class: "text"}, d.source ?? "")));
  return [el("section", null, el("h2", null, `Datasets (${rows.length})`), el("div", {class: "wide", tabindex: "0"}, el("table", {class: "pairs"},
    el("thead", null, el("tr", null, ["Name", "Digest", "For", "Kind", "Source"].map(h => el("th", {scope: "col"}, h)))), el("tbody", null, rows))))];
}

function tagsOf(run) {
  const section = (title, map, what) => map.size ? el("section", null, el("h2", null, `${title} (${map.size})`), pairs(map, what)) : null;
  const all = [...run.tags], below = prefix => new Map(all.filter(([k]) => k.startsWith(prefix)).map(([k, v]) => [k.slice(prefix.length), v]));
  const rest = new Map(all.filter(([k]) => !["mlflow.", STAGE, OUTPUT].some(p => k.startsWith(p)))), theirs = new Map(all.filter(([k]) => k.startsWith("mlflow.")));
  return [
    section("Stages", below(STAGE), "stage"), section("Outputs", below(OUTPUT), "output"), section("Tags", rest, "tag"),
    el("details", null, el("summary", {class: "quiet"}, `Tags of MLflow (${theirs.size})`), pairs(theirs, "tag")),
  ].filter(Boolean);
}

async function showChildren(into, run, signal) {
  if (!/^[0-9a-f]+$/.test(run.id)) return;
  const {runs, next} = await api.search({experiment_ids: [run.info.experiment_id], filter: `tags.\`mlflow.parentRunId\` = '${run.id}'`, max_results: 200}, signal);
  if (!runs.length) return;
  const keys = [...new Set(runs.flatMap(r => [...r.metrics.keys()]))].filter(k => !k.startsWith("system/")).sort(byName).slice(0, 6);
  const all = `#/compare-runs?runs=${encodeURIComponent(JSON.stringify(runs.slice(0, 100).map(r => r.id)))}&experiments=${encodeURIComponent(JSON.stringify([run.info.experiment_id]))}`;
  into.replaceChildren(el("section", null, el("h2", null, `Child runs (${runs.length}${next ? " and more" : ""}) `, el("a", {class: "button", href: all}, "Compare them")),
    el("div", {class: "wide", tabindex: "0"}, el("table", {class: "pairs"}, el("thead", null, el("tr", null, ["Name", "Status", "Took", ...keys].map(h => el("th", {scope: "col"}, h)))),
      el("tbody", null, runs.map(r => el("tr", null, el("th", {scope: "row"}, el("a", {href: r.address}, r.name)), el("td", null, badge(r.status)), el("td", {class: "num"}, duration(r.took)),
        keys.map(k => el("td", {class: "num"}, r.metrics.has(k) ? short(r.metrics.get(k)) : ""))))))))); 
}

// ask opens a dialog with one field and gives what was entered, or null.
function ask(title, value, many) {
  return new Promise(resolve => {
    const field = many ? el("textarea", {rows: 6, "aria-label": title}) : el("input", {type: "text", "aria-label": title});
    field.value = value;
    const dialog = el("dialog", null, el("form", {method: "dialog", onsubmit: e => { e.preventDefault(); dialog.close("ok"); }},
      el("h2", null, title), field, el("p", {class: "row"}, el("button", {type: "submit", class: "primary"}, "Save"), button("Cancel", () => dialog.close("")))));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "ok" ? field.value : null); });
    document.getElementById("main").append(dialog);
    dialog.showModal();
    field.focus();
  });
}

async function save(call, body, signal) {
  try {
    await api.post(call, body, signal);
    tell("Saved");
    dispatchEvent(new HashChangeEvent("hashchange"));
  } catch (err) {
    if (err.name !== "AbortError") tell(err.message);
  }
}

async function rename(run, signal) {
  const name = await ask("Name of the run", run.name, false);
  if (name?.trim() && name !== run.name) await save("runs/update", {run_id: run.id, run_name: name.trim()}, signal);
}

async function describe(run, signal) {
  const text = await ask("Description", run.tags.get("mlflow.note.content") ?? "", true);
  if (text !== null) await save("runs/set-tag", {run_id: run.id, key: "mlflow.note.content", value: text}, signal);
}
