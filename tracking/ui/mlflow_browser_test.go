package ui_test

import (
	"os"
	"path/filepath"
	"testing"

	"ctrx/internal/testbrowser"
	"ctrx/tracking/ui"
)

func TestShotsMLflow(t *testing.T) {
	dir := os.Getenv("SHOTS")
	if dir == "" {
		t.Skip("no SHOTS")
	}
	s := newSite(t, ui.Options{Mode: ui.MLflow}, "")
	s.seed()
	s.attack()
	tab := testbrowser.Start(t)
	shot := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), tab.Screenshot(t), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, p := range tab.Problems {
			t.Logf("%s: %.2000s", name, p)
		}
		for _, r := range tab.Requests {
			t.Logf("%s: %s", name, r)
		}
	}
	tab.Look(t, 1280, false)
	tab.Visit(t, s.url+"/", `document.body.innerText.includes("amber-eagle")`)
	shot("mlflow-runs")
	tab.Visit(t, s.url+"/?#/experiments/"+s.experiment+"/runs/"+s.runs["amber-eagle"]+"/model-metrics", `document.querySelectorAll(".js-plotly-plot").length>0`)
	shot("mlflow-metrics")
	tab.Visit(t, s.url+"/?a#/experiments/"+s.experiment+"/runs/"+s.runs["amber-eagle"]+"/artifacts", `document.body.innerText.includes("dvc.lock")`)
	shot("mlflow-artifacts")
	tab.Visit(t, s.url+"/?b#/experiments/"+s.experiment+"/runs/"+s.runs[hostile], `document.body.innerText.includes("onerror")`)
	shot("mlflow-hostile")
	tab.Visit(t, s.url+"/?c#/compare-runs?runs=[%22"+s.runs["amber-eagle"]+"%22,%22"+s.runs["proud-heron"]+"%22]&experiments=[%22"+s.experiment+"%22]", `document.body.innerText.includes("proud-heron")`)
	shot("mlflow-compare")
}
