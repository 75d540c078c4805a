package settings

import (
	"strings"
	"testing"

	"ctrx/internal/errs"
)

func TestCtrxValues(t *testing.T) {
	c, err := ParseCtrx("ctrx.yaml", []byte("# ours\ntracking:\n  uri: http://h:5000\n  experiment: '007'\n  on_error: fail\n  repro: true\n  live: false\n  stage_logs: false\nexp: {push: True}\npython:\n  uv: never\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Tracking != (TrackingSettings{"http://h:5000", "007", "fail", true, false, true, false}) || !c.Exp.Push || c.Python.UV != "never" {
		t.Errorf("%+v", c)
	}
	if pos, ok := c.Pos("tracking.on_error"); !ok || pos.String() != "ctrx.yaml:5:13" {
		t.Errorf("position %v, %v", pos, ok)
	}
	if _, ok := c.Pos("tracking.nothing"); ok {
		t.Error("position of nothing")
	}
}

func TestCtrxDefaults(t *testing.T) {
	for _, in := range []string{"", "\n# nothing\n", "---\n", "tracking:\nexp:\n", "tracking: {uri: }\n", "null\n"} {
		c, err := ParseCtrx("ctrx.yaml", []byte(in))
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if c.Tracking != (TrackingSettings{OnError: "spool", Live: true, SystemMetrics: true, StageLogs: true}) || c.Exp.Push || c.Python.UV != "auto" {
			t.Errorf("%q: %+v", in, c)
		}
	}
	c, err := LoadCtrx(t.TempDir())
	if err != nil || c.Tracking.OnError != "spool" {
		t.Errorf("no file: %+v, %v", c, err)
	}
}

func TestCtrxErrors(t *testing.T) {
	tests := []struct{ in, want, hint string }{
		{"trackin:\n  uri: x\n", "ctrx.yaml:1:1: unknown setting trackin", "did you mean tracking?"},
		{"tracking:\n  url: x\n", "ctrx.yaml:2:3: unknown setting tracking.url", "did you mean uri?"},
		{"tracking:\n  zzzzzz: x\n", "ctrx.yaml:2:3: unknown setting tracking.zzzzzz", "known here: experiment, live, on_error, repro, stage_logs, system_metrics, uri"},
		{"tracking:\n  on_error: explode\n", `ctrx.yaml:2:13: tracking.on_error must be spool or fail, not "explode"`, ""},
		{"tracking:\n  repro: yes please\n", `ctrx.yaml:2:10: tracking.repro must be true or false, not "yes please"`, ""},
		{"tracking:\n  uri: 12\n", "ctrx.yaml:2:8: tracking.uri must be text, not the number 12", ""},
		{"tracking: [a]\n", "ctrx.yaml:1:11: tracking must be a mapping of settings, not a list", ""},
		{"just text\n", `ctrx.yaml:1:1: the file must be a mapping of settings, not "just text"`, ""},
		{"exp:\n  push: true\n  push: false\n", "ctrx.yaml:3:3: exp.push is set twice", ""},
		{"exp: {push: true\n", "ctrx.yaml:1: not valid YAML", ""},
		{"a: b: c\n", "not valid YAML", ""},
	}
	for _, tt := range tests {
		_, err := ParseCtrx("ctrx.yaml", []byte(tt.in))
		if err == nil || !strings.Contains(err.Error(), tt.want) || errs.KindOf(err) != errs.ProjectFile || errs.HintOf(err) != tt.hint {
			t.Errorf("%q: %v (hint %q)", tt.in, err, errs.HintOf(err))
		}
	}
}
