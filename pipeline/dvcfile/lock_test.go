package dvcfile

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/storage"
)

func TestLockErrors(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"conflict", "schema: '2.0'\n<<<<<<< HEAD\nstages:\n", "dvc.lock:2:1: the file has unresolved merge conflicts"},
		{"syntax", "schema: '2.0'\nstages: [\n", "dvc.lock:3:1: a value is expected here, not the end of the file"},
		{"list", "- a\n", "dvc.lock:1:1: a lock file is a mapping, not a list"},
		{"no schema", "train:\n  cmd: x\n", "dvc.lock:1:1: the lock file has no schema; it is from DVC 1 or not a lock file"},
		{"schema", "schema: 2.0\nstages: {}\n", "dvc.lock:1:9: the lock file has schema 2.0; only '2.0' is known"},
		{"top key", "schema: '2.0'\nstage: {}\n", `dvc.lock:2:1: the key "stage" is not known here; did you mean "stages"?`},
		{"stage key", "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    dep: []\n", `dvc.lock:5:5: the key "dep" is not known here; did you mean "deps"?`},
		{"no cmd", "schema: '2.0'\nstages:\n  a:\n    deps: []\n", "dvc.lock:4:5: the stage lacks the key cmd"},
		{"cmd", "schema: '2.0'\nstages:\n  a:\n    cmd: 1\n", "dvc.lock:4:10: cmd must be a text or a list, not a whole number"},
		{"size", "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - path: p\n      size: big\n", "dvc.lock:7:13: size must be a whole number, not a text"},
		{"no path", "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    outs:\n    - size: 1\n", "dvc.lock:6:7: the entry lacks the key path"},
		{"params", "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    params:\n      p.yaml: [a]\n", "dvc.lock:6:15: the params of p.yaml must be a mapping, not a list"},
		{"twice", "schema: '2.0'\nstages:\n  a: {cmd: x}\n  a: {cmd: y}\n", "dvc.lock:4:3: the key a is given twice in one mapping"},
		{"two documents", "schema: '2.0'\n---\na: 1\n", "dvc.lock:2:1: a second document begins here; one is expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseLock("dvc.lock", []byte(c.in))
			if err == nil {
				t.Fatal("no error")
			}
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
			if errs.KindOf(err) != errs.ProjectFile {
				t.Errorf("kind %d", errs.KindOf(err))
			}
		})
	}
}

