package pickle

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"
)

// vector is a line of testdata/vectors.jsonl, made by testdata/make.py.
type vector struct {
	Value   json.RawMessage
	Pickles map[string]string
}

func vectors(t testing.TB) []vector {
	t.Helper()
	f, err := os.Open("testdata/vectors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []vector
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if len(all) < 40 {
		t.Fatalf("%d vectors only", len(all))
	}
	return all
}

// want reads the tagged JSON of a vector.
func want(t *testing.T, raw json.RawMessage) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return untag(t, v)
}

func untag(t *testing.T, v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil && !strings.ContainsAny(v.String(), ".e") {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = untag(t, v[i])
		}
		return out
	case map[string]any:
		for tag, inner := range v {
			switch tag {
			case "tuple":
				return Tuple(untag(t, inner).([]any))
			case "int":
				n, _ := new(big.Int).SetString(inner.(string), 10)
				return shortest(n)
			case "bytes":
				b, _ := hex.DecodeString(inner.(string))
				return b
			case "dict":
				d := &Dict{Items: []Item{}}
				for _, pair := range inner.([]any) {
					d.Items = append(d.Items, Item{untag(t, pair.([]any)[0]), untag(t, pair.([]any)[1])})
				}
				return d
			}
		}
	}
	return v
}

func same(a, b any) bool {
	x, ok := a.([]byte)
	y, ok2 := b.([]byte)
	if ok && ok2 && len(x) == 0 && len(y) == 0 {
		return true
	}
	return reflect.DeepEqual(a, b)
}

func TestLoadWhatPythonWrote(t *testing.T) {
	for i, v := range vectors(t) {
		expect := want(t, v.Value)
		for protocol, text := range v.Pickles {
			data, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Load(data)
			if err != nil || !same(got, expect) {
				t.Errorf("vector %d, protocol %s: got %#v, %v; want %#v", i, protocol, got, err, expect)
			}
		}
	}
}

func TestDumpIsReadBack(t *testing.T) {
	for i, v := range vectors(t) {
		value := want(t, v.Value)
		data, err := Dump(value)
		if err != nil {
			t.Fatalf("vector %d: %v", i, err)
		}
		got, err := Load(data)
		if err != nil || !same(got, value) {
			t.Errorf("vector %d: got %#v, %v; want %#v", i, got, err, value)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"a call":              "cos\nsystem\n(S'true'\ntR.",
		"a class":             "\x80\x04\x8c\x02os\x8c\x06system\x93.",
		"nothing":             "",
		"no stop":             "\x80\x02N",
		"an empty stack":      ".",
		"a mark as the value": "(.",
		"a list in itself":    "]q\x00h\x00a.",
		"a dict in itself":    "}q\x00X\x01\x00\x00\x00ah\x00s.",
		"an unknown memo":     "h\x07.",
		"a short string":      "X\xff\xff\xff\xffab",
		"a wrong protocol":    "\x80\x09N.",
		"odd dictionary":      "}(Nu.",
		"doubling":            strings.Repeat("]", 1) + "q\x00" + doubling(60) + ".",
		"a deep list":         strings.Repeat("]", 5000) + strings.Repeat("a", 4999) + ".",
	} {
		if v, err := Load([]byte(data)); err == nil {
			t.Errorf("%s: got %#v", name, v)
		}
	}
}

// doubling is a list of two of a list of two of ..., which is short to write
// and endless to spell out.
func doubling(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "0]q%c(h%ch%ceq%c", byte(i), byte(i-1), byte(i-1), byte(i))
	}
	return b.String()
}

func TestDumpRefuses(t *testing.T) {
	if _, err := Dump(struct{}{}); err == nil {
		t.Error("a struct is no plain data")
	}
}

func FuzzLoad(f *testing.F) {
	for _, v := range vectors(f) {
		for _, text := range v.Pickles {
			data, err := hex.DecodeString(text)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Load(data)
		if err != nil {
			return
		}
		again, err := Dump(v)
		if err != nil {
			t.Fatalf("%#v was read and cannot be written: %v", v, err)
		}
		back, err := Load(again)
		if err != nil || fmt.Sprintf("%#v", flat(back)) != fmt.Sprintf("%#v", flat(v)) {
			t.Fatalf("%#v came back as %#v, %v", v, back, err)
		}
	})
}

// flat spells pointers out, so that values can be compared as text (a NaN is
// not equal to itself).
func flat(v any) any {
	switch v := v.(type) {
	case *Dict:
		var items []any
		for _, it := range v.Items {
			items = append(items, flat(it.Key), flat(it.Value))
		}
		return items
	case []any:
		out := []any{"list"}
		for _, x := range v {
			out = append(out, flat(x))
		}
		return out
	case Tuple:
		out := []any{"tuple"}
		for _, x := range v {
			out = append(out, flat(x))
		}
		return out
	case *big.Int:
		return v.String()
	}
	return v
}
