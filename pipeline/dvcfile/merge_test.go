package dvcfile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ctrx/storage"
)

// lockOf writes a lock of stages "name:version"; "name:" has no version and is
// left out.
func lockOf(stages ...string) []byte {
	l, err := ParseLock("dvc.lock", nil)
	if err != nil {
		panic(err)
	}
	for _, s := range stages {
		name, version, _ := strings.Cut(s, ":")
		if version != "" {
			l.SetStage(name, stageOf(version))
		}
	}
	return l.Encode()
}

func stageOf(version string) *StageLock {
	return &StageLock{
		Cmd:    "run " + version,
		Params: NewMap("params.yaml", NewMap("lr", Float(0.5), "n", NewInt(1))),
		Outs:   []Entry{NewEntry("out", storage.Digest(fmt.Sprintf("%032x", len(version)*7919+int(version[0]))), storage.Meta{Size: 3})},
	}
}

func TestMergeLock(t *testing.T) {
	lock := func(stages string) string {
		if stages == "" {
			return ""
		}
		return string(lockOf(strings.Fields(stages)...))
	}
	for _, c := range []struct{ name, base, ours, theirs, want, conflicts string }{
		{"different stages", "a:1 b:1 c:1", "a:2 b:1 c:1", "a:1 b:1 c:3", "a:2 b:1 c:3", ""},
		{"same change", "a:1 b:1", "a:2 b:1", "a:2 b:1", "a:2 b:1", ""},
		{"new on both sides", "", "a:1", "b:1", "a:1 b:1", ""},
		{"new and changed", "a:1", "a:1 b:1", "a:2", "a:2 b:1", ""},
		{"removed by us", "a:1 b:1", "b:1", "a:1 b:2", "b:2", ""},
		{"removed by them", "a:1 b:1 c:1", "a:2 b:1 c:1", "a:1 c:1", "a:2 c:1", ""},
		{"removed by both", "a:1 b:1 c:1", "b:1 c:2", "b:2 c:1", "b:2 c:2", ""},
		{"both changed", "a:1 b:1", "a:2 b:1", "a:3 b:2", "", "stage 'a'"},
		{"both new", "", "a:2 b:1", "a:3 c:1", "", "stage 'a'"},
		{"changed and removed", "a:1 b:1", "b:1", "a:2 b:1", "", "stage 'a'"},
		{"removed and changed", "a:1 b:1", "a:2 b:1", "b:1", "", "stage 'a'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := MergeLock(Versions{"dvc.lock", []byte(lock(c.base)), []byte(lock(c.ours)), []byte(lock(c.theirs))})
			if conflicts := strings.Join(got.Conflicts, ", "); conflicts != c.conflicts {
				t.Errorf("conflicts %q, want %q", conflicts, c.conflicts)
			}
			if c.conflicts == "" && string(got.Data) != lock(c.want) {
				t.Errorf("merged:\n%s\nwant:\n%s", got.Data, lock(c.want))
			}
			if c.conflicts != "" {
				if _, err := ParseLock("dvc.lock", got.Data); err == nil || !strings.Contains(err.Error(), "unresolved merge conflicts") {
					t.Errorf("the conflict reads as %v:\n%s", err, got.Data)
				}
			}
		})
	}
}

// What stands between the marks is each side's own lock, whole.
func TestMergeLockMarks(t *testing.T) {
	v := Versions{"dvc.lock", lockOf("a:1", "b:1", "c:1", "d:1"), lockOf("a:2", "b:1", "c:2", "d:1"), lockOf("a:3", "b:1", "d:4")}
	got := MergeLock(v)
	if want := "stage 'a', stage 'c'"; strings.Join(got.Conflicts, ", ") != want {
		t.Errorf("conflicts %q, want %q", got.Conflicts, want)
	}
	for side, want := range map[string][]byte{"ours": lockOf("a:2", "b:1", "c:2", "d:4"), "theirs": lockOf("a:3", "b:1", "d:4")} {
		if text := resolve(string(got.Data), side); text != string(want) {
			t.Errorf("resolved to %s:\n%s\nwant:\n%s", side, text, want)
		}
	}
}

// resolve takes one side of every conflict.
func resolve(text, side string) string {
	var out strings.Builder
	at := ""
	for line := range strings.Lines(text) {
		switch line {
		case "<<<<<<< ours\n":
			at = "ours"
		case "=======\n":
			at = "theirs"
		case ">>>>>>> theirs\n":
			at = ""
		default:
			if at == "" || at == side {
				out.WriteString(line)
			}
		}
	}
	return out.String()
}

