package tracking

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ctrx/internal/errs"
	"ctrx/tracking/wire"
)

// The model registry of an export. Names stay, and so do the numbers of the
// versions where the target gives them: where a version is missing, a stand-in is
// made, and deleted in the end, so that its number is taken.

const (
	promptTag      = "mlflow.prompt.is_prompt"
	placeholderTag = "ctrx.placeholder"
	// maxPlaceholders bounds the gap between two versions that is kept.
	maxPlaceholders = 1000
)

// registered is a line of registry.jsonl.
type registered struct {
	Model    wire.RegisteredModel `json:"model"`
	Versions []wire.ModelVersion  `json:"versions"` // by number
}

// exportRegistry writes the registered models: all of them, or where experiments
// were named, those with a version from one of the runs and logged models.
func (m *mover) exportRegistry(ctx context.Context, known map[string]bool) error {
	models, err := m.registeredModels(ctx)
	if err != nil {
		return err
	}
	lines, err := m.readRegistry()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(models)+len(lines) == 0 {
		return nil
	}
	for _, model := range models {
		line := registered{Model: model}
		if line.Versions, err = m.versionsOf(ctx, model); err != nil {
			return err
		}
		if len(m.o.Experiments) > 0 && !slices.ContainsFunc(line.Versions, func(v wire.ModelVersion) bool { return v.RunID != nil && known[*v.RunID] || known[loggedModelOf(v)] }) {
			continue
		}
		line.Model.LatestVersions = nil
		i := slices.IndexFunc(lines, func(l registered) bool { return l.Model.Name == model.Name })
		if i < 0 {
			lines = append(lines, line)
		} else if same, err := equalJSON(lines[i], line); err != nil || same {
			if err != nil {
				return err
			}
			continue
		} else {
			lines[i] = line
		}
		m.count(func(n *Moved) { n.RegisteredModels++; n.ModelVersions += len(line.Versions) })
	}
	var b bytes.Buffer
	for _, l := range lines {
		data, err := wire.Marshal(l)
		if err != nil {
			return err
		}
		b.Write(append(data, '\n'))
	}
	return publish(m.root, "registry.jsonl", &b)
}

func equalJSON(a, b any) (bool, error) {
	x, err := wire.Marshal(a)
	if err != nil {
		return false, err
	}
	y, err := wire.Marshal(b)
	return bytes.Equal(x, y), err
}

// loggedModelOf is the id of the logged model that a version is of, or "".
func loggedModelOf(v wire.ModelVersion) string {
	if v.Source == nil {
		return ""
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(*v.Source, "models:"), "/") {
		if loggedModelID.MatchString(part) {
			return part
		}
	}
	return ""
}

func (m *mover) registeredModels(ctx context.Context) ([]wire.RegisteredModel, error) {
	var all []wire.RegisteredModel
	for _, filter := range []string{"", "tags.`" + promptTag + "` = 'true'"} { // prompts are kept out of the first
		q := url.Values{"max_results": {"100"}}
		if filter != "" {
			q.Set("filter", filter)
		}
		for {
			var out struct {
				Models []wire.RegisteredModel `json:"registered_models"`
				Next   string                 `json:"next_page_token"`
			}
			if err := m.c.rest.call(ctx, request{method: http.MethodGet, path: apiPath + "registered-models/search", query: q, what: "list registered models"}, &out); err != nil {
				return nil, unknownIsNone(err)
			}
			for _, l := range out.Models {
				if !slices.ContainsFunc(all, func(o wire.RegisteredModel) bool { return o.Name == l.Name }) {
					all = append(all, l)
				}
			}
			if out.Next == "" {
				break
			}
			q.Set("page_token", out.Next)
		}
	}
	return all, nil
}

