package server

import (
	"context"
	"database/sql"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// modelSource is where a new model version comes from.
type modelSource struct {
	uri      string // as it is kept
	run      string // "" where none
	location string // what a client downloads from
}

// versionSource checks the source of a new version. A client may name any
// place of its own (s3://...), but no path on the server's disk and nothing
// below mlflow-artifacts: that is not of the run or logged model it names:
// registered, that would be a way to read it.
func (s *Server) versionSource(ctx context.Context, tx *sql.Tx, in *versionIn) (modelSource, error) {
	src := modelSource{uri: in.Source.value, run: in.RunID.value, location: in.Source.value}
	for _, kv := range in.Tags {
		if kv.Key.value == tagPrompt && strings.EqualFold(kv.Value.value, "true") {
			return src, checkPromptSource(src.uri)
		}
	}
	u, err := url.Parse(src.uri)
	if err != nil {
		return src, badSource(src.uri)
	}
	if u.Scheme == "models" && !strings.HasPrefix(path.Base(u.Path), "m-") {
		return s.registeredSource(ctx, tx, in, u)
	}
	if in.ModelID.value != "" {
		err = s.checkSource(ctx, tx, src.uri, u, "model_id", in.ModelID.value)
	} else {
		err = s.checkSource(ctx, tx, src.uri, u, "run_id", in.RunID.value)
	}
	if err != nil {
		return src, err
	}
	model := in.ModelID.value
	if u.Scheme == "models" {
		m, err := findLoggedModel(ctx, tx, path.Base(u.Path), false)
		if err != nil {
			return src, err
		}
		src.location, model = m.Info.ArtifactURI, m.Info.ID
	}
	if src.run == "" && model != "" {
		m, err := findLoggedModel(ctx, tx, model, false)
		if err != nil {
			return src, err
		}
		if m.Info.SourceRunID != nil {
			src.run = *m.Info.SourceRunID
		}
	}
	return src, nil
}

func checkPromptSource(source string) error {
	switch source {
	case "dummy-source", "prompt-template":
		return nil
	}
	return invalid("Invalid prompt source: '%s'. Prompt sources must use an MLflow placeholder.", source)
}

// registeredSource copies a version of the registry: models:/NAME/VERSION or
// models:/NAME@ALIAS.
func (s *Server) registeredSource(ctx context.Context, tx *sql.Tx, in *versionIn, u *url.URL) (modelSource, error) {
	src := modelSource{uri: in.Source.value}
	if u.Host != "" {
		return src, invalid("Invalid model version source: '%s'. Registered model sources must use the active model registry.", src.uri)
	}
	name, version, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if alias, at := "", false; !ok {
		if name, alias, at = strings.Cut(name, "@"); !at {
			return src, outsideSource(src.uri, "model_id")
		}
		if _, err := findRegistered(ctx, tx, name); err != nil {
			return src, err
		}
		n, err := aliasedVersion(ctx, tx, aliasKey{Name: text{value: name}, Alias: text{value: alias}})
		if err != nil {
			return src, err
		}
		version = strconv.FormatInt(n, 10)
	}
	if _, err := findRegistered(ctx, tx, name); err != nil {
		return src, err
	}
	v, err := findVersion(ctx, tx, versionKey{Name: text{value: name}, Version: text{value: version}})
	if err != nil {
		return src, err
	}
	src.uri = "models:/" + name + "/" + v.Version
	if v.RunID != nil {
		src.run = *v.RunID
	}
	if in.RunID.set && in.RunID.value != src.run {
		return src, invalid("Invalid model version source: '%s'. The run_id and model_id request parameters must match the referenced model version.", in.Source.value)
	}
	err = tx.QueryRowContext(ctx, `SELECT coalesce(nullif(storage_location, ''), source, '') FROM model_versions WHERE name = ? AND version = ?`, name, v.Version).Scan(&src.location)
	return src, err
}

// checkSource holds a source against the run or logged model that the request
// names.
func (s *Server) checkSource(ctx context.Context, tx *sql.Tx, source string, u *url.URL, param, id string) error {
	if u.Scheme == "" || u.Scheme == "file" || len(u.Scheme) == 1 {
		if s.opts.AllowLocalRoots && id != "" {
			root, err := rootOf(ctx, tx, param, id)
			if err == nil && within(u.Path, strings.TrimPrefix(root, "file://")) {
				return nil
			}
		}
		return invalid("Invalid model version source: '%s'. To use a local path as a model version source, the %s request parameter has to be specified and the local path has to be contained within the artifact directory of the run specified by the %s.", source, param, param)
	}
	plain := unquoteAll(source)
	if p, err := url.Parse(plain); strings.ContainsRune(plain, 0) || err != nil || hasDotDot(plain) || !cleanPath(p.Path) {
		return badSource(source)
	}
	switch u.Scheme {
	case "runs":
		run, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if u.Host != "" || param != "run_id" || id == "" || run != id {
			return outsideSource(source, param)
		}
		return nil
	case "models":
		if u.Host != "" || param != "model_id" || path.Base(u.Path) != id {
			return outsideSource(source, "model_id")
		}
		return nil
	case "mlflow-artifacts":
	case "http", "https":
		if !strings.Contains(plain, "/api/2.0/mlflow-artifacts/artifacts") {
			return nil
		}
	default:
		return nil
	}
	if id == "" {
		return outsideSource(source, param)
	}
	root, err := rootOf(ctx, tx, param, id)
	if err != nil || !within(plain, root) {
		return outsideSource(source, param)
	}
	return nil
}

// rootOf is the artifact root of the run or logged model with an id.
func rootOf(ctx context.Context, tx *sql.Tx, param, id string) (string, error) {
	if param == "model_id" {
		m, err := findLoggedModel(ctx, tx, id, false)
		return m.Info.ArtifactURI, err
	}
	run, err := findRun(ctx, tx, id)
	return run.ArtifactURI, err
}

// within tells whether a place is a root or below it.
func within(place, root string) bool {
	place, root = strings.TrimRight(place, "/"), strings.TrimRight(root, "/")
	return root != "" && (place == root || strings.HasPrefix(place, root+"/"))
}

// unquoteAll decodes percent escapes until none is left.
func unquoteAll(s string) string {
	for range 10 {
		next, err := url.QueryUnescape(s)
		if err != nil || next == s {
			return s
		}
		s = next
	}
	return s
}

func hasDotDot(s string) bool {
	for _, part := range strings.Split(s, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

func cleanPath(p string) bool {
	p = strings.TrimRight(p, "/")
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p == "" || path.Clean(p) == p
}

func badSource(source string) error {
	return invalid("Invalid model version source: '%s'. If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path references present. Please provide an absolute path.", source)
}

func outsideSource(source, param string) error {
	return invalid("Invalid model version source: '%s'. The %s request parameter must identify the resource that contains the source.", source, param)
}
