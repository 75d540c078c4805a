package tracking

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"

	"ctrx/internal/errs"
	"ctrx/tracking/wire"
)

// Logged models of an export: models that belong to an experiment, whether or
// not the registry knows them. They get new ids. The tag movedFromTag keeps the
// first one, by which a model is known wherever it went.

var loggedModelID = regexp.MustCompile(`^m-[0-9a-f]{32}$`)

// modelVersionsTag lists the registrations of a logged model. A server writes it
// when it registers one.
const modelVersionsTag = "mlflow.modelVersions"

// modelsOf lists the logged models of an experiment that are not deleted.
func (m *mover) modelsOf(ctx context.Context, experiment string) ([]wire.LoggedModel, error) {
	var all []wire.LoggedModel
	for token := ""; ; {
		in := struct {
			Experiments []string `json:"experiment_ids"`
			Max         int      `json:"max_results"`
			Token       string   `json:"page_token,omitempty"`
		}{[]string{experiment}, 100, token}
		var out struct {
			Models []wire.LoggedModel `json:"models"`
			Next   string             `json:"next_page_token"`
		}
		if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "logged-models/search", in: in, what: "list logged models"}, &out); err != nil {
			return nil, unknownIsNone(err)
		}
		all = append(all, out.Models...)
		if token = out.Next; token == "" {
			return all, nil
		}
	}
}

// unknownIsNone is for lists of what a server may be too old to have.
func unknownIsNone(err error) error {
	var page *webPageError
	if refused, ok := errors.AsType[*ServerError](err); errors.As(err, &page) || ok && refused.Status == http.StatusNotFound {
		return nil
	}
	return err
}

