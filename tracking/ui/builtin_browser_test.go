package ui_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"ctrx/internal/testbrowser"
	"ctrx/tracking/ui"
)

type ctx = context.Context

// jsText is a text as JavaScript writes it.
func jsText(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// names is an expression for the names of the runs in the table, in order.
const names = `[...document.querySelectorAll("tr[data-run] th.name a")].map(a => a.textContent)`

func eval[T any](t testing.TB, tab *testbrowser.Tab, expression string) T {
	t.Helper()
	var v T
	if err := tab.Eval(expression, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// order waits until the table has these runs in this order.
func order(t testing.TB, tab *testbrowser.Tab, want ...string) {
	t.Helper()
	tab.Wait(t, names+`.join() === `+jsText(strings.Join(want, ",")))
}

// search types a filter and sends it.
func search(t testing.TB, tab *testbrowser.Tab, text string) {
	t.Helper()
	eval[bool](t, tab, `(() => { const f = document.getElementById("filter"); f.value = `+jsText(text)+`; f.form.requestSubmit(); return true; })()`)
}

func open(t testing.TB) (*site, *testbrowser.Tab) {
	t.Helper()
	tab := testbrowser.Start(t)
	s := newSite(t, ui.Options{Mode: ui.Builtin}, "")
	s.seed()
	tab.Look(t, 1280, false)
	return s, tab
}

var everyone = []string{"swift-lynx", "amber-eagle", "rainy-wolf", "sweep-depth", "calm-badger", "proud-heron", "clear-otter"}

// The table of runs in the built-in page: landing, order, filter, child runs,
// columns, and a run that appears while one looks.
func TestBuiltinRunsInBrowser(t *testing.T) {
	s, tab := open(t)
	tab.Visit(t, s.url+"/", names+`.length > 0`)
	order(t, tab, everyone...)
	if hash := eval[string](t, tab, `location.hash`); hash != "#/experiments/"+s.experiment+"/runs" {
		t.Errorf("/ leads to %q", hash)
	}
	heads := eval[string](t, tab, `[...document.querySelectorAll("table.runs thead tr:last-child th")].map(h => h.querySelector(".key")?.textContent ?? h.textContent).join()`)
	if want := ",Name,Started,Took,Status,f1,log_loss,roc_auc,train_loss,featurize.hashing,train.depth,train.lr,train.model"; heads != want {
		t.Errorf("heads are %q, want %q", heads, want)
	}
	picture(t, tab, "runs", 430)

	// Child runs stay below their parent until it is opened.
	tab.Wait(t, click(`tr[data-run="`+s.runs["sweep-depth"]+`"] .fold`, ""))
	order(t, tab, "swift-lynx", "amber-eagle", "rainy-wolf", "sweep-depth", "sweep-depth-4", "sweep-depth-3", "sweep-depth-2", "sweep-depth-1", "calm-badger", "proud-heron", "clear-otter")
	tab.Wait(t, click(`tr[data-run="`+s.runs["sweep-depth"]+`"] .fold`, ""))
	order(t, tab, everyone...)

	// A parameter is ordered by its numbers: 10 comes after 8.
	tab.Wait(t, click("button.sort", "train.depth"))
	tab.Wait(t, `document.querySelector("th[aria-sort=descending]")?.textContent.startsWith("train.depth")`)
	tab.Wait(t, click("button.sort", "train.depth"))
	tab.Wait(t, `document.querySelector("th[aria-sort=ascending]")?.textContent.startsWith("train.depth")`)
	search(t, tab, "params.train.depth != 'x' and attributes.status = 'FINISHED'")
	order(t, tab, "sweep-depth-1", "sweep-depth-2", "proud-heron", "clear-otter", "amber-eagle", "sweep-depth-3", "calm-badger", "sweep-depth-4")

	search(t, tab, "HERON")
	order(t, tab, "proud-heron")
	search(t, tab, "metrics.roc_auc >>> 3")
	tab.Wait(t, `!document.getElementById("filter-error").hidden`)
	if text := eval[string](t, tab, `document.getElementById("filter-error").textContent`); text == "" {
		t.Error("a wrong filter says nothing")
	}
	search(t, tab, "nobody")
	tab.Wait(t, says("No run matches"))
	eval[bool](t, tab, `(location.hash = "#/experiments/`+s.experiment+`/runs", true)`)
	order(t, tab, everyone...)

	// A column can be taken away and stays away.
	eval[bool](t, tab, `(() => { const c = document.querySelector('[data-column="metrics.f1"]'); c.click(); return true; })()`)
	tab.Wait(t, `![...document.querySelectorAll("th.metrics .key")].some(k => k.textContent === "f1")`)

	s.add(aRun{name: "late-crow", status: "FINISHED", start: time.Now(), took: time.Second})
	tab.Wait(t, names+`[0] === "late-crow"`)
	// A child is not lost with its parent.
	s.add(aRun{name: "gone", status: "FINISHED", start: time.Now(), took: time.Second})
	s.add(aRun{name: "orphan", parent: "gone", status: "FINISHED", start: time.Now(), took: time.Second})
	s.post("runs/delete", m{"run_id": s.runs["gone"]})
	tab.Wait(t, names+`.includes("orphan") && !`+names+`.includes("gone")`)

	// The one 400 is the wrong filter.
	var rest []string
	for _, p := range tab.Problems {
		if !strings.Contains(p, "runs/search") {
			rest = append(rest, p)
		}
	}
	if len(rest) > 0 || len(tab.Problems) > 1 {
		t.Errorf("the browser says %.600q", tab.Problems)
	}
}

// A run: parameters, metrics, curves, files; it is drawn anew while it runs.
func TestBuiltinRunInBrowser(t *testing.T) {
	s, tab := open(t)
	tab.Visit(t, s.url+"/#/experiments/"+s.experiment+"/runs/"+s.runs["amber-eagle"], `document.querySelectorAll("path.curve").length === 3`)
	for _, text := range []string{"ctrx runs checkout " + s.runs["amber-eagle"][:8], "ctrx exp apply amber-eagle", "train.depth", "data/train.csv", "5f4dcc3b5aa765d61d8327deb882cf99", "training"} {
		tab.Wait(t, says(text))
	}
	if link := eval[string](t, tab, `document.querySelector("a[href*='/commit/']").href`); !strings.HasPrefix(link, "https://github.com/example/clicks/commit/") {
		t.Errorf("the commit links to %s", link)
	}
	curve := `document.querySelector("[data-metric=roc_auc] path.curve").getAttribute("d")`
	before := eval[string](t, tab, curve)
	if n := strings.Count(before, "L"); n != 39 {
		t.Errorf("the curve of 40 points has %d lines", n)
	}
	eval[bool](t, tab, `(() => { const r = document.querySelector("input[type=range]"); r.value = 0.9; r.dispatchEvent(new Event("input")); return true; })()`)
	tab.Wait(t, curve+` !== `+jsText(before)+` && document.querySelector("[data-metric=roc_auc] path.raw")`)

	for _, f := range []struct{ path, shown string }{
		{"dvc.lock", `document.querySelector(".preview pre").textContent.includes("python train.py")`},
		{"metrics.json", `document.querySelector(".preview pre").textContent.includes('"roc_auc": 0.743,\n')`},
	} {
		tab.Wait(t, click(`[data-path="`+f.path+`"]`, ""))
		tab.Wait(t, f.shown)
	}
	eval[bool](t, tab, `(() => { document.querySelector(".tree details").open = true; return true; })()`)
	tab.Wait(t, `document.querySelector('[data-path="plots/roc.csv"]')`)
	tab.Wait(t, click(`[data-path="plots/roc.csv"]`, ""))
	tab.Wait(t, `document.querySelector(".preview table")?.rows.length === 5`)
	tab.Wait(t, click(`[data-path="plots/roc.svg"]`, ""))
	tab.Wait(t, `document.querySelector(".preview img")?.naturalWidth === 320`)
	check(t, s, tab)

	tab.Visit(t, s.url+"/?live#/experiments/"+s.experiment+"/runs/"+s.runs["swift-lynx"], curve+`.split("L").length === 14`)
	s.post("runs/log-metric", m{"run_id": s.runs["swift-lynx"], "key": "roc_auc", "value": 0.7, "step": 14, "timestamp": time.Now().UnixMilli()})
	tab.Wait(t, curve+`.split("L").length === 15`)
	s.post("runs/update", m{"run_id": s.runs["swift-lynx"], "status": "FINISHED", "end_time": time.Now().UnixMilli()})
	tab.Wait(t, `document.querySelector(".badge.finished")`)
	check(t, s, tab)

	// The name can be changed.
	tab.Wait(t, click(".title button", "Rename"))
	eval[bool](t, tab, `(() => { const i = document.querySelector("dialog input"); i.value = "swift-lynx-2"; i.form.requestSubmit(); return true; })()`)
	tab.Wait(t, `document.querySelector("h1")?.textContent === "swift-lynx-2"`)
	check(t, s, tab)
}

// Runs side by side: only what differs, curves over each other, pictures of all.
func TestBuiltinComparisonInBrowser(t *testing.T) {
	s, tab := open(t)
	tab.Visit(t, s.url+"/", names+`.length > 0`)
	for _, name := range []string{"amber-eagle", "proud-heron", "calm-badger"} {
		tab.Wait(t, click(`tr[data-run="`+s.runs[name]+`"] input`, ""))
	}
	tab.Wait(t, says("3 selected"))
	tab.Wait(t, click(".selection a", "Compare"))
	tab.Wait(t, `document.querySelectorAll("path.curve").length === 9 && document.querySelectorAll(".parallel path.line").length === 3`)
	rows := `[...document.querySelectorAll("[data-row]")].map(r => r.dataset.row).join()`
	differ := eval[string](t, tab, rows)
	for _, row := range []string{"metrics.roc_auc", "params.train.depth", "params.train.model", "datasets.data/train.csv", "tags.commit"} {
		if !strings.Contains(differ, row) {
			t.Errorf("%s differs and is not shown: %s", row, differ)
		}
	}
	if strings.Contains(differ, "dataset.rows") || strings.Contains(differ, "hashing") {
		t.Errorf("what is equal is shown: %s", differ)
	}
	picture(t, tab, "comparison", 1130)
	tab.Wait(t, click("main input[type=checkbox]", ""))
	tab.Wait(t, rows+`.includes("params.dataset.rows")`)
	check(t, s, tab)

	tab.Visit(t, s.url+"/?chart#/experiments/"+s.experiment+"/runs?compareRunsMode=CHART&flat=true", `document.querySelectorAll(".parallel path.line").length === 11 && document.querySelectorAll(".scatter circle").length > 5`)
	check(t, s, tab)
}

// Whatever a run says is shown as text, on every page, in light and in dark, on
// a phone as well, and nothing is wider than the window.
func TestBuiltinHostile(t *testing.T) {
	s, tab := open(t)
	s.attack()
	s.post("experiments/set-experiment-tag", m{"experiment_id": s.experiment, "key": "mlflow.note.content", "value": hostile})
	s.post("experiments/create", m{"name": hostile})
	id := s.runs[hostile]
	for _, width := range []int{1280, 390} {
		tab.Look(t, width, width == 390)
		for i, page := range []struct{ hash, until string }{
			{"#/experiments", `document.querySelectorAll("tbody tr").length === 3`},
			{"#/experiments/" + s.experiment + "/runs?flat=true", names + `.includes(` + jsText(hostile) + `)`},
			{"#/experiments/" + s.experiment + "/runs?compareRunsMode=CHART&flat=true", `document.querySelectorAll(".parallel path.line").length === 12`},
			{"#/experiments/" + s.experiment + "/runs/" + id, `document.querySelector("path.curve") && document.querySelector('[data-path="a.html"]')`},
			{"#/compare-runs?runs=" + `["` + id + `","` + s.runs["amber-eagle"] + `"]`, `document.querySelector("path.curve")`},
		} {
			// Curves are drawn when they come into view.
			tab.Visit(t, fmt.Sprintf("%s/?%d-%d%s", s.url, width, i, page.hash), `(scrollTo(0, Math.random() * document.body.scrollHeight), `+page.until+`)`)
			tab.Wait(t, says("<script>window.hacked=1</script>")+` || document.querySelector(".parallel")`)
			check(t, s, tab)
			if wide := eval[int](t, tab, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
				t.Errorf("%s is %d pixels wider than %d", page.hash, wide, width)
			}
			if bad := eval[string](t, tab, `[...document.querySelectorAll("a")].map(a => a.getAttribute("href")).filter(h => !/^(#|https?:)/.test(h)).join()`); bad != "" && !strings.HasPrefix(bad, "http") {
				t.Errorf("%s has links to %s", page.hash, bad)
			}
		}
	}
	tab.Visit(t, s.url+"/?files#/experiments/"+s.experiment+"/runs/"+id, `document.querySelector('[data-path="a.html"]')`)
	for _, f := range []struct{ path, shown string }{
		{"a.html", `document.querySelector(".preview pre")?.textContent.startsWith("<script>top.hacked")`},
		{"b.svg", `document.querySelector(".preview img")?.naturalWidth > 0`},
		{"c.csv", `document.querySelector(".preview th:last-child")?.textContent === "<img src=x onerror=window.hacked=1>"`},
	} {
		tab.Wait(t, click(`[data-path="`+f.path+`"]`, ""))
		tab.Wait(t, f.shown)
	}
	check(t, s, tab)
}

// Three hundred runs come in pages, deleted ones can be brought back.
func TestBuiltinManyRuns(t *testing.T) {
	s, tab := open(t)
	for i := range 250 {
		s.post("runs/create", m{"experiment_id": s.experiment, "run_name": fmt.Sprintf("many-%03d", i), "start_time": time.Now().Add(time.Duration(i) * time.Second).UnixMilli()})
	}
	tab.Visit(t, s.url+"/", names+`.length === 100 && `+names+`[0] === "many-249"`)
	tab.Wait(t, click(".pager button", "Older"))
	tab.Wait(t, names+`[0] === "many-149"`)
	tab.Wait(t, click(".pager button", "Older"))
	tab.Wait(t, names+`.length === 57 && `+names+`.at(-1) === "clear-otter"`)
	tab.Wait(t, click(".pager button", "‹ Newer"))
	tab.Wait(t, names+`[0] === "many-149"`)

	search(t, tab, "many-24")
	tab.Wait(t, names+`.length === 10`)
	eval[bool](t, tab, `(() => { window.confirm = () => true; document.querySelector("thead input").click(); return true; })()`)
	tab.Wait(t, says("10 selected"))
	tab.Wait(t, click(".selection button", "Delete"))
	tab.Wait(t, says("No run matches"))
	eval[bool](t, tab, `(location.hash = "#/experiments/`+s.experiment+`/runs?lifecycleFilter=Deleted", true)`)
	tab.Wait(t, names+`.length === 10`)
	check(t, s, tab)
}

// With a token the browser's own dialog lets one in, and everything that the
// page asks for afterwards is let in too.
func TestBuiltinToken(t *testing.T) {
	tab := testbrowser.Start(t)
	s := newSite(t, ui.Options{Mode: ui.Builtin}, "s3cret")
	s.seed()
	tab.Login(t, "anyone", "s3cret")
	tab.Visit(t, s.url+"/", names+`.length === 7`)
	tab.Visit(t, s.url+"/?run#/experiments/"+s.experiment+"/runs/"+s.runs["amber-eagle"], `(scrollTo(0, 400), document.querySelector("path.curve"))`)
	tab.Wait(t, click(`[data-path="metrics.json"]`, ""))
	tab.Wait(t, `document.querySelector(".preview pre")`)
	check(t, s, tab)
	if tab.Prompts == 0 || tab.Prompts > 10 {
		t.Errorf("the server asked %d times who it is", tab.Prompts)
	}
	// So does a link, without a dialog.
	other := testbrowser.Start(t)
	other.Visit(t, s.url+s.login(), names+`.length === 7`)
	check(t, s, other)
	if other.Prompts > 0 {
		t.Errorf("after the link it asked %d times", other.Prompts)
	}
}