// versionsOf lists the versions of a model by their numbers.
func (m *mover) versionsOf(ctx context.Context, model wire.RegisteredModel) ([]wire.ModelVersion, error) {
	name, ok := quote(model.Name)
	if !ok {
		m.leave("the versions of model "+model.Name, "its name holds both kinds of quotes, and cannot be searched for")
		return nil, nil
	}
	filter := "name = " + name
	if tagOf(model.Tags, promptTag) != "" {
		filter += " AND tags.`" + promptTag + "` = 'true'"
	}
	var all []wire.ModelVersion
	q := url.Values{"filter": {filter}, "max_results": {"1000"}}
	for {
		var out struct {
			Versions []wire.ModelVersion `json:"model_versions"`
			Next     string              `json:"next_page_token"`
		}
		if err := m.c.rest.call(ctx, request{method: http.MethodGet, path: apiPath + "model-versions/search", query: q, what: "list versions of model " + model.Name}, &out); err != nil {
			return nil, err
		}
		all = append(all, out.Versions...)
		if out.Next == "" {
			break
		}
		q.Set("page_token", out.Next)
	}
	slices.SortFunc(all, func(a, b wire.ModelVersion) int { return versionNumber(a) - versionNumber(b) })
	return all, nil
}

func versionNumber(v wire.ModelVersion) int {
	n, err := strconv.Atoi(v.Version)
	if err != nil {
		return 0
	}
	return n
}

func (m *mover) readRegistry() ([]registered, error) {
	data, err := m.root.ReadFile("registry.jsonl")
	if err != nil {
		return nil, err
	}
	var all []registered
	for n, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var r registered
		if len(line) == 0 {
			continue
		}
		if err := json.Unmarshal(line, &r); err != nil || r.Model.Name == "" {
			return nil, errs.New(errs.DataCorrupt, "%s:%d: no registered model", filepath.Join(m.o.Dir, "registry.jsonl"), n+1)
		}
		all = append(all, r)
	}
	return all, nil
}

// places tells where things of the export are now.
type places struct {
	experiments map[string]string // ids by ids
	runs        map[string]string
	models      map[string]wire.LoggedModelInfo
}

// importRegistry brings the registered models.
func (m *mover) importRegistry(ctx context.Context, at places) error {
	lines, err := m.readRegistry()
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, l := range lines {
		concerns := func(v wire.ModelVersion) bool {
			return v.RunID != nil && at.runs[*v.RunID] != "" || at.models[loggedModelOf(v)].ID != ""
		}
		if len(m.o.Experiments) > 0 && !slices.ContainsFunc(l.Versions, concerns) {
			continue
		}
		record, err := wire.Marshal(l)
		if err != nil {
			return err
		}
		if err := m.leaveRefused("registered model "+l.Model.Name, m.importRegistered(ctx, l, digestOf(record), at)); err != nil {
			return fmt.Errorf("import registered model %s: %w", l.Model.Name, err)
		}
	}
	return nil
}

func (m *mover) registeredModel(ctx context.Context, name string) (wire.RegisteredModel, error) {
	var out struct {
		Model wire.RegisteredModel `json:"registered_model"`
	}
	err := m.c.rest.call(ctx, request{method: http.MethodGet, path: apiPath + "registered-models/get", query: url.Values{"name": {name}}, what: "look for registered model " + name}, &out)
	return out.Model, err
}

