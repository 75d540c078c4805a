import {el} from "./dom.js";
export function explore(runs, columns) { return el("p", null, "charts"); }
