package server

import (
	"context"
	"database/sql"

	"ctrx/tracking/wire"
)

// runVersions lists the model versions that came from a run.
func runVersions(ctx context.Context, tx *sql.Tx, run string) ([]wire.ModelVersion, error) {
	var out []wire.ModelVersion
	err := each(ctx, tx, `SELECT `+versionColumns+` FROM model_versions WHERE run_id = ? AND current_stage != '`+wire.StageDeleted+`'
		ORDER BY last_updated_time DESC, name, version DESC`, run, func(row scanner) error {
		v, err := scanVersion(row)
		out = append(out, v)
		return err
	})
	return out, err
}

func (s *Server) graphRun(ctx context.Context, id string) (graphObject, error) {
	if id == "" {
		return nil, missing("run_id")
	}
	var out graphObject
	err := s.store.read(ctx, func(tx *sql.Tx) error {
		info, err := findRun(ctx, tx, id)
		if err != nil {
			return err
		}
		runs := []wire.Run{{Info: info, Outputs: &wire.RunOutput{}}}
		if err := fillRuns(ctx, tx, runs); err != nil {
			return err
		}
		e, err := findExperiment(ctx, tx, info.ExperimentID)
		if err != nil {
			return err
		}
		versions, err := runVersions(ctx, tx, id)
		out = graphRunObject(runs[0], e, versions)
		return err
	})
	return graphResponse("MlflowGetRunResponse", "run", out), err
}

func (s *Server) graphExperiment(ctx context.Context, id string) (graphObject, error) {
	if id == "" {
		return nil, missing("experiment_id")
	}
	var out graphObject
	err := s.store.read(ctx, func(tx *sql.Tx) error {
		e, err := findExperiment(ctx, tx, id)
		out = graphExperimentObject(e)
		return err
	})
	return graphResponse("MlflowGetExperimentResponse", "experiment", out), err
}

func (s *Server) graphSearch(ctx context.Context, q runQuery) (graphObject, error) {
	found, err := s.search(ctx, q)
	if err != nil {
		return nil, err
	}
	runs := []graphObject{}
	experiments := map[string]wire.Experiment{}
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		for _, run := range found.Runs {
			id := run.Info.ExperimentID
			if _, ok := experiments[id]; !ok {
				e, err := findExperiment(ctx, tx, id)
				if err != nil {
					return err
				}
				experiments[id] = e
			}
			versions, err := runVersions(ctx, tx, run.Info.RunID)
			if err != nil {
				return err
			}
			runs = append(runs, graphRunObject(run, experiments[id], versions))
		}
		return nil
	})
	out := graphResponse("MlflowSearchRunsResponse", "runs", runs)
	out["nextPageToken"] = found.NextPage
	return out, err
}
