export async function showComparison(main, ctx) { main.replaceChildren("compare"); return {}; }
