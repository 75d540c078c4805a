package pipeline

import (
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// Limits are what a stage's meta.ctrx says about how it may run:
//
//	meta:
//	  ctrx:
//	    resources: {gpu: 1}
//	    mutex: database
//	    retries: 2
//	    timeout: 30m
//
// DVC ignores meta.
type Limits struct {
	GPUs    int           // how many GPUs it needs for itself
	Mutex   string        // of the stages that name the same mutex one runs at a time
	Retries int           // how often a failed command is tried again
	Timeout time.Duration // of one attempt; 0 means none
}

// ownKeys are the keys of meta.ctrx.
func ownKeys() []string { return []string{"python", "resources", "mutex", "retries", "timeout"} }

// ownMeta gives meta.ctrx of a stage; nil when it has none.
func (s *Stage) ownMeta() (*dvcfile.Map, error) {
	meta, ok := s.Meta.(*dvcfile.Map)
	if !ok {
		return nil, nil
	}
	v, ok := meta.Get("ctrx")
	if !ok {
		return nil, nil
	}
	own, ok := v.(*dvcfile.Map)
	if !ok {
		return nil, errs.At(s.metaPos(), "stage '%s': meta.ctrx must be a mapping, as in: ctrx: {python: requirements.txt, retries: 2}", s.Name)
	}
	return own, nil
}

// metaPos is the place of a key of meta.ctrx in the definition of the stage.
func (s *Stage) metaPos(keys ...string) errs.Pos {
	pos := s.Pos.Find("meta").Find("ctrx")
	for _, k := range keys {
		pos = pos.Find(k)
	}
	return pos
}

// limits reads the limits of a stage. A wrong or unknown key is an error, so
// that a misspelt limit is not taken for none.
func (s *Stage) limits() (Limits, error) {
	var l Limits
	own, err := s.ownMeta()
	if own == nil || err != nil {
		return l, err
	}
	for _, key := range own.Keys() {
		v, _ := own.Get(key)
		switch key {
		case "python":
			_, err = s.python()
		case "resources":
			err = s.resources(&l, v)
		case "mutex":
			if l.Mutex, _ = v.(string); l.Mutex == "" {
				err = s.wrongMeta("mutex", v, "a name")
			}
		case "retries":
			l.Retries, err = s.count("retries", v)
		case "timeout":
			l.Timeout, err = s.duration("timeout", v)
		default:
			err = errs.At(s.metaPos(key), "stage '%s': meta.ctrx has no key %s; the keys are: %s", s.Name, dvcfile.PyRepr(key), strings.Join(ownKeys(), ", "))
		}
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

func (s *Stage) resources(l *Limits, v dvcfile.Value) error {
	m, ok := v.(*dvcfile.Map)
	if !ok {
		return s.wrongMeta("resources", v, "a mapping such as {gpu: 1}")
	}
	for _, key := range m.Keys() {
		v, _ := m.Get(key)
		if key != "gpu" {
			return errs.At(s.metaPos("resources", key), "stage '%s': meta.ctrx.resources has no key %s; the only one is gpu", s.Name, dvcfile.PyRepr(key))
		}
		var err error
		if l.GPUs, err = s.count("resources.gpu", v); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) wrongMeta(key string, v dvcfile.Value, want string) error {
	return errs.At(s.metaPos(strings.Split(key, ".")...), "stage '%s': meta.ctrx.%s must be %s, not %s", s.Name, key, want, dvcfile.PyRepr(v))
}

func (s *Stage) count(key string, v dvcfile.Value) (int, error) {
	if i, ok := v.(dvcfile.Int); ok {
		if n, ok := i.Int64(); ok && n >= 0 && n <= 1000 {
			return int(n), nil
		}
	}
	return 0, s.wrongMeta(key, v, "a whole number from 0 to 1000")
}

func (s *Stage) duration(key string, v dvcfile.Value) (time.Duration, error) {
	text, _ := v.(string)
	if i, ok := v.(dvcfile.Int); ok {
		text = i.String() + "s"
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, nil
	}
	return 0, s.wrongMeta(key, v, "a time such as 90s, 30m or 1h30m")
}

// gpuPool hands GPUs out to stages. Where it is not known which there are,
// stages that need any run one at a time and see what ctrx itself sees.
type gpuPool struct {
	known bool
	free  []string // in the order in which they are handed out
	all   int
}

// newGPUPool has the GPUs that the user named, else those that ctrx's own
// CUDA_VISIBLE_DEVICES names.
func newGPUPool(named []string, visible string) *gpuPool {
	if len(named) == 0 && visible != "" && visible != "-1" {
		named = strings.Split(visible, ",")
	}
	if len(named) == 0 {
		return &gpuPool{free: []string{""}, all: 1}
	}
	return &gpuPool{known: true, free: slices.Clone(named), all: len(named)}
}

// wants is how many places of the pool a stage takes.
func (g *gpuPool) wants(l Limits) int {
	if !g.known {
		return min(l.GPUs, 1)
	}
	return l.GPUs
}

// take gives n GPUs, or tells that they are in use.
func (g *gpuPool) take(n int) ([]string, bool) {
	if n > len(g.free) {
		return nil, false
	}
	taken := slices.Clone(g.free[:n])
	g.free = g.free[n:]
	return taken, true
}

func (g *gpuPool) give(back []string) {
	g.free = append(g.free, back...)
}

// environ is what a stage is told of the GPUs it got.
func (g *gpuPool) environ(taken []string) []string {
	if !g.known || len(taken) == 0 {
		return nil
	}
	return []string{"CUDA_VISIBLE_DEVICES=" + strings.Join(taken, ",")}
}
