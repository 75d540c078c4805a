export async function showRun(main, ctx) { main.replaceChildren("run"); return {}; }
