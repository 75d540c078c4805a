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
}
