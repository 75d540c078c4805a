package sweep

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/testreq"
)

func protocolPage(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "ask-tell.md"))
	check(t, err)
	return string(data)
}

// The requests on the page of the protocol are those that ctrx sends.
func TestDocumentedRequests(t *testing.T) {
	seen := map[string]int{}
	for line := range strings.Lines(protocolPage(t)) {
		if !strings.HasPrefix(line, `{"op"`) {
			continue
		}
		var kind struct {
			Op string `json:"op"`
		}
		check(t, json.Unmarshal([]byte(line), &kind))
		seen[kind.Op]++
		message := map[string]any{"hello": &hello{}, "ask": &askMessage{}, "tell": &tellMessage{}, "bye": &struct {
			Op string `json:"op"`
		}{}}[kind.Op]
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(message); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		// And ctrx would write the same.
		again, err := json.Marshal(message)
		check(t, err)
		var short bytes.Buffer
		check(t, json.Compact(&short, []byte(line)))
		if string(again) != strings.TrimSpace(short.String()) && kind.Op != "hello" { // whose values have no order
			t.Errorf("%s\nis documented as %s", again, line)
		}
	}
	for _, op := range []string{"hello", "ask", "tell", "bye"} {
		if seen[op] == 0 {
			t.Errorf("the page shows no %s", op)
		}
	}
}

// The program on the page of the protocol works.
func TestDocumentedProgram(t *testing.T) {
	testreq.Need(t, testreq.Python)
	_, program, _ := strings.Cut(protocolPage(t), "```python\n")
	program, _, found := strings.Cut(program, "```")
	if !found {
		t.Fatal("there is no program on the page")
	}
	file := filepath.Join(t.TempDir(), "optimiser.py")
	check(t, os.WriteFile(file, []byte(program), 0o666))
	s := space(t, "lr=loguniform(1e-4,1e-1)", "d=range(3,10,2)", "q=quniform(0,1,0.1)", "m=a,'x y'", "u=uniform(-1,1)", "f=1")
	a, err := greet(t.Context(), command{name: "the page's", argv: []string{"python3", file}, env: os.Environ()}, generous(), hello{Seed: 1}, s)
	check(t, err)
	for n := 1; n <= 20; n++ {
		if set, ok, err := a.ask(t.Context(), n); err != nil || !ok || len(set) != 6 {
			t.Fatalf("%v, %v, %v", set, ok, err)
		}
		check(t, a.tell(t.Context(), n, nil, "boom"))
	}
	check(t, a.close())
}