func TestMergeLockKeeps(t *testing.T) {
	base := "# ours\nschema: '2.0'\nstages:\n  a:\n    cmd: a\n"
	datasets := "datasets:\n- name: d\n  url: u\n  type: url\n"
	theirs := "schema: '2.0'\nstages:\n  a:\n    cmd: b\n" + datasets
	ours := "# ours\nschema: '2.0'\nstages:\n  a:\n    cmd: a\n  n:\n    cmd: n\n    params:\n      p.yaml:\n        x: .nan\n        y: 012\n"
	got := MergeLock(Versions{"dvc.lock", []byte(base), []byte(ours), []byte(theirs)})
	want := strings.Replace(ours, "cmd: a", "cmd: b", 1) + datasets
	if len(got.Conflicts) > 0 || string(got.Data) != want {
		t.Errorf("conflicts %v, merged:\n%s\nwant:\n%s", got.Conflicts, got.Data, want)
	}
	if again := MergeLock(Versions{"dvc.lock", []byte(ours), []byte(ours), []byte(theirs)}); string(again.Data) != theirs {
		t.Errorf("only they changed:\n%s", again.Data)
	}
}

// A version that is no lock file loses nothing: both stand in the result.
func TestMergeLockUnreadable(t *testing.T) {
	ours, theirs := lockOf("a:1", "b:1"), []byte("schema: '2.0'\nstages: [\n")
	got := MergeLock(Versions{"dvc.lock", nil, ours, theirs})
	if len(got.Conflicts) != 1 || !strings.Contains(got.Conflicts[0], "dvc.lock (theirs):3:1: ") {
		t.Errorf("conflicts %q", got.Conflicts)
	}
	if resolve(string(got.Data), "ours") != string(ours) || resolve(string(got.Data), "theirs") != string(theirs) {
		t.Errorf("a side is lost:\n%s", got.Data)
	}
}

// An ancestor that Git merged itself may have a conflict in it.
func TestMergeLockBaseWithConflict(t *testing.T) {
	base := MergeLock(Versions{"dvc.lock", lockOf("a:1"), lockOf("a:2"), lockOf("a:3")})
	if len(base.Conflicts) == 0 {
		t.Fatal("no conflict to begin with")
	}
	got := MergeLock(Versions{"dvc.lock", base.Data, lockOf("a:2", "b:1"), lockOf("a:2", "c:1")})
	if want := lockOf("a:2", "b:1", "c:1"); len(got.Conflicts) > 0 || string(got.Data) != string(want) {
		t.Errorf("conflicts %v, merged:\n%s\nwant:\n%s", got.Conflicts, got.Data, want)
	}
	if got := MergeLock(Versions{"dvc.lock", base.Data, lockOf("a:2", "b:1"), lockOf("a:3", "b:1")}); strings.Join(got.Conflicts, ", ") != "stage 'a'" {
		t.Errorf("conflicts %v", got.Conflicts)
	}
}

// Edits of different stages give what both edits one after the other give, and
// the same from either side.
func TestMergeLockProperty(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var base, ours, theirs, want []string
		for i := range 1 + r.IntN(8) {
			name := fmt.Sprintf("s%d:", i)
			before := name
			if r.IntN(4) > 0 {
				before += "1"
			}
			after := name + []string{"", "2", "33"}[r.IntN(3)]
			o, th := before, before
			switch r.IntN(3) {
			case 0:
				o = after
			case 1:
				th = after
			}
			base, ours, theirs = append(base, before), append(ours, o), append(theirs, th)
			if want = append(want, after); o == before && th == before {
				want[i] = before
			}
		}
		v := Versions{"dvc.lock", lockOf(base...), lockOf(ours...), lockOf(theirs...)}
		got := MergeLock(v)
		mirrored := MergeLock(Versions{"dvc.lock", v.Base, v.Theirs, v.Ours})
		if len(got.Conflicts)+len(mirrored.Conflicts) > 0 {
			t.Fatalf("seed %d: conflicts %v, %v", seed, got.Conflicts, mirrored.Conflicts)
		}
		for _, data := range [][]byte{got.Data, mirrored.Data} {
			if a, b := stagesOf(t, data), stagesOf(t, lockOf(want...)); fingerprint(a) != fingerprint(b) {
				t.Fatalf("seed %d: %s + %s over %s:\n%s\nwant %s", seed, ours, theirs, base, data, want)
			}
			if l, err := ParseLock("dvc.lock", data); err != nil || string(l.Encode()) != string(data) {
				t.Fatalf("seed %d: the merged file is not what the emitter writes:\n%s", seed, data)
			}
		}
	}
}