func TestLockUpdates(t *testing.T) {
	l, err := ParseLock("dvc.lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(l.Encode()); got != "{}\n" {
		t.Errorf("an empty lock is written as %q", got)
	}
	one := &StageLock{Cmd: "run", Params: NewMap("params.yaml", NewMap("lr", NewInt(1)))}
	if !l.SetStage("one", one) {
		t.Error("a new stage is no change")
	}
	if l.SetStage("one", &StageLock{Cmd: "run", Params: NewMap("params.yaml", NewMap("lr", Float(1)))}) {
		t.Error("1 and 1.0 count as a change")
	}
	two := &StageLock{Cmd: "run", Outs: []Entry{
		NewEntry("b", "d41d8cd98f00b204e9800998ecf8427e", storage.Meta{}),
		NewEntry("a", "d751713988987e9331980363e24189ce.dir", storage.Meta{}),
	}}
	if !l.SetStage("two", two) {
		t.Error("a new stage is no change")
	}
	const want = `schema: '2.0'
stages:
  one:
    cmd: run
    params:
      params.yaml:
        lr: 1.0
  two:
    cmd: run
    outs:
    - path: a
      hash: md5
      md5: d751713988987e9331980363e24189ce.dir
      size: 0
      nfiles: 0
    - path: b
      hash: md5
      md5: d41d8cd98f00b204e9800998ecf8427e
      size: 0
`
	if got := string(l.Encode()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	l.RemoveStage("one")
	l.RemoveStage("none")
	if got := l.Names(); !slices.Equal(got, []string{"two"}) {
		t.Errorf("names %v", got)
	}
	if _, ok := l.Stage("one"); ok {
		t.Error("a removed stage is there")
	}
	if got := string(l.Encode()); strings.Contains(got, "one") || !strings.Contains(got, "two") {
		t.Errorf("after removal\n%s", got)
	}
}

// What DVC 2 wrote has no hash key, and what this package does not know of
// stays in the file.
func TestLockKeeps(t *testing.T) {
	const in = `schema: '2.0'
datasets:
- name: d
  type: dvc
  rev_lock: abc
stages:
  old:
    cmd: x
    deps:
    - path: ds://d
      dataset:
        name: d
    outs:
    - path: p   # legacy
      md5: 0123456789ABCDEF0123456789abcdef
      size: 1
  dir:
    cmd: y
    outs:
    - path: q
      hash: md5
      files:
      - relpath: a
        md5: 0123456789abcdef0123456789abcdef
        cloud:
          s3:
            version_id: v
`
	l, err := ParseLock("dvc.lock", []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := l.Stage("old")
	if e := s.Outs[0]; e.Hash != "" || e.Digest != "0123456789abcdef0123456789abcdef" || e.HasNFiles || !e.HasSize {
		t.Errorf("entry %+v", e)
	}
	if PyRepr(l.Datasets()) != "[{'name': 'd', 'type': 'dvc', 'rev_lock': 'abc'}]" {
		t.Errorf("datasets %s", PyRepr(l.Datasets()))
	}
	d, _ := l.Stage("dir")
	l.SetStage("dir", d)
	if got := string(l.Encode()); got != in {
		t.Errorf("got\n%s\nwant\n%s", got, in)
	}
}

func TestDataFile(t *testing.T) {
	d := NewDataFile("d.dvc", NewEntry("d", "d751713988987e9331980363e24189ce.dir", storage.Meta{Size: 12, NFiles: 5}))
	const fresh = "outs:\n- md5: d751713988987e9331980363e24189ce.dir\n  size: 12\n  nfiles: 5\n  hash: md5\n  path: d\n"
	if got := string(d.Encode()); got != fresh {
		t.Errorf("got\n%s\nwant\n%s", got, fresh)
	}
	const old = `# where it came from
wdir: .
locked: true
outs:
- path: f  # the file
  md5: 0000000000000000000000000000000a
  push: false
`
	d, err := ParseDataFile("f.dvc", []byte(old))
	if err != nil {
		t.Fatal(err)
	}
	if o := d.Outs[0]; !d.Frozen || o.Push || !o.Cache || o.Hash != "" {
		t.Errorf("read as %+v", d)
	}
	d.Outs[0].Entry = NewEntry("f", "11111111111111111111111111111111", storage.Meta{Size: 3, IsExec: true})
	const want = `# where it came from
outs:
- path: f  # the file
  md5: '11111111111111111111111111111111'
  push: false
  size: 3
  isexec: true
  hash: md5
frozen: true
`
	if got := string(d.Encode()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for in, want := range map[string]string{
		"outs:\n- path: f\n  cach: true\n": `f.dvc:3:3: the key "cach" is not known here; did you mean "cache"?`,
		"cmd: x\n":                         `f.dvc:1:1: the key "cmd" is not known here`,
		"outs: x\n":                        "f.dvc:1:7: outs must be a list, not a text",
		"outs:\n- size: 1\n":               "f.dvc:2:3: the entry lacks the key path",
		"frozen: 1\n":                      "f.dvc:1:9: frozen must be true or false, not a whole number",
	} {
		if _, err := ParseDataFile("f.dvc", []byte(in)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", in, err, want)
		}
	}
}

// Where folding loses blanks, the second writing of the file has the text that
// the first one reads back as, as if the file had been read between.
func TestLockSettles(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word  ", 40))
	set := func(l *Lock, name string) {
		l.SetStage(name, &StageLock{Cmd: long, Params: NewMap("params.yaml", NewMap("text", long))})
	}
	kept, err := ParseLock("dvc.lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, name := range []string{"a", "b", "c"} {
		again, err := ParseLock("dvc.lock", want)
		if err != nil {
			t.Fatal(err)
		}
		set(kept, name)
		set(again, name)
		want = again.Encode()
		if got := kept.Encode(); !bytes.Equal(got, want) {
			t.Errorf("after %s:\n%s\nwant\n%s", name, got, want)
		}
		read, err := ParseLock("dvc.lock", want)
		if err != nil {
			t.Fatal(err)
		}
		if s, _ := read.Stage("a"); Equal(s.Cmd, long) || !SameCommand("a", s.Cmd, long) || SameCommand("a", s.Cmd, long+" x") {
			t.Errorf("after %s the command is %q", name, s.Cmd)
		}
	}
}

// Anchors of several stages are numbered through, however often the file is
// written.
func TestLockAnchors(t *testing.T) {
	l, err := ParseLock("dvc.lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	for _, name := range []string{"a", "b", "c"} {
		list := []Value{NewInt(1)}
		l.SetStage(name, &StageLock{Cmd: "x", Params: NewMap("params.yaml", NewMap("k", list, "l", list))})
		text = string(l.Encode())
	}
	for _, want := range []string{"k: &id001", "l: *id001", "k: &id002", "l: *id002", "k: &id003", "l: *id003"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%s is not there once:\n%s", want, text)
		}
	}
}
