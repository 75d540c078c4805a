package dvcfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

var yamlSeeds = []string{
	"", "a: 1\n", "# c\na: &x [1, 2.0, {b: ~}] # d\n\nb: *x\n", "a: |\n  x\n\n  y\nb: >-  # h\n  x y\n  z\n",
	"? [a]\n: b\n", "<<: {a: 1}\na: 2\n", "a: 'it''s'\nb: \"x\\n\\\n  y\"\n", "- - 1\n  - 2\n-\n  k: v\n", "%YAML 1.2\n---\na\n...\n",
	"a: !!str 1\nb: !t {c: d}\n", "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    deps:\n    - path: d\n      hash: md5\n      md5: 0123\n      size: 3\n",
	"{a, b: , ? c}", "a:\n# c\n- 1\n  # d\n- 2 # e\n", "\u2028a: \u0085b\n", "a: 2020-01-01T10:00:00.5 +02:00\n",
}

// FuzzParseYAML: no input breaks the reader or the writer, and a value that is
// written and read again is the same, but for the blanks that DVC's folding loses.
func FuzzParseYAML(f *testing.F) {
	for _, s := range yamlSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := ParseYAML("x", data)
		d, docErr := ParseDocument("x", data)
		if (err == nil) != (docErr == nil) {
			t.Fatalf("ParseYAML: %v, ParseDocument: %v", err, docErr)
		}
		if err != nil {
			if errs.KindOf(err) != errs.ProjectFile {
				t.Errorf("error of kind %d: %v", errs.KindOf(err), err)
			}
			return
		}
		d.Encode()
		if !foldable(v) {
			return
		}
		text := EmitYAML(v)
		back, err := ParseYAML("x", text)
		if err != nil {
			t.Fatalf("%v\nin %s", err, text)
		}
		if PyRepr(back) != PyRepr(v) {
			t.Fatalf("got  %s\nwant %s\nthrough %s", PyRepr(back), PyRepr(v), text)
		}
	})
}

const oldBreaks = "\u0085\u2028\u2029"

// foldable leaves out what the format of DVC cannot carry: long texts with
// several blanks in a row, NUL, and the line breaks that only YAML 1.1 knows
// (ruamel.yaml writes "\x85" so that it reads back as a blank).
func foldable(v Value) bool {
	switch v := v.(type) {
	case string:
		return !strings.ContainsAny(v, oldBreaks) && (len(v) < 60 || !strings.ContainsAny(v, " \n"))
	case Timestamp:
		return true
	case []Value:
		for _, e := range v {
			if !foldable(e) {
				return false
			}
		}
	case *Map:
		for i, k := range v.Keys() {
			if strings.Contains(k, "\x00") || !foldable(k) || !foldable(v.values[i]) {
				return false
			}
		}
	}
	return true
}

// FuzzLock: a lock that was read and written is read and written the same.
func FuzzLock(f *testing.F) {
	for _, s := range yamlSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseLock("dvc.lock", data)
		if err != nil {
			return
		}
		for _, name := range l.Names() {
			s, ok := l.Stage(name)
			if !ok {
				t.Fatalf("the lock names %q and does not have it", name)
			}
			s.RunCacheKeys()
			if l.SetStage(name, s) && PyRepr(s.Value()) == strings.ReplaceAll(PyRepr(s.Value()), "nan", "") {
				t.Errorf("setting %q to itself changed it", name)
			}
		}
		if !foldable(l.doc.Value()) || l.doc.anchored {
			return
		}
		once := l.Encode()
		again, err := ParseLock("dvc.lock", once)
		if err != nil {
			t.Fatalf("%v\nin %s", err, once)
		}
		if twice := again.Encode(); !bytes.Equal(once, twice) && !bytes.Contains(data, []byte("#")) {
			t.Fatalf("once\n%s\ntwice\n%s", once, twice)
		}
	})
}

// FuzzFloat: the text of a float reads back as the same float and has a point
// or an exponent.
func FuzzFloat(f *testing.F) {
	for _, x := range []float64{0, 1, 0.1, 1e16, 1e-5, 5e-324, math.MaxFloat64, math.Inf(-1), math.NaN()} {
		f.Add(binary.BigEndian.AppendUint64(nil, math.Float64bits(x)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 8 {
			return
		}
		x := math.Float64frombits(binary.BigEndian.Uint64(data))
		s := Float(x).String()
		back, err := strconv.ParseFloat(s, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			t.Fatal(err)
		}
		if back != x && x == x || !strings.ContainsAny(s, ".en") {
			t.Fatalf("%v became %s", x, s)
		}
		v, err := ParseYAML("x", EmitYAML(Float(x)))
		if err != nil || PyRepr(v) != s {
			t.Fatalf("%s through YAML: %v, %v", s, v, err)
		}
	})
}