// exportModels writes the logged models of an experiment, and gives their ids.
func (m *mover) exportModels(ctx context.Context, experiment string) ([]string, error) {
	models, err := m.modelsOf(ctx, experiment)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, model := range models {
		id := model.Info.ID
		if !loggedModelID.MatchString(id) {
			return nil, errs.New(errs.Failed, "%s has a logged model with the id %q", m.c.URI(), id)
		}
		record, err := wire.Marshal(model)
		if err != nil {
			return nil, err
		}
		changed, err := m.publishFolder("logged-models/"+id, "model.json", record, func(part string) error {
			list := func(dir string) ([]Artifact, error) { return m.modelArtifacts(ctx, id, dir) }
			return m.exportArtifacts(ctx, list, model.Info.ArtifactURI, "", part+"/artifacts")
		})
		if err != nil {
			return nil, fmt.Errorf("export logged model %s: %w", id, err)
		}
		if changed {
			m.count(func(n *Moved) { n.LoggedModels++ })
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// modelArtifacts lists one folder of a logged model.
func (m *mover) modelArtifacts(ctx context.Context, id, dir string) ([]Artifact, error) {
	q := url.Values{}
	if dir != "" {
		q.Set("artifact_directory_path", dir)
	}
	return m.c.listArtifacts(ctx, request{method: http.MethodGet, path: apiPath + "logged-models/" + id + "/artifacts/directories", query: q, what: "list artifacts of logged model " + id})
}

// readRecord reads a record of the export and the digest by which a target
// knows that it has all of it.
func (m *mover) readRecord(name string, out any) (digest string, err error) {
	data, err := m.root.ReadFile(name)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return "", errs.New(errs.DataCorrupt, "%s: %w", filepath.Join(m.o.Dir, filepath.FromSlash(name)), err)
	}
	return digestOf(data), nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// folders names what is whole in a folder of the export.
func (m *mover) folders(dir string, id *regexp.Regexp) ([]string, error) {
	entries, err := fs.ReadDir(m.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if id.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// importModels brings the logged models of some experiments, and gives the new
// ids by the old ones. Where they can be found again they are known by origin.
func (m *mover) importModels(ctx context.Context, experiments, runs map[string]string) (map[string]wire.LoggedModelInfo, error) {
	names, err := m.folders("logged-models", loggedModelID)
	if err != nil {
		return nil, err
	}
	moved := map[string]wire.LoggedModelInfo{}
	there := map[string]map[string]wire.LoggedModelInfo{} // experiment -> origin -> model
	for _, name := range names {
		var model wire.LoggedModel
		digest, err := m.readRecord("logged-models/"+name+"/model.json", &model)
		if err != nil {
			return nil, err
		}
		experiment := experiments[model.Info.ExperimentID]
		if experiment == "" {
			continue
		}
		if there[experiment] == nil {
			list, err := m.modelsOf(ctx, experiment)
			if err != nil {
				return nil, err
			}
			there[experiment] = byOrigin(list)
		}
		known, has := there[experiment][originOf(model.Info)]
		info, err := m.importModel(ctx, model, digest, experiment, known, has, runs)
		if err = m.leaveRefused("logged model "+model.Info.Name+" ("+name+")", err); err != nil {
			return nil, fmt.Errorf("import logged model %s: %w", name, err)
		}
		if info.ID != "" {
			moved[name] = info
		}
	}
	return moved, nil
}

// originOf is the id that a logged model had at first.
func originOf(i wire.LoggedModelInfo) string { return first(tagOf(i.Tags, movedFromTag), i.ID) }

func byOrigin(models []wire.LoggedModel) map[string]wire.LoggedModelInfo {
	out := map[string]wire.LoggedModelInfo{}
	for _, l := range models {
		out[originOf(l.Info)] = l.Info
	}
	return out
}

func tagOf(tags []wire.Tag, key string) string {
	if i := slices.IndexFunc(tags, func(t wire.Tag) bool { return t.Key == key }); i >= 0 {
		return tags[i].Value
	}
	return ""
}

// importModel brings one logged model. The parameters go with the request that
// makes it, what follows can be sent again.
func (m *mover) importModel(ctx context.Context, model wire.LoggedModel, digest, experiment string, to wire.LoggedModelInfo, there bool, runs map[string]string) (wire.LoggedModelInfo, error) {
	if there {
		if mark := tagOf(to.Tags, movedTag); mark == digest || to.ID == originOf(model.Info) { // it is whole, or at home
			return to, nil
		}
	} else {
		var err error
		if to, err = m.createModel(ctx, model, experiment, runs); err != nil {
			return wire.LoggedModelInfo{}, err
		}
	}
	if err := m.importArtifacts(ctx, to.ArtifactURI, "logged-models/"+model.Info.ID+"/artifacts"); err != nil {
		return to, err
	}
	if err := m.importModelMetrics(ctx, model, to.ID, runs); err != nil {
		return to, err
	}
	path := apiPath + "logged-models/" + to.ID
	if status := model.Info.Status; status == "LOGGED_MODEL_READY" || status == "LOGGED_MODEL_UPLOAD_FAILED" {
		in := map[string]string{"model_id": to.ID, "status": status}
		if err := m.c.rest.call(ctx, request{method: http.MethodPatch, path: path, in: in, what: "end logged model " + to.ID}, nil); err != nil {
			return to, err
		}
	}
	in := map[string]any{"model_id": to.ID, "tags": append(modelTags(model.Info), wire.Tag{Key: movedTag, Value: digest})}
	if err := m.c.rest.call(ctx, request{method: http.MethodPatch, path: path + "/tags", in: in, what: "set tags of logged model " + to.ID}, nil); err != nil {
		return to, err
	}
	m.count(func(n *Moved) { n.LoggedModels++ })
	return to, nil
}

// modelTags are the tags that go along.
func modelTags(i wire.LoggedModelInfo) []wire.Tag {
	tags := slices.DeleteFunc(slices.Clone(i.Tags), func(t wire.Tag) bool {
		return t.Key == movedTag || t.Key == movedFromTag || t.Key == modelVersionsTag
	})
	return append(tags, wire.Tag{Key: movedFromTag, Value: originOf(i)})
}

func (m *mover) createModel(ctx context.Context, model wire.LoggedModel, experiment string, runs map[string]string) (wire.LoggedModelInfo, error) {
	in := struct {
		Experiment string       `json:"experiment_id"`
		Name       string       `json:"name"`
		Type       *string      `json:"model_type,omitempty"`
		Run        string       `json:"source_run_id,omitempty"`
		Params     []wire.Param `json:"params,omitempty"`
		Tags       []wire.Tag   `json:"tags,omitempty"`
	}{Experiment: experiment, Name: model.Info.Name, Type: model.Info.ModelType, Params: model.Data.Params, Tags: modelTags(model.Info)}
	if old := model.Info.SourceRunID; old != nil && *old != "" {
		if in.Run = runs[*old]; in.Run == "" {
			m.leave("the run of logged model "+model.Info.Name+" ("+model.Info.ID+")", "run "+*old+" is not in the export")
		}
	}
	var out struct {
		Model wire.LoggedModel `json:"model"`
	}
	err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "logged-models", in: in, once: true, what: "create logged model " + model.Info.Name}, &out)
	return out.Model.Info, err
}

// importModelMetrics logs the metrics of a logged model to the runs that they
// are of.
func (m *mover) importModelMetrics(ctx context.Context, model wire.LoggedModel, id string, runs map[string]string) error {
	of := map[string][]wire.LoggedModelMetric{} // by run
	var order []string
	for _, p := range model.Data.Metrics {
		run := runs[p.RunID]
		if run == "" {
			m.leave("metric "+p.Key+" of logged model "+model.Info.ID, "run "+p.RunID+" is not in the export")
			continue
		}
		if of[run] == nil {
			order = append(order, run)
		}
		p.ModelID, p.RunID = id, ""
		of[run] = append(of[run], p)
	}
	for _, run := range order {
		for batch := range slices.Chunk(of[run], wire.MaxBatchMetrics) {
			in := struct {
				Run     string                   `json:"run_id"`
				Metrics []wire.LoggedModelMetric `json:"metrics"`
			}{run, batch}
			if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "runs/log-batch", in: in, items: len(batch), what: "log metrics of logged model " + id}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkModels ties a run to the logged models that it used and made. A server
// would tie them twice when told so, so it is asked first.
func (m *mover) linkModels(ctx context.Context, r movedRun, id string, models map[string]wire.LoggedModelInfo) error {
	outputs := r.run.Outputs
	if outputs == nil {
		outputs = &wire.RunOutput{}
	}
	if id == "" || len(r.run.Inputs.ModelInputs)+len(outputs.ModelOutputs) == 0 {
		return nil
	}
	there, err := m.c.rest.getRun(ctx, id)
	if err != nil {
		return err
	}
	var used []wire.ModelInput
	for _, l := range r.run.Inputs.ModelInputs {
		if to, ok := models[l.ModelID]; !ok {
			m.leave("logged model "+l.ModelID+" as an input of run "+r.id, "the model is not in the export")
		} else if l.ModelID = to.ID; !slices.Contains(there.Inputs.ModelInputs, l) {
			used = append(used, l)
		}
	}
	var made []wire.ModelOutput
	for _, l := range outputs.ModelOutputs {
		if to, ok := models[l.ModelID]; !ok {
			m.leave("logged model "+l.ModelID+" as an output of run "+r.id, "the model is not in the export")
		} else if l.ModelID = to.ID; there.Outputs == nil || !slices.Contains(there.Outputs.ModelOutputs, l) {
			made = append(made, l)
		}
	}
	if len(used) > 0 {
		in := map[string]any{"run_id": id, "models": used}
		err = m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "runs/log-inputs", in: in, what: "log inputs of run " + id}, nil)
	}
	if err == nil && len(made) > 0 {
		in := map[string]any{"run_id": id, "models": made}
		err = m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "runs/outputs", in: in, what: "log outputs of run " + id}, nil)
	}
	return m.leaveRefused("logged models of run "+r.id, err)
}
