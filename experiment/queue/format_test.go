package queue

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ctrx/experiment/queue/pickle"
	"ctrx/internal/fsx"
	"ctrx/internal/testreq"
	"ctrx/pipeline"
)

// dvcVectors is testdata/dvc.json, made by testdata/make.py with the real dvc.
type dvcVectors struct {
	Log, Failed []string
	Messages    map[string]json.RawMessage
	Args        map[string]string // by stash commit
	Commits     map[string]string
	Runs        map[string]map[string]json.RawMessage
	Results     []json.RawMessage
}

func vectors(t testing.TB) dvcVectors {
	t.Helper()
	data, err := os.ReadFile("testdata/dvc.json")
	if err != nil {
		t.Fatal(err)
	}
	var v dvcVectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Messages) != 8 || len(v.Log) != 8 || len(v.Failed) != 1 {
		t.Fatalf("the vectors are not whole: %d messages, %d log lines", len(v.Messages), len(v.Log))
	}
	return v
}

// sameJSON tells whether two documents hold the same.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// byName decodes the messages of the vectors.
func byName(t *testing.T, v dvcVectors) map[string]message {
	t.Helper()
	found := map[string]message{}
	for file, data := range v.Messages {
		m, ok, err := decodeMessage(file, data)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", file, ok, err)
		}
		found[text(m.Entry.Name)] = m
	}
	return found
}

func TestMessagesOfDVC(t *testing.T) {
	v := vectors(t)
	for name, m := range byName(t, v) {
		if m.Entry.StashRef != stashRef || text(m.Entry.Head) != m.Entry.Baseline || m.Entry.DVCRoot == "" || m.Priority != 0 {
			t.Errorf("%s: %+v", name, m)
		}
		wantCopies, wantMessage := []string{}, ""
		if name == "more" {
			wantCopies, wantMessage = []string{"extra"}, "a message: é"
		}
		if !reflect.DeepEqual(m.CopyPaths, wantCopies) || m.Message != wantMessage {
			t.Errorf("%s: copies %v, message %q", name, m.CopyPaths, m.Message)
		}
	}
}

// What ctrx writes for the same experiment holds the same call, and the fields
// that dvc's library asks for.
func TestMessageAsDVCWritesIt(t *testing.T) {
	for file, data := range vectors(t).Messages {
		m, _, err := decodeMessage(file, data)
		if err != nil {
			t.Fatal(err)
		}
		var theirs wireMessage
		if err := json.Unmarshal(data, &theirs); err != nil {
			t.Fatal(err)
		}
		mine, err := m.encode(theirs.Properties.ReplyTo, theirs.Properties.DeliveryTag)
		if err != nil {
			t.Fatal(err)
		}
		var ours wireMessage
		if err := json.Unmarshal(mine, &ours); err != nil {
			t.Fatal(err)
		}
		bodies := make([][]byte, 2)
		for i, b := range []string{theirs.Body, ours.Body} {
			if bodies[i], err = base64.StdEncoding.DecodeString(b); err != nil {
				t.Fatal(err)
			}
		}
		if !sameJSON(t, bodies[0], bodies[1]) {
			t.Errorf("%s: body\n%s\nwant\n%s", file, bodies[1], bodies[0])
		}
		// These three only describe the call, and its caller, to people.
		ours.Body, ours.Headers.ArgsRepr, ours.Headers.KwargsRepr, ours.Headers.Origin = theirs.Body, theirs.Headers.ArgsRepr, theirs.Headers.KwargsRepr, theirs.Headers.Origin
		again, err := json.Marshal(ours)
		if err != nil {
			t.Fatal(err)
		}
		if !sameJSON(t, again, data) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, again, data)
		}
	}
}

