package ui_test

import (
	"os"
	"strings"
	"testing"

	"ctrx/internal/testbrowser"
	"ctrx/internal/testreq"
	"ctrx/tracking/ui"
)

// mlflowCache names a folder with a copy of another version of MLflow's
// interface, as `ctrx ui install --version` makes it, to try that one. It is how
// the span of tested versions was found.
const mlflowCache = "CTRX_TEST_MLFLOW_UI"

// mlflowOptions are for the interface of the mlflow on PATH.
func mlflowOptions(t testing.TB) ui.Options {
	t.Helper()
	cache := os.Getenv(mlflowCache)
	if cache == "" {
		testreq.Need(t, testreq.MLflow)
		return ui.Options{Mode: ui.MLflow}
	}
	return ui.Options{Mode: ui.MLflow, Env: func(name string) string { return map[string]string{"XDG_CACHE_HOME": cache}[name] }}
}

// problems are what the browser complained about, without what a real server
// makes it complain about too.
func problems(tab *testbrowser.Tab) (out []string) {
	for _, p := range tab.Problems {
		usual := false
		for _, text := range []string{
			"/users/current", "/mlflow/assistant/", "/mlflow/demo/", // 404 there as well
			"WebGL",          // drawn without a graphics card
			"ResizeObserver", // it measures again in the next frame
		} {
			usual = usual || strings.Contains(p, text)
		}
		if !usual {
			out = append(out, p)
		}
	}
	return out
}

// check fails on anything that went wrong in the page since it was opened, and
// on a request to another server.
func check(t testing.TB, s *site, tab *testbrowser.Tab) {
	t.Helper()
	for _, p := range problems(tab) {
		t.Errorf("the browser says: %.600s", p)
	}
	for _, r := range tab.Requests {
		if !strings.HasPrefix(r, s.url+"/") && !strings.HasPrefix(r, "blob:"+s.url) {
			t.Errorf("the page asked for %s", r)
		}
	}
	var hacked bool
	if err := tab.Eval(`window.hacked !== undefined`, &hacked); err != nil || hacked {
		t.Errorf("a text of a run was run as code (%v)", err)
	}
}

// says is a condition: the page shows the text.
func says(text string) string {
	return `document.body.innerText.includes(` + jsText(text) + `)`
}

// click is an expression that clicks the first element that a selector finds
// and whose text begins so.
func click(selector, text string) string {
	return `(() => { const e = [...document.querySelectorAll(` + jsText(selector) + `)].find(e => e.textContent.trim().startsWith(` + jsText(text) + `)); if (!e) return false; e.click(); return true; })()`
}

// artifactNode finds the files in the tree of MLflow's interface.
const artifactNode = `[data-testid="artifact-tree-node"]`

// MLflow's own interface works on this server: the list of runs, a run, its
// curves and files, a comparison, charts.
func TestMLflowInBrowser(t *testing.T) {
	o := mlflowOptions(t)
	tab := testbrowser.Start(t)
	s := newSite(t, o, "")
	s.seed()
	tab.Look(t, 1280, false)
	run := s.url + "/#/experiments/" + s.experiment + "/runs/" + s.runs["amber-eagle"]

	tab.Visit(t, s.url+"/", says("amber-eagle")+" && "+says("sweep-depth"))
	var hash string
	if err := tab.Eval(`location.hash`, &hash); err != nil || !strings.HasPrefix(hash, "#/experiments/"+s.experiment+"/runs") || !strings.Contains(hash, "workflowType=machine_learning") {
		t.Errorf("/ leads to %q, %v", hash, err)
	}
	check(t, s, tab)
	picture(t, tab, "mlflow", 640)
	tab.Wait(t, click("a", "amber-eagle"))
	tab.Wait(t, says("train.depth")+" && "+says("data/train.csv"))
	check(t, s, tab)

	tab.Visit(t, "about:blank", "true")
	tab.Visit(t, run+"/model-metrics", `document.querySelectorAll(".js-plotly-plot .scatterlayer path.js-line").length > 0`)
	check(t, s, tab)
	tab.Visit(t, "about:blank", "true")
	tab.Visit(t, run+"/artifacts", says("dvc.lock"))
	tab.Wait(t, click(artifactNode, "metrics.json"))
	tab.Wait(t, says("roc_auc"))
	check(t, s, tab)
	tab.Visit(t, "about:blank", "true")
	ids := `["` + s.runs["amber-eagle"] + `","` + s.runs["proud-heron"] + `"]`
	tab.Visit(t, s.url+"/#/compare-runs?runs="+ids+`&experiments=["`+s.experiment+`"]`, says("Comparing 2 Runs")+" && "+says("proud-heron")+` && document.querySelectorAll(".js-plotly-plot").length > 0`)
	check(t, s, tab)
	tab.Visit(t, "about:blank", "true")
	tab.Visit(t, s.url+"/#/experiments/"+s.experiment+"/runs?compareRunsMode=CHART", `document.querySelectorAll(".js-plotly-plot .barlayer path, .js-plotly-plot .scatterlayer path.js-line").length > 0`)
	check(t, s, tab)
}

