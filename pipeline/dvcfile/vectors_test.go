package dvcfile

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/testreq"
	"ctrx/storage"
)

// vector is a line of vectors.jsonl; see testdata/make_vectors.py.
type vector struct {
	Kind   string
	V      any
	YAML   *string
	Sorted *string
	JSON   *string
	Str    *string
	Values [][2]string

	Text   string
	Broken bool
	RT     *string
	Set    *string

	Stage    string
	Body     any
	Runcache [2]*string

	New, MD5, Checksum string
}

// decodeValue is the inverse of encode in make_vectors.py.
func decodeValue(x any) Value {
	switch x := x.(type) {
	case []any:
		out := make([]Value, len(x))
		for i, e := range x {
			out[i] = decodeValue(e)
		}
		return out
	case map[string]any:
		if s, ok := x["i"].(string); ok {
			n, _ := ParseInt(s)
			return n
		}
		if s, ok := x["f"].(string); ok {
			f, _ := strconv.ParseFloat(s, 64)
			return Float(f)
		}
		if s, ok := x["s"].(string); ok {
			return s
		}
		m := &Map{}
		for _, p := range x["m"].([]any) {
			kv := p.([]any)
			m.SetKey(decodeValue(kv[0]), decodeValue(kv[1]))
		}
		return m
	}
	return x // nil and bool
}

func same(t *testing.T, n int, what, got string, want *string) {
	t.Helper()
	if want != nil && got != *want {
		t.Errorf("line %d, %s:\n--- got\n%s\n--- want\n%s", n, what, got, *want)
	}
}

func (v *vector) check(t *testing.T, n int) {
	switch v.Kind {
	case "emit":
		value := decodeValue(v.V)
		if v.YAML != nil && !strings.Contains(*v.YAML, "&id") { // JSON lost what the list shared
			same(t, n, "YAML", string(EmitYAML(value)), v.YAML)
		}
		same(t, n, "sorted JSON", string(CanonicalJSON(value)), v.Sorted)
		same(t, n, "JSON", string(JSON(value)), v.JSON)
	case "floats":
		for _, p := range v.Values {
			raw, _ := hex.DecodeString(p[0])
			bits := new(big.Int).SetBytes(raw).Uint64()
			same(t, n, p[0], Float(math.Float64frombits(bits)).String(), &p[1])
		}
	case "document":
		v.checkDocument(t, n)
	case "lock":
		v.checkLock(t, n)
	case "data":
		v.checkData(t, n)
	default:
		t.Fatalf("line %d: unknown kind %q", n, v.Kind)
	}
}

func (v *vector) checkDocument(t *testing.T, n int) {
	value, err := ParseYAML("x", []byte(v.Text))
	if (err != nil) != v.Broken {
		t.Fatalf("line %d: error %v, want one: %v\n%s", n, err, v.Broken, v.Text)
	}
	if v.Broken {
		if errs.KindOf(err) != errs.ProjectFile || !strings.HasPrefix(err.Error(), "x:") {
			t.Errorf("line %d: error %q without kind or position", n, err)
		}
		return
	}
	if v.Str != nil && !strings.Contains(*v.Str, "tzinfo") {
		same(t, n, "value", PyStr(value), v.Str)
	}
	if v.RT != nil {
		d, err := ParseDocument("x", []byte(v.Text))
		if err != nil {
			t.Fatal(err)
		}
		same(t, n, "round trip of\n"+v.Text, string(d.Encode()), v.RT)
	}
	if v.Set == nil {
		return
	}
	d, err := ParseDocument("x", []byte(v.Text))
	if err != nil {
		t.Fatal(err)
	}
	m := Clone(value).(*Map)
	m.Set("zz", NewMap("new", NewInt(1)))
	d.Update(m, nil)
	same(t, n, "set in\n"+v.Text, string(d.Encode()), v.Set)
}

func (v *vector) checkLock(t *testing.T, n int) {
	l, err := ParseLock("dvc.lock", []byte(v.Text))
	if err != nil {
		t.Fatalf("line %d: %v\n%s", n, err, v.Text)
	}
	same(t, n, "round trip", string(l.Encode()), v.RT)
	s, err := ParseStageLock(errs.Pos{File: "x"}, decodeValue(v.Body))
	if err != nil {
		t.Fatal(err)
	}
	l.SetStage(v.Stage, s)
	same(t, n, "set, written whole", string(l.doc.Encode()), v.Set)
	same(t, n, "set "+v.Stage, string(l.Encode()), v.Set)
	key, value := s.RunCacheKeys()
	same(t, n, "run-cache key", key, v.Runcache[0])
	same(t, n, "run-cache value", value, v.Runcache[1])
}

func (v *vector) checkData(t *testing.T, n int) {
	d, err := ParseDataFile("x.dvc", []byte(v.New))
	if err != nil {
		t.Fatalf("line %d: %v\n%s", n, err, v.New)
	}
	same(t, n, "new .dvc", string(EmitYAML(d.Value())), &v.New)
	same(t, n, "checksum", d.Checksum(), &v.Checksum)
	d, err = ParseDataFile("x.dvc", []byte(v.Text))
	if err != nil {
		t.Fatalf("line %d: %v\n%s", n, err, v.Text)
	}
	d.Outs[0].Digest, d.Outs[0].Hash = storage.Digest(v.MD5), "md5"
	same(t, n, "changed .dvc of\n"+v.Text, string(d.Encode()), v.Set)
}

func checkVectors(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<26)
	n := 0
	for lines.Scan() && !t.Failed() {
		n++
		if lines.Text() == "null" {
			continue
		}
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		v.check(t, n)
	}
	if err := lines.Err(); err != nil || n < 500 {
		t.Fatalf("%d lines read: %v", n, err)
	}
}

// TestVectors compares with files that the real DVC wrote.
func TestVectors(t *testing.T) { checkVectors(t, "testdata/vectors.jsonl") }

// TestAgainstDVC does the same with fresh random values.
func TestAgainstDVC(t *testing.T) {
	testreq.NeedModules(t, "dvc", "ruamel.yaml")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "vectors.jsonl")
	cmd := exec.CommandContext(ctx, "python3", "testdata/make_vectors.py", "--seed", "20261", "--scale", "1", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make_vectors.py: %v\n%s", err, out)
	}
	checkVectors(t, file)
}
