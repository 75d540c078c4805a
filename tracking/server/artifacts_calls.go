package server

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"ctrx/tracking/wire"
)

// serveProxy answers 2.0/mlflow-artifacts/...; rest is what follows.
func (s *Server) serveProxy(w http.ResponseWriter, r *http.Request, rest string) {
	name, isFile := strings.CutPrefix(rest, "artifacts/")
	var err error
	switch {
	case rest == "artifacts" || rest == "artifacts/" && r.Method == http.MethodGet:
		err = s.proxyList(w, r)
	case strings.HasPrefix(rest, "mpu/"):
		err = s.serveParts(w, r, rest[len("mpu/"):])
	case strings.HasPrefix(rest, "presigned/"):
		err = s.sendPresigned(w, r, rest[len("presigned/"):])
	case !isFile:
		err = notFoundError(r)
	default:
		if name, err = safePath(name); err == nil {
			err = s.proxyFile(w, r, name)
		}
	}
	if err != nil {
		writeError(w, err)
	}
}

func (s *Server) proxyFile(w http.ResponseWriter, r *http.Request, name string) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.artifacts.send(w, r, name)
	case http.MethodPut:
		if name == "" || strings.HasSuffix(r.URL.Path, "/") {
			return invalid("Artifact path must include a filename (cannot end with '/').")
		}
		if s.opts.MaxUpload > 0 {
			r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxUpload)
		}
		if err := s.artifacts.put(r.Context(), name, r.Body); err != nil {
			return fmt.Errorf("store artifact %s: %w", name, err)
		}
		w.WriteHeader(http.StatusOK)
		return nil
	case http.MethodDelete:
		if err := s.artifacts.remove(r.Context(), name); err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, empty{})
		return nil
	}
	w.Header().Set("Allow", "GET, PUT, DELETE")
	return methodError(r)
}

func (s *Server) proxyList(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return methodError(r)
	}
	dir, err := safePath(r.URL.Query().Get("path"))
	if err != nil {
		return err
	}
	files, err := s.artifacts.list(r.Context(), dir)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Files []wire.FileInfo `json:"files,omitempty"`
	}{files})
	return nil
}

// runFolder is where the artifacts of a run lie below the folder of this
// server. Roots elsewhere are not followed.
func (s *Server) runFolder(ctx context.Context, id, rel string) (folder string, err error) {
	root := ""
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		info, err := findRun(ctx, tx, id)
		root = info.ArtifactURI
		return err
	})
	if err != nil {
		return "", err
	}
	return folderOf(root, rel)
}

// folderOf is the place below the folder of this server that rel has under an
// artifact root.
func folderOf(root, rel string) (string, error) {
	rel, err := safePath(rel)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(root)
	if err != nil || u.Scheme != "mlflow-artifacts" {
		return "", refuse(wire.NotImplemented, "These artifacts are kept at '%s', which this server does not serve", root)
	}
	folder, err := safePath(strings.TrimPrefix(u.Path, "/"))
	return path.Join(folder, rel), err
}

func (s *Server) listRunArtifacts(r *http.Request) (any, error) {
	q := r.URL.Query()
	id, err := queryRun(q)
	if err != nil {
		return nil, err
	}
	if _, err := safePath(q.Get("path")); err != nil {
		return nil, err
	}
	ctx := r.Context()
	root := ""
	err = s.store.read(ctx, func(tx *sql.Tx) error {
		info, err := findRun(ctx, tx, id)
		root = info.ArtifactURI
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.listBelow(ctx, root, q.Get("path"))
}

// listBelow lists a folder of an artifact root; paths are relative to the root.
func (s *Server) listBelow(ctx context.Context, root, rel string) (any, error) {
	folder, err := folderOf(root, rel)
	if err != nil {
		return nil, err
	}
	rel, err = safePath(rel)
	if err != nil {
		return nil, err
	}
	files, err := s.artifacts.list(ctx, folder)
	if err != nil {
		return nil, err
	}
	for i := range files {
		files[i].Path = path.Join(rel, files[i].Path)
	}
	return struct {
		Root  string          `json:"root_uri"`
		Files []wire.FileInfo `json:"files,omitempty"`
	}{root, files}, nil
}

// presigned refuses as the real server does where artifacts are not in a
// bucket that clients may reach by themselves.
func (s *Server) presigned(r *http.Request) (any, error) {
	var in struct {
		ids
		Path text `json:"path"`
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	id, err := in.run()
	if err := firstError(err, in.Path.required("path")); err != nil {
		return nil, err
	}
	if _, err := s.runFolder(r.Context(), id, in.Path.value); err != nil {
		return nil, err
	}
	if strings.Contains(r.URL.Path, "download") {
		return nil, invalid("Presigned download is not supported for runs with proxied artifact storage (artifact URI scheme: mlflow-artifacts). This endpoint requires a run with a direct cloud storage artifact URI.")
	}
	return nil, invalid("Presigned upload is not supported for proxied artifact storage (artifact URI scheme: mlflow-artifacts). This endpoint requires a direct cloud storage artifact URI.")
}

func (s *Server) sendRunArtifact(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return methodError(r)
	}
	q := r.URL.Query()
	id, err := queryRun(q)
	if err != nil {
		return err
	}
	name, err := s.runFolder(r.Context(), id, q.Get("path"))
	if err != nil {
		return err
	}
	return s.artifacts.send(w, r, name)
}

// joinURI appends path elements to an artifact root.
func joinURI(root string, elements ...string) string {
	return strings.TrimRight(root, "/") + "/" + strings.Join(elements, "/")
}

// normPath is path.Clean under the name of the Python function whose answer is
// quoted in messages: it keeps exactly two leading slashes.
func normPath(p string) string {
	if strings.HasPrefix(p, "//") && !strings.HasPrefix(p, "///") {
		return "/" + path.Clean(p)
	}
	return path.Clean(p)
}