func TestMessagesThatAreNone(t *testing.T) {
	good, err := message{ID: "a-1", Entry: Entry{Rev: strings.Repeat("a", 40), Baseline: strings.Repeat("b", 40)}}.encode("r", "t")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := decodeMessage("m", good); err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	for name, change := range map[string][2]string{
		"another task":  {taskName, "celery.ping"},
		"another queue": {`"routing_key":"celery"`, `"routing_key":"x.pidbox"`},
	} {
		if _, ok, err := decodeMessage("m", bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1)); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	for name, data := range map[string]string{
		"no JSON":       "{",
		"no body":       strings.Replace(string(good), `"body":"`, `"body":"!`, 1),
		"path as an id": strings.Replace(string(good), `"id":"a-1"`, `"id":"../x"`, 1),
	} {
		if _, ok, err := decodeMessage("m", []byte(data)); ok || err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNotesOfDVC(t *testing.T) {
	v := vectors(t)
	messages := byName(t, v)
	for _, line := range append(v.Log, v.Failed...) {
		head, text, _ := strings.Cut(line, "\t")
		n, ok := parseNote(text)
		if !ok {
			t.Fatalf("%q is no note", text)
		}
		m := messages[n.Name]
		if rev := strings.Fields(head)[1]; m.Entry.Rev != rev || m.Entry.Baseline != n.Baseline || n.Head != n.Baseline || n.Branch != "" {
			t.Errorf("%+v does not go with %+v", n, m.Entry)
		}
		if "commit: "+n.String() != text {
			t.Errorf("got %q, want %q", "commit: "+n.String(), text)
		}
	}
	for rev, commit := range v.Commits {
		subject, parents, _ := strings.Cut(commit, "|")
		if _, ok := parseNote(subject); !ok || len(strings.Fields(parents)) != 2 {
			t.Errorf("%s: %s", rev, commit)
		}
	}
	h := strings.Repeat("0", 40)
	if n, ok := parseNote("commit: dvc-exp:" + h + ":" + h + ":name:refs/heads/b"); !ok || n.Branch != "refs/heads/b" {
		t.Errorf("a branch: %+v, %v", n, ok)
	}
	for _, bad := range []string{"", "commit: other", "x dvc-exp:" + h + ":" + h + ":n", "commit: dvc-exp:" + h + ":n", "commit: dvc-exp:short:" + h + ":n"} {
		if n, ok := parseNote(bad); ok {
			t.Errorf("%q: %+v", bad, n)
		}
	}
}

func TestArgsOfDVC(t *testing.T) {
	v := vectors(t)
	want := map[string]runArgs{
		"flags": {Keep: true, Plan: pipeline.PlanOptions{
			Targets: []string{"s"}, SingleItem: true, Force: true, Downstream: true, ForceDownstream: true, Pull: true, AllowMissing: true,
		}},
		"more": {Ignore: true, Plan: pipeline.PlanOptions{Targets: []string{"."}, Pipeline: true, Recursive: true}},
	}
	for name, m := range byName(t, v) {
		data, err := hex.DecodeString(v.Args[m.Entry.Rev])
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeArgs(data)
		if err != nil {
			t.Fatal(err)
		}
		wantEnv := []string{"DVC_EXP_BASELINE_REV=" + m.Entry.Baseline, "DVC_EXP_NAME=" + name, "DVC_ROOT=" + m.Entry.DVCRoot}
		if !reflect.DeepEqual(got.environ(), wantEnv) {
			t.Errorf("%s: environment %v", name, got.environ())
		}
		again, err := got.encode()
		if err != nil {
			t.Fatal(err)
		}
		a, err := pickle.Load(data)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := pickle.Load(again); err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s: written again it is %#v, %v; want %#v", name, b, err, a)
		}
		w := want[name]
		w.Env = got.Env
		if !reflect.DeepEqual(got, w) {
			t.Errorf("%s: %+v, want %+v", name, got, w)
		}
	}
}

// Python reads the arguments that ctrx writes.
func TestArgsReadByPython(t *testing.T) {
	testreq.Need(t, testreq.Python)
	args := runArgs{
		Env:  []pickle.Item{{Key: "DVC_EXP_NAME", Value: "é-1"}, {Key: "DVC_ROOT", Value: "/r"}},
		Plan: pipeline.PlanOptions{Targets: []string{"a", "b"}, Force: true}, Keep: true,
	}
	data, err := args.encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "repro.dat")
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	script := "import pickle, sys, json; d = pickle.load(open(sys.argv[1], 'rb')); assert d['args'] == (); print(json.dumps(d['kwargs'], sort_keys=True))"
	out, err := exec.CommandContext(t.Context(), "python3", "-c", script, file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := `{"all_pipelines": false, "allow_missing": false, "downstream": false, "dry": false, "force": true, "force_downstream": false, "interactive": false,
		"on_error": "keep-going", "pipeline": false, "pull": false, "recursive": false, "run_env": {"DVC_EXP_NAME": "é-1", "DVC_ROOT": "/r"}, "single_item": false, "targets": ["a", "b"]}`
	if !sameJSON(t, out, []byte(want)) {
		t.Errorf("got %s", out)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, data := range vectors(f).Messages {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, ok, err := decodeMessage("m", data)
		if err != nil || !ok {
			return
		}
		again, err := m.encode("r", "t")
		if err != nil {
			t.Fatal(err)
		}
		if back, ok, err := decodeMessage("m", again); err != nil || !ok || back.ID != m.ID || back.Entry.Rev != m.Entry.Rev || text(back.Entry.Name) != text(m.Entry.Name) {
			t.Fatalf("%+v came back as %+v, %v", m, back, err)
		}
	})
}

func FuzzDecodeArgs(f *testing.F) {
	for _, text := range vectors(f).Args {
		data, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := decodeArgs(data)
		if err != nil {
			return
		}
		again, err := a.encode()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := decodeArgs(again); err != nil || !reflect.DeepEqual(a.Plan, b.Plan) || fmt.Sprint(a.environ()) != fmt.Sprint(b.environ()) {
			t.Fatalf("%+v came back as %+v, %v", a, b, err)
		}
	})
}