func stagesOf(t *testing.T, data []byte) *Map {
	t.Helper()
	l, err := ParseLock("dvc.lock", data)
	if err != nil {
		t.Fatal(err)
	}
	m := &Map{}
	for _, name := range l.Names() {
		s, _ := l.Stage(name)
		m.Set(name, s.Value())
	}
	return m
}

const (
	digest1 = "a1111111111111111111111111111111"
	digest2 = "a2222222222222222222222222222222"
	digest3 = "a3333333333333333333333333333333"
)

func TestMergeDataFile(t *testing.T) {
	file := func(md5, rest string) string {
		return "outs:\n- md5: " + md5 + "\n  size: 3\n  hash: md5\n  path: d\n" + rest
	}
	folder := func(md5 string) string { return file(md5+".dir", "") }
	dirs := func(base, ours, theirs Entry) (Entry, error) {
		if theirs.Digest == digest3+".dir" {
			return Entry{}, errors.New("both sides changed x")
		}
		if want := digest1 + ".dir"; base.Digest != "" && string(base.Digest) != want {
			t.Errorf("base %q, want %q", base.Digest, want)
		}
		return NewEntry(ours.Path, digest3+".dir", storage.Meta{Size: 9, NFiles: 2}), nil
	}
	for _, c := range []struct{ name, base, ours, theirs, want, conflicts string }{
		{"content and description", file(digest1, ""), file(digest1, "  desc: x\n"), file(digest2, ""), file(digest2, "  desc: x\n"), ""},
		{"comment of ours", file(digest1, ""), "# c\n" + file(digest1, "  desc: x\n"), file(digest2, ""), "# c\n" + file(digest2, "  desc: x\n"), ""},
		{"same content", file(digest1, ""), file(digest2, "  desc: x\n"), file(digest2, ""), file(digest2, "  desc: x\n"), ""},
		{"exec bit and content", file(digest1, ""), file(digest1, "  isexec: true\n"), file(digest2, ""), file(digest2, "  isexec: true\n"), ""},
		{"both contents", file(digest1, ""), file(digest2, ""), file(digest3, ""), "", "output 'd': both sides changed its content"},
		{"both descriptions", file(digest1, ""), file(digest1, "  desc: x\n"), file(digest1, "  desc: y\n"), "", "output 'd': desc"},
		{"labels and meta", file(digest1, ""), file(digest1, "  labels:\n  - a\n"), file(digest1, "  meta:\n    k: 1\n"), file(digest1, "  labels:\n  - a\n  meta:\n    k: 1\n"), ""},
		{"folders", folder(digest1), folder(digest2), folder(digest2[1:] + "4"), "outs:\n- md5: " + digest3 + ".dir\n  size: 9\n  hash: md5\n  path: d\n  nfiles: 2\n", ""},
		{"new folders", "", folder(digest1), folder(digest2), "outs:\n- md5: " + digest3 + ".dir\n  size: 9\n  hash: md5\n  path: d\n  nfiles: 2\n", ""},
		{"folders with a conflict", folder(digest1), folder(digest2), folder(digest3), "", "output 'd': both sides changed x"},
		{"folder and file", folder(digest1), folder(digest2), file(digest3, ""), "", "output 'd': both sides changed its content"},
		{"listed twice", "", file(digest1, "- path: d\n"), file(digest1, ""), "", "output 'd': it is listed twice"},
		{"moved and changed", file(digest1, ""), strings.Replace(file(digest1, ""), "path: d", "path: e", 1), file(digest2, ""), "", "output 'd': one side removed it, the other changed it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := MergeDataFile(Versions{"d.dvc", []byte(c.base), []byte(c.ours), []byte(c.theirs)}, dirs)
			if conflicts := strings.Join(got.Conflicts, ", "); conflicts != c.conflicts {
				t.Errorf("conflicts %q, want %q", conflicts, c.conflicts)
			}
			if c.conflicts == "" {
				if string(got.Data) != c.want {
					t.Errorf("merged:\n%s\nwant:\n%s", got.Data, c.want)
				}
				return
			}
			if resolve(string(got.Data), "ours") != c.ours || resolve(string(got.Data), "theirs") != c.theirs {
				t.Errorf("a side is lost:\n%s", got.Data)
			}
		})
	}
}

