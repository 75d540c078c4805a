package sweep

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// fakeEnv makes this test binary an optimiser; its value says how it behaves.
const fakeEnv = "CTRX_TEST_OPTIMISER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(fakeEnv); mode != "" {
		fakeOptimiser(mode)
		return
	}
	os.Exit(m.Run())
}

// fakeOptimiser answers every request; where its mode names a request it does
// so wrongly. It gives x the number of the trial, m the second choice, and ends
// after three trials.
func fakeOptimiser(mode string) {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	say := func(s string) { fmt.Println(s) }
	if mode == "deaf" {
		select {}
	}
	for in.Scan() {
		var r struct {
			Op      string  `json:"op"`
			Trial   int     `json:"trial"`
			History []past  `json:"history"`
			Value   float64 `json:"value"`
			Failed  string  `json:"failed"`
		}
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(4)
		}
		values := fmt.Sprintf(`{"trial": %d, "more": true, "values": {"x": %d.5, "m": "b"}}`, r.Trial, r.Trial)
		switch mode + " " + r.Op {
		case "version hello":
			say(`{"version": 2}`)
		case "refuses hello":
			say(`{"error": "what a space"}`)
		case "silent ask", "silent hello":
			select {}
		case "dies ask", "leaves tell":
			fmt.Fprintln(os.Stderr, "first line\nlast line")
			os.Exit(7)
		case "noise ask":
			say("Hello, world")
		case "other trial ask":
			say(`{"trial": 99}`)
		case "missing ask":
			say(fmt.Sprintf(`{"trial": %d, "values": {"x": 1}}`, r.Trial))
		case "unknown ask":
			say(strings.Replace(values, `"m"`, `"n": 1, "m"`, 1))
		case "outside ask":
			say(strings.Replace(values, `"x": `, `"x": 12`, 1))
		case "text ask":
			say(strings.Replace(values, `"x": `, `"x": "1", "y": `, 1))
		case "choice ask":
			say(strings.Replace(values, `"b"`, `"z"`, 1))
		case "number ask":
			say(strings.Replace(values, `"b"`, `2`, 1))
		case "tells wrong tell":
			say(`{"trial": 98}`)
		default:
			answerRightly(r.Op, r.Trial, values, r.History, r.Failed, r.Value, say)
		}
		if r.Op == "bye" {
			fmt.Fprintln(os.Stderr, "goodbye")
			return
		}
	}
}

func answerRightly(op string, trial int, values string, history []past, failed string, value float64, say func(string)) {
	switch op {
	case "hello":
		say(fmt.Sprintf(`{"version": 1, "name": "fake of %d"}`, len(history)))
		say("")
	case "ask":
		if trial > 3 {
			say(fmt.Sprintf(`{"trial": %d, "done": true}`, trial))
			return
		}
		say(values)
	case "tell":
		fmt.Fprintf(os.Stderr, "told %d: %v %s\n", trial, value, failed)
		say(fmt.Sprintf(`{"trial": %d}`, trial))
	}
}

// talk starts the fake optimiser in a mode.
func talk(t *testing.T, mode string, l limits) (*asker, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := command{name: "fake", argv: []string{self}, dir: t.TempDir(), env: append(os.Environ(), fakeEnv+"="+mode)}
	return greet(t.Context(), c, l, hello{Sweep: "s", Direction: "maximize", History: []past{{Trial: 1, Values: map[string]any{"x": 1}}}},
		space(t, "x=uniform(0,10)", "m=a,b", "fixed=7"))
}

func generous() limits {
	return limits{hello: 10 * time.Minute, ask: 10 * time.Minute, tell: 10 * time.Minute, bye: 10 * time.Minute}
}

