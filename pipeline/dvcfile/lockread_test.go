package dvcfile

import (
	"strings"
	"testing"
)

// usual is a dvc.lock as DVC writes it; where a stage is not, %s stands for it.
const usual = `schema: '2.0'
stages:
  prepare:
    cmd: python prepare.py --in data/raw.csv --out data/prepared.csv --seed 42 --test-size` + " \n" + `      0.2
    deps:
    - path: data/raw.csv
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 12
    - path: 'it''s'
      md5: '01234567890123456789012345678901'
      size: 0
    params:
      params.yaml:
        a.b: -1
        lr: 1e-05
        name: x y
        on: true
        quoted: '1'
    outs:
    - path: data/prepared
      hash: md5
      md5: 0123456789abcdef0123456789abcdef.dir
      size: 34
      nfiles: 2
      isexec: true
  train@0:
    cmd:
    - python train.py
    - echo 'done'
%s`

func TestReadLock(t *testing.T) {
	for _, tc := range []struct {
		name, stage string
		direct      bool // without the YAML reader
	}{
		{"nothing unusual", "", true},
		{"a null", "  x:\n    cmd: x\n    params:\n      params.yaml:\n        a:\n", true},
		{"a list", "  x:\n    cmd: x\n    params:\n      params.yaml:\n        a: [1, 2]\n        b:\n        - 1\n", true},
		{"text of several lines", "  x:\n    cmd: 'a\n\n      b'\n  y:\n    cmd: |\n      a\n\n      b\n", true},
		{"a comment", "  # c\n  x:\n    cmd: x # d\n", false},
		{"an anchor", "  x:\n    cmd: &a x\n  y:\n    cmd: *a\n", false},
		{"a blank line", "\n  x:\n    cmd: x\n", false},
		{"data sets", "datasets:\n- name: x\n", false},
		{"a flow mapping", "  x: {cmd: x, deps: [{path: a}]}\n", false},
		{"no hash", "  x:\n    cmd: x\n    outs:\n    - path: a\n    - path: b\n      etag: c\n", true},
		{"not ASCII", "  x:\n    cmd: эхо ё\n    deps:\n    - path: данные/1\n", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(usual, "%s", tc.stage, 1)
			r := lockReader{rest: text}
			if got := r.file(); got != tc.direct {
				t.Errorf("read line by line: %v, want %v", got, tc.direct)
			}
			sameAsParsed(t, text)
		})
	}
}

// TestReadLockErrors: what is wrong is said as ParseLock says it.
func TestReadLockErrors(t *testing.T) {
	for _, stage := range []string{
		"  prepare:\n    cmd: x\n", "  x:\n    cmd: x\n    cmd: y\n", "  x:\n    deps:\n    - path: a\n", "  x:\n    cmd: 1\n",
		"  x:\n    cmd: x\n    outs:\n    - path: a\n      md5: zz\n", "  x:\n    cmd: x\n    outs:\n    - path: a\n      path: b\n",
		"  x:\n    cmd: x\n    outs:\n    - hash: md5\n", "  x:\n    cmd: x\n    params:\n      p.yaml:\n        a: 1\n        a: 2\n",
		"  x:\n    cmd: x\n    params:\n      p.yaml: 1\n", "  x:\n    cmd: a: b\n", "  x:\n    cmd: x\n   deps: []\n", "  x: 1\n", "  1:\n    cmd: x\n",
		"  x:\n    cmd: x\n    outs:\n    - path: a\n      size: -\n", "  x:\n\tcmd: x\n", "<<<<<<< HEAD\n", "  x:\n    cmd: 'x\n",
	} {
		text := strings.Replace(usual, "%s", stage, 1)
		_, err := ReadLock("dvc.lock", []byte(text))
		_, want := ParseLock("dvc.lock", []byte(text))
		if err == nil || want == nil || err.Error() != want.Error() {
			t.Errorf("%q: error %v, want %v", stage, err, want)
		}
	}
}

func sameAsParsed(t *testing.T, text string) {
	t.Helper()
	r := lockReader{rest: text}
	if !r.file() {
		return
	}
	l, err := ParseLock("dvc.lock", []byte(text))
	if err != nil {
		t.Fatalf("read line by line, but: %v\n%s", err, text)
	}
	if len(r.stages) != len(l.stages) {
		t.Errorf("%d stages, want %d\n%s", len(r.stages), len(l.stages), text)
	}
	for name, want := range l.stages {
		got := r.stages[name]
		if got == nil || PyRepr(got.Value()) != PyRepr(want.Value()) {
			t.Fatalf("%s: got  %v\nwant %s\nin %s", name, got, PyRepr(want.Value()), text)
		}
		for i, e := range want.Outs {
			if g := got.Outs[i]; g.HasSize != e.HasSize || g.HasNFiles != e.HasNFiles || g.Meta != e.Meta {
				t.Errorf("%s: got %+v, want %+v", name, g, e)
			}
		}
	}
}

// FuzzReadLock: what is read line by line is what the YAML reader reads.
func FuzzReadLock(f *testing.F) {
	f.Add(strings.Replace(usual, "%s", "", 1))
	f.Add("schema: '2.0'\nstages:\n  a:\n    cmd: x\n    params:\n      p:\n        k: [1]\n    outs:\n    - path: y\n      size: 3\n")
	f.Add("schema: '2.0'\nstages:\n  'a b':\n    cmd:\n    - 'x'\n    - |\n      y\n\n  b:\n    cmd: x\n      y\n")
	f.Fuzz(func(t *testing.T, text string) { sameAsParsed(t, text) })
}