// importRegistered brings one registered model with its versions. It is whole
// when its tag movedTag says so; until then all of it can be done again.
func (m *mover) importRegistered(ctx context.Context, l registered, digest string, at places) error {
	name := l.Model.Name
	there, err := m.registeredModel(ctx, name)
	switch {
	case errs.KindOf(err) == errs.NotFound:
		in := struct {
			Name        string     `json:"name"`
			Description *string    `json:"description,omitempty"`
			Tags        []wire.Tag `json:"tags,omitempty"`
		}{name, l.Model.Description, registryTags(l.Model.Tags)}
		err = m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "registered-models/create", in: in, once: true, what: "create registered model " + name}, nil)
		if err != nil {
			return err
		}
		m.count(func(n *Moved) { n.RegisteredModels++ })
	case err != nil:
		return err
	case tagOf(there.Tags, movedTag) == digest || there.CreationTime == l.Model.CreationTime: // whole, or at home
		return nil
	}
	numbers, err := m.importVersions(ctx, l, at)
	if err != nil {
		return err
	}
	for _, a := range l.Model.Aliases {
		if numbers[a.Version] == "" {
			m.leave("alias "+a.Alias+" of model "+name, "version "+a.Version+" was not moved")
			continue
		}
		in := map[string]string{"name": name, "alias": a.Alias, "version": numbers[a.Version]}
		if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "registered-models/alias", in: in, what: "set alias " + a.Alias + " of model " + name}, nil); err != nil {
			return err
		}
	}
	for _, t := range append(registryTags(l.Model.Tags), wire.Tag{Key: movedTag, Value: digest}) {
		in := map[string]string{"name": name, "key": t.Key, "value": t.Value}
		if err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "registered-models/set-tag", in: in, what: "set a tag of model " + name}, nil); err != nil {
			return err
		}
	}
	return nil
}

func registryTags(tags []wire.Tag) []wire.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t wire.Tag) bool { return t.Key == movedTag || t.Key == movedFromTag })
}

// versionOrigin tells versions apart wherever they are: the number and the time
// that a version had at first.
func versionOrigin(v wire.ModelVersion) string {
	return first(tagOf(v.Tags, movedFromTag), v.Version+"@"+strconv.FormatInt(int64(v.CreationTime), 10))
}

// importVersions brings the versions of a model, and gives their numbers by the
// old ones.
func (m *mover) importVersions(ctx context.Context, l registered, at places) (map[string]string, error) {
	there, err := m.versionsOf(ctx, l.Model)
	if err != nil {
		return nil, err
	}
	known := map[string]string{} // origin -> number
	newest := 0
	for _, v := range there {
		known[versionOrigin(v)] = v.Version
		newest = versionNumber(v) // a stand-in of an import that was cut off counts, too
	}
	numbers := map[string]string{}
	for _, v := range l.Versions {
		what := fmt.Sprintf("version %s of model %s", v.Version, v.Name)
		if to := known[versionOrigin(v)]; to != "" {
			numbers[v.Version] = to
		} else {
			source, why := at.source(v)
			if why != "" {
				m.leave(what, why)
				continue
			}
			if newest, err = m.fillGap(ctx, l.Model, newest, versionNumber(v)); err != nil {
				return nil, err
			}
			to, err := m.createVersion(ctx, v, source, at)
			if err = m.leaveRefused(what, err); err != nil {
				return nil, err
			}
			if to == "" {
				continue
			}
			if newest, err = strconv.Atoi(to); err != nil {
				return nil, errs.New(errs.Failed, "%s gave a version the number %q", m.c.URI(), to)
			}
			if numbers[v.Version] = to; to != v.Version {
				m.leave("the number of "+what, "it is version "+to+" there")
			}
			m.count(func(n *Moved) { n.ModelVersions++ })
		}
		if v.Stage != "" && v.Stage != wire.StageNone {
			in := map[string]any{"name": v.Name, "version": numbers[v.Version], "stage": v.Stage, "archive_existing_versions": false}
			if err := m.leaveRefused("the stage of "+what, m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "model-versions/transition-stage", in: in, what: "set the stage of " + what}, nil)); err != nil {
				return nil, err
			}
		}
	}
	return numbers, m.deletePlaceholders(ctx, l.Model)
}

// deletePlaceholders comes when all versions are there: an import that is cut
// off before must see which numbers are taken.
func (m *mover) deletePlaceholders(ctx context.Context, model wire.RegisteredModel) error {
	there, err := m.versionsOf(ctx, model)
	if err != nil {
		return err
	}
	for _, v := range there {
		if tagOf(v.Tags, placeholderTag) == "" {
			continue
		}
		in := map[string]string{"name": v.Name, "version": v.Version}
		if err := m.c.rest.call(ctx, request{method: http.MethodDelete, path: apiPath + "model-versions/delete", in: in, what: "delete a placeholder of model " + v.Name}, nil); err != nil {
			return err
		}
	}
	return nil
}