func TestAskTell(t *testing.T) {
	a, err := talk(t, "good", generous())
	if err != nil {
		t.Fatal(err)
	}
	if a.program.name != "fake of 1" {
		t.Errorf("its name is %q", a.program.name)
	}
	for n := 1; n <= 3; n++ { // asked again before it is told
		set, ok, err := a.ask(t.Context(), n)
		want := []string{fmt.Sprintf("x=%d.5", n), "m=b", "fixed=7"}
		if err != nil || !ok || !slices.Equal(arguments(set), want) {
			t.Fatalf("ask %d: %v, %v, %v; want %v", n, arguments(set), ok, err, want)
		}
	}
	value := 0.5
	if err := errors.Join(a.tell(t.Context(), 2, &value, ""), a.tell(t.Context(), 1, nil, "boom")); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := a.ask(t.Context(), 4); ok || err != nil {
		t.Errorf("ask 4: %v, %v; it has no more", ok, err)
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if got := a.program.said.String(); got != "  told 2: 0.5 \n  told 1: 0 boom\n  goodbye" {
		t.Errorf("it said %q", got)
	}
}

func TestAskTellFailures(t *testing.T) {
	for _, c := range []struct {
		mode string
		kind errs.Kind
		want []string
	}{
		{"version", errs.Failed, []string{"optimiser fake speaks version 2 of the protocol, and ctrx version 1"}},
		{"refuses", errs.Usage, []string{"optimiser fake: what a space"}},
		{"dies", errs.Failed, []string{`ended without an answer to "ask" (exit code 7)`, "first line\n  last line"}},
		{"noise", errs.Failed, []string{`answered "ask"`, "Hello, world"}},
		{"other trial", errs.Failed, []string{"was asked for trial 1 and answered for trial 99"}},
		{"missing", errs.Failed, []string{"gave trial 1 no value for m"}},
		{"unknown", errs.Failed, []string{"a value for n, which is not in the search space"}},
		{"outside", errs.Failed, []string{"a wrong value for x: 121.5 is none of the numbers from 0.0 to 10.0"}},
		{"text", errs.Failed, []string{`a wrong value for x: "1" is not a number`}},
		{"choice", errs.Failed, []string{`a wrong value for m: "z" is none of a, b`}},
		{"number", errs.Failed, []string{"a wrong value for m: 2 is not a string"}},
		{"tells wrong", errs.Failed, []string{"was told of trial 1 and answered for trial 98"}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			a, err := talk(t, c.mode, generous())
			if err == nil {
				_, _, err = a.ask(t.Context(), 1)
				if err == nil {
					err = a.tell(t.Context(), 1, nil, "x")
				}
				defer a.close()
			}
			if err == nil || errs.KindOf(err) != c.kind {
				t.Fatalf("error %v of kind %v", err, errs.KindOf(err))
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

// A program that does not answer, or does not even read, is ended.
func TestAskTellTimes(t *testing.T) {
	short := generous()
	short.hello = 50 * time.Millisecond
	for _, mode := range []string{"silent", "deaf"} {
		_, err := talk(t, mode, short)
		if err == nil || !strings.Contains(err.Error(), `gave no answer to "hello" within 50ms`) {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// Ctrl-C while an optimiser thinks is an interruption and not its failure.
func TestAskIsInterrupted(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := command{name: "fake", argv: []string{self}, dir: t.TempDir(), env: append(os.Environ(), fakeEnv+"=deaf")}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(errs.New(errs.Interrupted, "interrupted")) })
	_, err = greet(ctx, c, generous(), hello{}, space(t, "x=uniform(0,1)"))
	if errs.KindOf(err) != errs.Interrupted {
		t.Errorf("%v of kind %v", err, errs.KindOf(err))
	}
}

func TestOptimiserThatIsNotThere(t *testing.T) {
	c := command{name: "nothing", argv: []string{"/no/such/program"}, dir: t.TempDir()}
	if _, err := greet(t.Context(), c, generous(), hello{}, &dvcfile.Space{}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("%v", err)
	}
}

func TestDescribeSpace(t *testing.T) {
	got, err := json.Marshal(describeSpace(space(t, "lr=loguniform(1e-4,1e-1)", "d=range(3,10,2)", "q=quniform(0,1,0.25)", "o.yaml:m=a,'x y',3", "r=randint(-1,3)", "f=1", "x=uniform(0,0.5)")))
	want := `[{"name":"lr","type":"float","low":0.0001,"high":0.1,"log":true},` +
		`{"name":"d","type":"int","low":3,"high":9,"step":2},{"name":"q","type":"float","low":0,"high":1,"step":0.25},` +
		`{"name":"r","type":"int","low":-1,"high":2,"step":1},` +
		`{"name":"x","type":"float","low":0,"high":0.5},{"name":"o.yaml:m","type":"categorical","choices":["a","'x y'","3"]}]`
	if err != nil || string(got) != want {
		t.Errorf("%s\nwant %s, %v", got, want, err)
	}
}
