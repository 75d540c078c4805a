package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"ctrx/tracking"
)

// What every run logs.
const (
	params  = 20
	keys    = 5 // metrics
	batches = 4
	points  = 10 // of each metric in a batch
)

// client logs runs until all have been begun.
func (s *soak) client(ctx context.Context, next *atomic.Int64) error {
	c, err := tracking.Open(ctx, s.config())
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		i := int(next.Add(1)) - 1
		if i >= s.runs {
			return nil
		}
		for int64(i) >= s.allowed.Load() {
			if err := sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		run, err := log(ctx, c, i)
		if err != nil {
			return fmt.Errorf("run %d: %w", i, err)
		}
		if run.Spooled() {
			s.spooled.Add(1)
		}
		s.logged.Add(1)
	}
}

// begun is when run i began.
func begun(i int) time.Time { return time.UnixMilli(1_700_000_000_000 + int64(i)) }

// file is the content of the artifact of run i, notes.txt.
func file(i int) string { return strings.Repeat(fmt.Sprintf("notes of run %d\n", i), 50) }

func log(ctx context.Context, c *tracking.Client, i int) (*tracking.Run, error) {
	run, err := c.StartRun(ctx, tracking.RunSpec{Name: fmt.Sprint("run-", i), StartTime: begun(i), Tags: []tracking.Tag{{Key: "begin", Value: "yes"}}})
	if err != nil {
		return nil, err
	}
	var all []tracking.Param
	for k := range params {
		all = append(all, tracking.Param{Key: fmt.Sprint("p", k), Value: fmt.Sprint(i * k)})
	}
	steps := []func() error{func() error { return run.LogParams(ctx, all) }}
	for b := range batches {
		var metrics []tracking.Metric
		for k := range keys {
			for p := range points {
				metrics = append(metrics, tracking.Metric{Key: fmt.Sprint("m", k), Value: float64(i + p), Step: int64(b*points + p), Time: begun(i)})
			}
		}
		steps = append(steps, func() error { return run.LogMetrics(ctx, metrics) })
	}
	steps = append(steps,
		func() error {
			return run.LogInputs(ctx, []tracking.Dataset{{Name: "data", Digest: fmt.Sprintf("%032x", i), SourceType: "dvc", Source: "{}", Context: "training"}})
		},
		func() error { return run.LogArtifact(ctx, "notes.txt", bytes.NewReader([]byte(file(i)))) },
		func() error { return run.SetTags(ctx, []tracking.Tag{{Key: "end", Value: fmt.Sprint(i)}}) },
		func() error { return run.Finish(ctx, tracking.Finished, begun(i).Add(time.Minute)) })
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return run, nil
}

// check reads all runs back.
func (s *soak) check(ctx context.Context) error {
	c, err := tracking.Open(ctx, s.config())
	if err != nil {
		return err
	}
	defer c.Close()
	experiment, err := c.ExperimentByName(ctx, "soak")
	if err != nil {
		return err
	}
	found := map[string]tracking.RunRecord{}
	for q := (tracking.RunQuery{Experiments: []string{experiment.ID}}); ; {
		page, err := c.SearchRuns(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Runs {
			if _, ok := found[r.Name]; ok {
				return fmt.Errorf("%s is there twice", r.Name)
			}
			found[r.Name] = r
		}
		if q.Page = page.Next; q.Page == "" {
			break
		}
	}
	if len(found) != s.runs {
		return fmt.Errorf("%d runs are there, %d were logged", len(found), s.runs)
	}
	for i := range s.runs {
		r, ok := found[fmt.Sprint("run-", i)]
		if !ok {
			return fmt.Errorf("run %d is not there", i)
		}
		if err := whole(ctx, c, r, i); err != nil {
			return fmt.Errorf("run %d (%s): %w", i, r.ID, err)
		}
	}
	return nil
}

// whole tells what a run lacks.
func whole(ctx context.Context, c *tracking.Client, r tracking.RunRecord, i int) error {
	if r.Status != tracking.Finished || !r.StartTime.Equal(begun(i)) || !r.EndTime.Equal(begun(i).Add(time.Minute)) {
		return fmt.Errorf("%s from %v to %v", r.Status, r.StartTime, r.EndTime)
	}
	if len(r.Params) != params || len(r.Metrics) != keys || r.Tag("begin") != "yes" || r.Tag("end") != fmt.Sprint(i) || len(r.Datasets) != 1 {
		return fmt.Errorf("%d parameters, %d metrics, %d datasets, tags %v", len(r.Params), len(r.Metrics), len(r.Datasets), r.Tags)
	}
	for k := range params {
		if want := (tracking.Param{Key: fmt.Sprint("p", k), Value: fmt.Sprint(i * k)}); !slices.Contains(r.Params, want) {
			return fmt.Errorf("parameter %v is not among %v", want, r.Params)
		}
	}
	for k := range keys {
		history, err := c.MetricHistory(ctx, r.ID, fmt.Sprint("m", k))
		if err != nil {
			return err
		}
		steps := map[int64]bool{}
		for _, m := range history {
			if m.Value != float64(i)+float64(m.Step%points) {
				return fmt.Errorf("m%d is %v at step %d", k, m.Value, m.Step)
			}
			steps[m.Step] = true
		}
		if len(history) != batches*points || len(steps) != len(history) {
			return fmt.Errorf("%d points of m%d, %d different", len(history), k, len(steps))
		}
	}
	var notes strings.Builder
	if err := c.DownloadArtifact(ctx, r.ID, "notes.txt", &notes); err != nil {
		return err
	}
	if notes.String() != file(i) {
		return fmt.Errorf("the artifact has %d bytes", notes.Len())
	}
	return nil
}