// With a token a link logs the browser in, or its own dialog does, and all that
// MLflow's interface asks for is let in: the list, a run, its files, a comparison.
func TestMLflowToken(t *testing.T) {
	o := mlflowOptions(t)
	for _, by := range []string{"link", "dialog"} {
		t.Run(by, func(t *testing.T) {
			tab := testbrowser.Start(t)
			s := newSite(t, o, "s3cret")
			s.seed()
			tab.Look(t, 1280, false)
			start := s.url + "/"
			if by == "link" {
				start = s.url + s.login()
			} else {
				tab.Login(t, "anyone", "s3cret")
			}
			tab.Visit(t, start, says("amber-eagle"))
			check(t, s, tab)
			run := s.url + "/#/experiments/" + s.experiment + "/runs/" + s.runs["amber-eagle"]
			tab.Visit(t, "about:blank", "true")
			tab.Visit(t, run+"/artifacts", says("dvc.lock"))
			tab.Wait(t, click(artifactNode, "metrics.json"))
			tab.Wait(t, says("roc_auc"))
			check(t, s, tab)
			tab.Visit(t, "about:blank", "true")
			ids := `["` + s.runs["amber-eagle"] + `","` + s.runs["proud-heron"] + `"]`
			tab.Visit(t, s.url+"/#/compare-runs?runs="+ids+`&experiments=["`+s.experiment+`"]`, says("Comparing 2 Runs")+" && "+says("proud-heron"))
			check(t, s, tab)
			if by == "link" && tab.Prompts > 0 {
				t.Errorf("the browser asked %d times for a password", tab.Prompts)
			}
		})
	}
}

// What is in a run is shown by MLflow's interface and not run.
func TestMLflowHostile(t *testing.T) {
	o := mlflowOptions(t)
	tab := testbrowser.Start(t)
	s := newSite(t, o, "")
	s.seed()
	s.attack()
	tab.Look(t, 1280, false)
	tab.Visit(t, s.url+"/", says(`"><img src=x`))
	check(t, s, tab)
	tab.Visit(t, "about:blank", "true")
	tab.Visit(t, s.url+"/#/experiments/"+s.experiment+"/runs/"+s.runs[hostile], says("<script>window.hacked=1</script>"))
	var hacked bool
	if err := tab.Eval(`window.hacked !== undefined`, &hacked); err != nil || hacked {
		t.Errorf("a text of a run was run as code (%v)", err)
	}
	tab.Visit(t, "about:blank", "true")
	tab.Visit(t, s.url+"/#/experiments/"+s.experiment+"/runs/"+s.runs[hostile]+"/artifacts", says("a.html"))
	tab.Wait(t, click(artifactNode, "a.html"))
	tab.Wait(t, `document.querySelector("iframe")`)
	if err := tab.Eval(`new Promise(done => setTimeout(() => done(window.hacked !== undefined), 500))`, &hacked); err != nil || hacked {
		t.Errorf("an HTML artifact ran with the rights of the page (%v)", err)
	}
}