// The files about a run keep every field.
func TestRunFilesOfDVC(t *testing.T) {
	v := vectors(t)
	dir := t.TempDir()
	again := func(data []byte, into any) []byte {
		t.Helper()
		name := filepath.Join(dir, "f")
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if ok, err := readJSON(name, into); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := writeJSON(name, into, fsx.Fast); err != nil {
			t.Fatal(err)
		}
		out, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	failed := 0
	for rev, files := range v.Runs {
		var info runInfo
		if out := again(files["run"], &info); !sameJSON(t, out, files["run"]) {
			t.Errorf("%s.run: %s", rev, out)
		}
		if info.Location != InQueue || (info.ResultHash == nil) != (info.Status == infoFailed) {
			t.Errorf("%+v", info)
		}
		if info.Status == infoFailed {
			failed++
		}
		var proc processInfo
		if out := again(files["json"], &proc); !sameJSON(t, out, files["json"]) || proc.ReturnCode == nil {
			t.Errorf("%s.json: %s", rev, out)
		}
	}
	if failed != 1 {
		t.Errorf("%d runs failed", failed)
	}
	for _, data := range v.Results {
		var r taskResult
		if out := again(data, &r); !sameJSON(t, out, data) || !r.done() {
			t.Errorf("%s", out)
		}
	}
}

func TestParseGPUs(t *testing.T) {
	for in, want := range map[string]string{"0-3": "0 1 2 3", "0,2": "0 2", "1-2,7": "1 2 7", "GPU-8932f937": "GPU-8932f937", "": ""} {
		if got, err := ParseGPUs(strings.Split(in, ",")); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, bad := range []string{"3-1", "1-x", "0-99999"} {
		if got, err := ParseGPUs([]string{bad}); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestShareGPUs(t *testing.T) {
	gpus := []string{"0", "1", "2", "3"}
	for _, c := range []struct {
		n    int
		want string
	}{{1, "[0 1 2 3]"}, {2, "[0 1] [2 3]"}, {3, "[0] [1] [2 3]"}, {4, "[0] [1] [2] [3]"}, {5, "[0] [1] [2] [3] [0]"}} {
		var got []string
		for slot := 1; slot <= c.n; slot++ {
			got = append(got, fmt.Sprint(share(gpus, slot, c.n)))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%d slots: %v, want %s", c.n, got, c.want)
		}
	}
	if share(nil, 1, 2) != nil {
		t.Error("no GPUs to share")
	}
}

func TestDecoder(t *testing.T) {
	for _, c := range []struct{ encoding, in, want string }{
		{"", "é\n", "é\n"}, {"utf-8", "é\n", "é\n"}, {"latin-1", "\xe9\n", "é\n"},
		{"utf-16", "\xff\xfe\xe9\x00\x3d\xd8\x00\xde\n\x00", "é😀\n"}, {"UTF_16", "\xfe\xff\x00\xe9", "é"},
	} {
		var out bytes.Buffer
		w, err := Decoder(&out, c.encoding)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(c.in) { // in the smallest pieces
			if _, err := w.Write([]byte{c.in[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != c.want && c.encoding != "" && c.encoding != "utf-8" || out.Len() == 0 {
			t.Errorf("%s: got %q, want %q", c.encoding, &out, c.want)
		}
	}
	if _, err := Decoder(nil, "ebcdic"); err == nil {
		t.Error("an unknown encoding was accepted")
	}
}
