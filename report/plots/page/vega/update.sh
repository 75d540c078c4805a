#!/bin/sh
# Fetches the libraries of the plots page from their npm packages, at the
# versions named here, and lays them beside this script: the minified builds
# with gzip, and the licences of all that is in them in LICENSES.txt.
#
#   1. set the versions    2. sh update.sh    3. set the same versions in
#   ../libraries.go        4. go test ../     5. look at a page in a browser
#
# Needs npm and gzip. Specs name the schema of Vega-Lite 5, which goes with
# Vega 5 and vega-embed 6: a newer major version of one needs all three.
set -eu
cd "$(dirname "$0")"
vega=5.33.1
vega_lite=5.23.0
vega_embed=6.29.0

here=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts \
  "vega@$vega" "vega-lite@$vega_lite" "vega-embed@$vega_embed"

for name in vega vega-lite vega-embed; do
  gzip -9 -n -c "node_modules/$name/build/$name.min.js" >"$here/$name.min.js.gz"
done

# The builds hold code of these packages too. Several packages of vega's own
# repository come without its licence file: they stand with those that have it.
node - >"$here/LICENSES.txt" <<'END'
const fs = require("fs");
const bundled = /^(d3-.*|delaunator|fast-json-patch|internmap|json-stringify-pretty-compact|robust-predicates|semver|topojson-client|tslib|vega|vega-.*)$/;
const groups = new Map();
const without = [];
for (const name of fs.readdirSync("node_modules").filter((n) => bundled.test(n)).sort()) {
  const dir = `node_modules/${name}`;
  const about = JSON.parse(fs.readFileSync(`${dir}/package.json`));
  const line = `${name} ${about.version} (${about.license})`;
  const file = fs.readdirSync(dir).find((f) => /^licen[sc]e/i.test(f));
  if (!file) { without.push(line); continue; }
  const text = fs.readFileSync(`${dir}/${file}`, "utf8").replace(/\r/g, "").replace(/[ \t]+$/gm, "").trim();
  groups.set(text, [...(groups.get(text) || []), line]);
}
const own = [...groups.keys()].find((text) => groups.get(text).some((line) => line.startsWith("vega-view ")));
if (without.some((line) => !/^vega.*BSD-3-Clause/.test(line))) throw new Error("no licence: " + without);
groups.get(own).push(...without);
console.log([...groups].map(([text, names]) => names.join("\n") + "\n\n" + text).join("\n\n----\n\n"));
END
ls -l "$here"
