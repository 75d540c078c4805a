// Records what Vega's loess makes of some points.
//   gunzip -c ../../page/vega/vega.min.js.gz >/some/vega.js
//   node make_loess.js /some/vega.js >loess.json
const vega = require(require("path").resolve(process.argv[2]));
const cases = [];
let seed = 7;
const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
for (const [n, bandwidth, step] of [[2, 0.3, 1], [5, 0.001, 1], [30, 0.3, 1], [30, 0.001, 0.5], [60, 0.1, 1000], [40, 1, 1], [20, 0.5, 0]]) {
  const points = [];
  for (let i = 0; i < n; i++) {
    const x = step ? i * step : Math.floor(i / 3); // some of the same x
    points.push([x, Math.round((10 / (1 + i / 5) + random() + (i === 12 ? 9 : 0)) * 1000) / 1000]);
  }
  cases.push({ bandwidth, points, fitted: vega.regressionLoess(points, (p) => p[0], (p) => p[1], bandwidth) });
}
console.log("[\n" + cases.map((c) => JSON.stringify(c)).join(",\n") + "\n]");