// source says where a version lies now, or why that cannot be said.
func (at places) source(v wire.ModelVersion) (source, why string) {
	if v.Source == nil || *v.Source == "" {
		return "", "it has no source"
	}
	source = *v.Source
	if run := v.RunID; run != nil && *run != "" && at.runs[*run] != "" {
		source = strings.ReplaceAll(source, *run, at.runs[*run])
	}
	model := loggedModelOf(v)
	if to, ok := at.models[model]; ok {
		source = strings.ReplaceAll(source, model, to.ID)
	}
	scheme, rest, _ := strings.Cut(source, ":")
	switch scheme {
	case "mlflow-artifacts", "runs", "models", "http", "https":
	default:
		return source, ""
	}
	moved := source != *v.Source || model != "" && at.models[model].ID == model || v.RunID != nil && at.runs[*v.RunID] == *v.RunID && *v.RunID != ""
	switch {
	case scheme == "models" && model == "": // a copy of another version
		return source, ""
	case (scheme == "http" || scheme == "https") && !strings.Contains(source, "/mlflow-artifacts/"):
		return source, ""
	case !moved:
		return "", "its source " + *v.Source + " is of a run or logged model that is not in the export"
	case scheme == "mlflow-artifacts":
		// The first element of the path is the experiment.
		parts := strings.Split(strings.TrimPrefix(rest, "/"), "/")
		if to := at.experiments[parts[0]]; to != "" {
			parts[0] = to
		}
		source = scheme + ":/" + strings.Join(parts, "/")
	}
	return source, ""
}

// fillGap takes the numbers before that of a version.
func (m *mover) fillGap(ctx context.Context, model wire.RegisteredModel, newest, number int) (int, error) {
	if number-newest > maxPlaceholders {
		return newest, nil
	}
	for ; newest < number-1; newest++ {
		stand := wire.ModelVersion{Name: model.Name, Tags: []wire.Tag{{Key: placeholderTag, Value: "true"}}}
		source := "s3://ctrx/placeholder"
		if tagOf(model.Tags, promptTag) != "" {
			stand.Tags = append(stand.Tags, wire.Tag{Key: promptTag, Value: "true"})
			source = "dummy-source"
		}
		made, err := m.createVersion(ctx, stand, source, places{})
		if err != nil {
			return newest, m.leaveRefused("the numbers of the versions of model "+model.Name, err)
		}
		if n, err := strconv.Atoi(made); err == nil && n > newest+1 {
			newest = n - 1 // deleted ones have numbers, too
		}
	}
	return newest, nil
}

// createVersion makes a version and gives its number.
func (m *mover) createVersion(ctx context.Context, v wire.ModelVersion, source string, at places) (string, error) {
	in := struct {
		Name        string     `json:"name"`
		Source      string     `json:"source"`
		Run         string     `json:"run_id,omitempty"`
		Model       string     `json:"model_id,omitempty"`
		Description *string    `json:"description,omitempty"`
		Link        *string    `json:"run_link,omitempty"`
		Tags        []wire.Tag `json:"tags,omitempty"`
	}{v.Name, source, "", at.models[loggedModelOf(v)].ID, v.Description, v.RunLink, registryTags(v.Tags)}
	if v.CreationTime != 0 {
		in.Tags = append(in.Tags, wire.Tag{Key: movedFromTag, Value: versionOrigin(v)})
	}
	if v.RunID != nil && *v.RunID != "" {
		if in.Run = at.runs[*v.RunID]; in.Run == "" {
			m.leave("the run of version "+v.Version+" of model "+v.Name, "run "+*v.RunID+" is not in the export")
		}
	}
	var out struct {
		Version wire.ModelVersion `json:"model_version"`
	}
	err := m.c.rest.call(ctx, request{method: http.MethodPost, path: apiPath + "model-versions/create", in: in, once: true, what: "create a version of model " + v.Name}, &out)
	return out.Version.Version, err
}
