// All experiments.

import {el, moment} from "./dom.js";
import * as api from "./api.js";

export async function showExperiments(main, {signal, crumbs}) {
  const all = await api.experiments(signal);
  await crumbs(null, "Experiments");
  const note = e => (e.tags ?? []).find(t => t.key === "mlflow.note.content")?.value ?? "";
  const rows = all.map(e => el("tr", null,
    el("td", null, el("a", {href: `#/experiments/${e.experiment_id}/runs`}, e.name)),
    el("td", {class: "wrap"}, note(e)),
    el("td", null, moment(e.last_update_time)),
    el("td", {class: "num"}, e.experiment_id)));
  main.replaceChildren(el("h1", null, "Experiments"), el("div", {class: "wide", tabindex: "0"},
    el("table", null,
      el("thead", null, el("tr", null, ["Name", "Description", "Changed", "Id"].map(h => el("th", {scope: "col"}, h)))),
      el("tbody", null, rows))));
  return {};
}