// The checksum of an import belongs to all its fields.
func TestMergeDataFileChecksum(t *testing.T) {
	text := func(wdir, path string) string {
		d := &DataFile{File: "d.dvc", WDir: wdir, Frozen: true, Deps: []Entry{{Path: path, Hash: "md5", Digest: digest1}}, Outs: []DataOut{{Entry: Entry{Path: "d", Hash: "md5", Digest: digest1}, Cache: true, Push: true}}}
		d.MD5 = d.Checksum()
		return string(d.Encode())
	}
	addRemote := func(s string) string { return s + "  remote: r\n" }
	ours, err := ParseDataFile("d.dvc", []byte(addRemote(text("", "/a"))))
	if err != nil {
		t.Fatal(err)
	}
	ours.MD5 = ours.Checksum()
	got := MergeDataFile(Versions{"d.dvc", []byte(text("", "/a")), ours.Encode(), []byte(text("w", "/a"))}, nil)
	d, err := ParseDataFile("d.dvc", got.Data)
	if err != nil || len(got.Conflicts) > 0 {
		t.Fatal(err, got.Conflicts)
	}
	if d.WDir != "w" || d.Outs[0].Remote != "r" || d.MD5 != d.Checksum() || d.MD5 == ours.MD5 {
		t.Errorf("merged:\n%s", got.Data)
	}
}

// FuzzMerge: no input breaks a merge, equal sides and one-sided changes are
// taken as they are, a clean merge can be read, and a conflict loses no side.
func FuzzMerge(f *testing.F) {
	f.Add(lockOf("a:1", "b:1"), lockOf("a:2", "b:1"), lockOf("a:1", "b:2"))
	f.Add([]byte(""), lockOf("a:1"), lockOf("a:2", "c:1"))
	f.Add(lockOf("a:1"), []byte("schema: '2.0'\nstages: {a: &x {cmd: y}, b: *x}\n"), []byte("schema: '2.0'\ndatasets: []\nstages:\n"))
	f.Add([]byte("outs:\n- path: d\n"), []byte("outs:\n- path: d\n  desc: x\n"), []byte("md5: "+digest1+"\nouts:\n- path: d\n  md5: "+digest1+".dir\n"))
	dirs := func(base, ours, theirs Entry) (Entry, error) { return ours, nil }
	f.Fuzz(func(t *testing.T, base, ours, theirs []byte) {
		for _, kind := range []struct {
			merge       func(Versions) Merged
			parse       func([]byte) error
			baseMayFail bool
		}{
			{MergeLock, func(b []byte) error { _, err := ParseLock("f", b); return err }, true},
			{func(v Versions) Merged { return MergeDataFile(v, dirs) }, func(b []byte) error { _, err := ParseDataFile("f", b); return err }, false},
		} {
			readable := (kind.baseMayFail || kind.parse(base) == nil) && kind.parse(ours) == nil && kind.parse(theirs) == nil
			got := kind.merge(Versions{"f", base, ours, theirs})
			if readable && len(got.Conflicts) == 0 {
				if err := kind.parse(got.Data); err != nil {
					t.Errorf("a clean merge reads as %v:\n%s", err, got.Data)
				}
			}
			if !readable && len(got.Conflicts) == 0 {
				t.Errorf("a merge of what cannot be read is clean:\n%s", got.Data)
			}
			if len(got.Conflicts) > 0 && string(ours) != string(theirs) && !strings.Contains(string(got.Data), "<<<<<<< ours\n") {
				t.Errorf("a conflict without marks:\n%s", got.Data)
			}
			if readable {
				for _, same := range []Versions{{"f", ours, ours, theirs}, {"f", theirs, ours, theirs}, {"f", base, ours, ours}} {
					if m := kind.merge(same); len(m.Conflicts) > 0 && !strings.Contains(m.Conflicts[0], "twice") && !strings.Contains(m.Conflicts[0], "datasets") {
						t.Errorf("one-sided change: conflicts %v", m.Conflicts)
					}
				}
			}
		}
	})
}
