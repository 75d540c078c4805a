package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// The messages of the ask/tell protocol; docs/ask-tell.md describes them.
const (
	protocolName    = "ctrx-ask-tell"
	protocolVersion = 1
)

type hello struct {
	Op        string            `json:"op"`
	Protocol  string            `json:"protocol"`
	Version   int               `json:"version"`
	Sweep     string            `json:"sweep"`
	Direction string            `json:"direction"` // maximize, minimize
	Seed      uint64            `json:"seed"`
	Trials    int               `json:"trials"`
	Parallel  int               `json:"parallel"`
	Space     []parameter       `json:"space"`
	History   []past            `json:"history"`
	Options   map[string]string `json:"options"`
}

// parameter is an axis of the search space.
type parameter struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"` // categorical, int, float
	Choices []string `json:"choices,omitempty"`
	Low     *float64 `json:"low,omitempty"`
	High    *float64 `json:"high,omitempty"`
	Step    *float64 `json:"step,omitempty"`
	Log     bool     `json:"log,omitempty"`
}

// past is a trial of before a resume: with a value, with the reason of its
// failure, or with neither while it runs.
type past struct {
	Trial  int            `json:"trial"`
	Values map[string]any `json:"values"`
	Value  *float64       `json:"value,omitempty"`
	Failed string         `json:"failed,omitempty"`
}

type askMessage struct {
	Op    string `json:"op"`
	Trial int    `json:"trial"`
}

type tellMessage struct {
	Op     string   `json:"op"`
	Trial  int      `json:"trial"`
	Value  *float64 `json:"value,omitempty"`
	Failed string   `json:"failed,omitempty"`
}

// asker is an optimiser in a program of its own.
type asker struct {
	program *program
	space   *dvcfile.Space
}

// greet starts the program and shakes hands with it.
func greet(ctx context.Context, c command, l limits, h hello, space *dvcfile.Space) (*asker, error) {
	p, err := c.start(l)
	if err != nil {
		return nil, err
	}
	h.Op, h.Protocol, h.Version = "hello", protocolName, protocolVersion
	h.Space = describeSpace(space)
	if h.History == nil {
		h.History = []past{}
	}
	var answer struct {
		Version int    `json:"version"`
		Name    string `json:"name"`
	}
	if err := p.request(ctx, "hello", l.hello, h, &answer); err != nil {
		return nil, err
	}
	if answer.Version != protocolVersion {
		return nil, p.broken("speaks version %d of the protocol, and ctrx version %d", answer.Version, protocolVersion)
	}
	if answer.Name != "" {
		p.name = answer.Name
	}
	return &asker{program: p, space: space}, nil
}

func describeSpace(space *dvcfile.Space) []parameter {
	all := []parameter{}
	for i := range space.Axes {
		a := &space.Axes[i]
		switch a.Kind {
		case dvcfile.Choice:
			all = append(all, parameter{Name: a.Name, Type: "categorical", Choices: choices(a)})
		case dvcfile.Interval:
			q := parameter{Name: a.Name, Type: "float", Low: &a.Low, High: &a.High, Log: a.Log}
			if a.Whole {
				q.Type = "int"
			}
			if a.Step != 0 {
				q.Step = &a.Step
			}
			all = append(all, q)
		}
	}
	return all
}

func choices(a *dvcfile.Axis) []string {
	texts := make([]string, a.Len())
	for i := range texts {
		texts[i] = a.Nth(int64(i)).ValueText()
	}
	return texts
}

// ask gives the values of a trial; ok is false when the optimiser has no more.
func (a *asker) ask(ctx context.Context, trial int) (set []dvcfile.Override, ok bool, err error) {
	var answer struct {
		Trial  int                        `json:"trial"`
		Done   bool                       `json:"done"`
		Values map[string]json.RawMessage `json:"values"`
	}
	p := a.program
	if err := p.request(ctx, "ask", p.limits.ask, askMessage{"ask", trial}, &answer); err != nil {
		return nil, false, err
	}
	if answer.Trial != trial {
		return nil, false, p.broken("was asked for trial %d and answered for trial %d", trial, answer.Trial)
	}
	if answer.Done {
		return nil, false, nil
	}
	for i := range a.space.Axes {
		axis := &a.space.Axes[i]
		if axis.Kind == dvcfile.Fixed {
			set = append(set, axis.Nth(0))
			continue
		}
		raw, given := answer.Values[axis.Name]
		if !given {
			return nil, false, p.broken("gave trial %d no value for %s", trial, axis.Name)
		}
		delete(answer.Values, axis.Name)
		o, err := decodeValue(axis, raw)
		if err != nil {
			return nil, false, p.broken("gave trial %d a wrong value for %s: %v", trial, axis.Name, err)
		}
		set = append(set, o)
	}
	for name := range answer.Values {
		return nil, false, p.broken("gave trial %d a value for %s, which is not in the search space", trial, name)
	}
	return set, true, nil
}

func decodeValue(a *dvcfile.Axis, raw json.RawMessage) (dvcfile.Override, error) {
	if a.Kind == dvcfile.Choice {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return dvcfile.Override{}, fmt.Errorf("%.100s is not a string", raw)
		}
		list := choices(a)
		i := slices.Index(list, text)
		if i < 0 {
			return dvcfile.Override{}, fmt.Errorf("%q is none of %s", text, strings.Join(list, ", "))
		}
		return a.Nth(int64(i)), nil
	}
	f := math.NaN()
	if err := json.Unmarshal(raw, &f); err != nil || math.IsNaN(f) {
		return dvcfile.Override{}, fmt.Errorf("%.100s is not a number", raw)
	}
	o, ok := a.At(f)
	if !ok {
		return o, fmt.Errorf("%s is none of the numbers from %s to %s", dvcfile.Float(f), dvcfile.Float(a.Low), dvcfile.Float(a.High))
	}
	return o, nil
}

// values names what a set of overrides gives the axes that vary, as the
// protocol writes it.
func values(space *dvcfile.Space, set []dvcfile.Override) map[string]any {
	byName := map[string]any{}
	for i, o := range set {
		switch a := &space.Axes[i]; a.Kind {
		case dvcfile.Choice:
			byName[a.Name] = o.ValueText()
		case dvcfile.Interval:
			byName[a.Name], _ = finite(o.Value)
		}
	}
	return byName
}

// tell says what became of a trial.
func (a *asker) tell(ctx context.Context, trial int, value *float64, failed string) error {
	var answer askMessage
	p := a.program
	if err := p.request(ctx, "tell", p.limits.tell, tellMessage{"tell", trial, value, failed}, &answer); err != nil {
		return err
	}
	if answer.Trial != trial {
		return p.broken("was told of trial %d and answered for trial %d", trial, answer.Trial)
	}
	return nil
}

func (a *asker) close() error { return a.program.close() }

// listed is an optimiser that knows all its points beforehand.
type listed struct{ sets [][]dvcfile.Override }

func (l listed) ask(_ context.Context, trial int) ([]dvcfile.Override, bool, error) {
	if trial > len(l.sets) {
		return nil, false, nil
	}
	return l.sets[trial-1], true, nil
}

func (listed) tell(context.Context, int, *float64, string) error { return nil }
func (listed) close() error                                      { return nil }

// unknownMethod is the error about a --method that is none.
func unknownMethod(s string) error {
	return errs.Hint(errs.New(errs.Usage, "unknown --method %q", s), "grid, random, halton, lhs, tpe, optuna:SAMPLER (such as optuna:CmaEsSampler), or exec:COMMAND")
}
