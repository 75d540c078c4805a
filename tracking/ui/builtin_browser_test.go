package ui_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"ctrx/internal/testbrowser"
	"ctrx/tracking/ui"
)

type ctx = context.Context

// TestShots is for looking at the page while it is being made.
func TestShots(t *testing.T) {
	dir := os.Getenv("SHOTS")
	if dir == "" {
		t.Skip("no SHOTS")
	}
	s := newSite(t, ui.Options{Mode: ui.Builtin}, "")
	s.seed()
	s.attack()
	tab := testbrowser.Start(t)
	shot := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), tab.Screenshot(t), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, p := range tab.Problems {
			t.Errorf("%s: %s", name, p)
		}
	}
	tab.Look(t, 1280, false)
	tab.Visit(t, s.url+"/", `document.querySelectorAll("tr[data-run]").length > 5`)
	shot("runs")
	tab.Visit(t, s.url+"/?r#/experiments/"+s.experiment+"/runs/"+s.runs["amber-eagle"], `document.querySelectorAll(".curve").length >= 3`)
	shot("run")
	ids := `["` + s.runs["amber-eagle"] + `","` + s.runs["proud-heron"] + `","` + s.runs["calm-badger"] + `"]`
	tab.Visit(t, s.url+"/?c#/compare-runs?runs="+ids+"&experiments=[1]", `document.querySelectorAll(".curve").length >= 9`)
	shot("compare")
	tab.Visit(t, s.url+"/?h#/experiments/"+s.experiment+"/runs/"+s.runs[hostile], `document.querySelectorAll(".curve").length >= 1`)
	shot("hostile")
	tab.Look(t, 390, true)
	tab.Visit(t, s.url+"/?p", `document.querySelectorAll("tr[data-run]").length > 5`)
	shot("phone-runs")
	tab.Visit(t, s.url+"/?pr#/experiments/"+s.experiment+"/runs/"+s.runs["amber-eagle"], `document.querySelectorAll(".curve").length >= 1`)
	shot("phone-run")
	tab.Look(t, 1280, true)
	tab.Visit(t, s.url+"/?e#/experiments/"+s.experiment+"/runs?compareRunsMode=CHART&flat=true", `document.querySelectorAll(".line").length > 5`)
	shot("chart")
}
