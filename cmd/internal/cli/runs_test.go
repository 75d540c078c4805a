package cli

import (
	"strings"
	"testing"
	"time"

	"ctrx/experiment"
	"ctrx/tracking"
)

// What other programs wrote into a run neither breaks a table nor reaches the
// terminal as a command.
func TestCell(t *testing.T) {
	for _, c := range []struct {
		in       string
		markdown bool
		want     string
	}{
		{"plain ü", false, "plain ü"},
		{"two\nlines\tand", false, "two lines and"},
		{"\x1b[31mred\x1b]0;title\a\r\u009b2J", false, "�[31mred�]0;title���2J"},
		{"a|b", false, "a|b"},
		{"a|b\n", true, `a\|b `},
	} {
		if got := cell(c.in, c.markdown); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	if got := (&app{}).table([][]string{{"a\x1b", "b"}, {"c\nd", "e"}}); got != "a�   b\nc d  e\n" {
		t.Errorf("%q", got)
	}
}

// A run that does not say when it began has no duration, and no year 1.
func TestRunWithoutStart(t *testing.T) {
	run := tracking.RunRecord{ID: "0123456789abcdef0123456789abcdef", Name: "foreign", EndTime: time.UnixMilli(1800000000000)}
	if start, duration := startOf(run, time.DateTime), durationOf(run); start != "-" || duration != "-" {
		t.Errorf("started %s, took %s", start, duration)
	}
	if j := runsJSON([]tracking.RunRecord{run})[0]; j.Start != nil || j.End == nil {
		t.Errorf("%+v", j)
	}
	for _, row := range experiment.CompareRuns([]tracking.RunRecord{run, run}, false) {
		if strings.Contains("started duration", row.Key) {
			t.Errorf("%+v", row)
		}
	}
}
