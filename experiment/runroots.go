package experiment

import (
	"context"
	"fmt"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/storage"
	"ctrx/tracking"
)

// RunRoots collects what the runs of an MLflow experiment refer to, for
// `gc --mlflow`: the commits that they started from and that they made, and the
// data that their records name. Deleted runs keep nothing. A store that cannot be
// asked for all of it is an error: what it may know of must not be removed.
func RunRoots(ctx context.Context, client *tracking.Client, experimentName string) (*pipeline.GCRoots, error) {
	roots := &pipeline.GCRoots{}
	exp, err := client.ExperimentByName(ctx, experimentName)
	if errs.KindOf(err) == errs.NotFound {
		return roots, nil
	}
	if err != nil {
		return nil, fmt.Errorf("collect the runs of %s: %w", experimentName, err)
	}
	for q := (tracking.RunQuery{Experiments: []string{exp.ID}}); ; {
		page, err := client.SearchRuns(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("collect the runs of %s: %w", experimentName, err)
		}
		for _, run := range page.Runs {
			if err := addRun(ctx, client, run, roots); err != nil {
				return nil, err
			}
		}
		if q.Page = page.Next; q.Page == "" {
			return roots, nil
		}
	}
}

// addRun adds the roots of one run.
func addRun(ctx context.Context, client *tracking.Client, run tracking.RunRecord, roots *pipeline.GCRoots) error {
	for _, key := range []string{commitTag, baseTag} {
		if commit := run.Tag(key); commit != "" {
			roots.Commits = append(roots.Commits, commit)
		}
	}
	record, err := readRecord(ctx, client, run)
	switch {
	case errs.KindOf(err) == errs.NotFound: // of another program, or it ended too early
		for _, tag := range run.Tags {
			if strings.HasPrefix(tag.Key, outputTag) {
				roots.Data = append(roots.Data, storage.Digest(tag.Value))
			}
		}
		return nil
	case err != nil:
		return err
	}
	for _, d := range record.Inputs {
		roots.Data = append(roots.Data, storage.Digest(d.MD5))
	}
	for _, o := range record.Outputs {
		roots.Data = append(roots.Data, storage.Digest(o.MD5))
	}
	return nil
}
