package pipeline

import (
	"slices"
	"time"
)

// Estimate is how long a plan is expected to take.
type Estimate struct {
	Time    time.Duration // of the stages whose last duration is known
	Stages  int           // how many stages would run or may run
	Unknown []string      // addresses of those that never finished here
}

// Estimate adds up the last durations of the stages that a plan runs, as jobs
// workers would take them.
func (p *Project) Estimate(g *Graph, steps []Step, jobs int) (Estimate, error) {
	var e Estimate
	runs, err := p.history().read()
	if err != nil {
		return e, err
	}
	free := make([]time.Duration, max(jobs, 1)) // when each worker is done with what it has
	ends := map[*Stage]time.Duration{}
	for _, st := range steps {
		var ready, took time.Duration
		for _, up := range g.Upstream(st.Stage) {
			ready = max(ready, ends[up])
		}
		if st.Action == Run || st.Tentative && !st.Stage.IsData() {
			e.Stages++
			if last := lastFinished(runs[st.Stage.Address(".")]); last != nil {
				took = last.Took()
			} else {
				e.Unknown = append(e.Unknown, st.Stage.Address(p.Dir))
			}
		}
		if took > 0 {
			at := slices.Index(free, slices.Min(free))
			ready = max(ready, free[at]) + took
			free[at] = ready
		}
		ends[st.Stage] = ready
		e.Time = max(e.Time, ready)
	}
	return e, nil
}

func lastFinished(runs []StageRun) *StageRun {
	for i := len(runs) - 1; i >= 0; i-- {
		if runs[i].Failed == "" {
			return &runs[i]
		}
	}
	return nil
}
