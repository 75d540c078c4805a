// Package server is a small MLflow-compatible tracking server: an
// http.Handler over the SQLite schema and the folder layout of MLflow itself.
//
// A newcomer needs three facts. First, nothing here listens or opens a file
// until a request needs it: New is free, so the client can keep a Server in
// process and call it without a socket. Second, the files are MLflow's: the
// database is at MLflow's revision 6953534de441 and artifacts lie in
// mlartifacts/<experiment>/<run>/artifacts, so `mlflow ui` in the same folder
// shows every run, also while this server writes. Third, answers, limits and
// error texts are those of MLflow 3.17.2; where a handler does something odd,
// a real server does it too.
//
// A request that only reads never creates the database: until the first write
// it is answered from an empty one in memory.
package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// Compatible is the MLflow version whose behaviour the server mirrors; it is
// the answer of /version.
const Compatible = "3.17.2"

// maxJSON bounds the body of a request that is not an artifact, in bytes. The
// largest legal log-batch has about 1.5 MB.
const maxJSON = 32 << 20

// Options configure a Server. Only DB and Artifacts are needed.
type Options struct {
	DB        string // path of the SQLite file, conventionally <project>/mlflow.db
	Artifacts string // folder behind mlflow-artifacts:, conventionally <project>/mlartifacts

	// Objects is a bucket to keep artifacts in instead of the folder.
	Objects ObjectStore

	Now  func() time.Time // nil: time.Now
	Rand io.Reader        // source of run ids and names; nil: crypto/rand

	// UI answers "/" and everything below "/static-files/". Nil: there is no
	// page, "/" is not found.
	UI http.Handler

	// Token, where it is not empty, must come with every request but /health
	// and /version: as "Authorization: Bearer TOKEN", or as the password of
	// Basic with any user, which is how MLflow's clients and browsers send it.
	Token string

	// AllowedHosts are values of the Host header accepted besides localhost
	// and private addresses; "*" accepts all. AllowedOrigins likewise for the
	// Origin header of writes.
	AllowedHosts   []string
	AllowedOrigins []string

	// AllowLocalRoots lets a client name a file: or absolute folder as the
	// artifact root of a new experiment. The server itself never reads or
	// writes there.
	AllowLocalRoots bool

	// MaxUpload bounds an uploaded artifact, in bytes; 0: no bound. With one,
	// clients cannot send parts to a bucket by themselves.
	MaxUpload int64

	// Stall is how long a body may stand still in either direction before the
	// connection is cut; 0: a minute.
	Stall time.Duration
}

// Server answers MLflow's REST API. It is safe for concurrent use.
type Server struct {
	opts      Options
	store     *store
	artifacts artifactStore
	routes    map[string]route
	patterns  []pattern
	logins    logins
}

type handler func(s *Server, r *http.Request) (any, error)

// route maps methods to handlers for one path below /api/2.0/mlflow/.
type route map[string]handler

// New makes a server. It opens no file; Close it all the same.
func New(opts Options) *Server {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	if opts.Stall <= 0 {
		opts.Stall = stallTime
	}
	s := &Server{
		opts:      opts,
		store:     &store{path: opts.DB, now: opts.Now},
		artifacts: newArtifactDir(opts.Artifacts, opts.Rand),
		routes:    routes(),
		patterns:  patterns(),
	}
	if opts.Objects != nil {
		s.artifacts = objectArtifacts{opts.Objects}
	}
	return s
}

// Close folds the write-ahead log into the database file and closes both.
// The server may be used again afterwards: it opens the files anew.
func (s *Server) Close() error { return errors.Join(s.store.close(), s.artifacts.close()) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	if s.refuseForeign(w, r) || s.refuseStranger(w, r) || s.preflight(w, r) {
		return
	}
	var err error
	switch path := r.URL.Path; {
	case path == "/health":
		_, _ = io.WriteString(w, "OK")
	case path == "/version":
		_, _ = io.WriteString(w, Compatible)
	case path == loginPath && r.Method == http.MethodGet:
		err = s.login(w, r)
	case path == "/get-artifact":
		err = s.sendRunArtifact(w, r)
	case path == "/ajax-api/2.0/mlflow/get-trace-artifact", path == "/ajax-api/3.0/mlflow/get-trace-artifact":
		err = s.sendTraceArtifact(w, r)
	case path == "/v1/traces" && r.Method == http.MethodPost:
		err = refuseSpans()
	case path == "/graphql":
		err = s.serveGraphQL(w, r)
	case strings.HasPrefix(path, "/api/"), strings.HasPrefix(path, "/ajax-api/"):
		_, rest, _ := strings.Cut(path[1:], "/")
		s.serveAPI(w, r, rest)
	case s.opts.UI != nil && (path == "/" || strings.HasPrefix(path, "/static-files/")):
		s.opts.UI.ServeHTTP(w, r)
	default:
		err = notFoundError(r)
	}
	if err != nil {
		writeError(w, err)
	}
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, rest string) {
	const proxy = "2.0/mlflow-artifacts/"
	if rest, ok := strings.CutPrefix(rest, proxy); ok {
		s.serveProxy(w, r, rest)
		return
	}
	rt, ok := s.find(r, rest)
	if !ok {
		writeError(w, notFoundError(r))
		return
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h, ok := rt[method]
	if !ok {
		for m := range rt {
			w.Header().Add("Allow", m)
		}
		writeError(w, methodError(r))
		return
	}
	if method == http.MethodPost || method == http.MethodPatch {
		if err := checkContentType(r); err != nil {
			writeError(w, err)
			return
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxJSON)
	answer, err := h(s, r)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *Server) serverInfo(*http.Request) (any, error) {
	return struct {
		StoreType         string `json:"store_type"`
		Workspaces        bool   `json:"workspaces_enabled"`
		TraceArchival     bool   `json:"trace_archival_enabled"`
		MultipartUpload   bool   `json:"multipart_uploads_enabled"`
		MultipartDownload bool   `json:"multipart_downloads_enabled"`
		PresignedRun      bool   `json:"presigned_upload_run_id_supported"`
		PresignedModel    bool   `json:"presigned_upload_model_id_supported"`
		Features          struct {
			Gateway bool `json:"gateway"`
		} `json:"features_enabled"`
	}{StoreType: "SqlStore", MultipartUpload: s.parts() != nil, MultipartDownload: s.parts() != nil, PresignedRun: true, PresignedModel: true}, nil
}

// millis is the present in milliseconds since 1970.
func (s *Server) millis() int64 { return s.opts.Now().UnixMilli() }

// newID makes the 32 hex digits of a run, dataset or input id.
func (s *Server) newID() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(s.opts.Rand, b[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}

// statusName reads a run status, which the API accepts by name and by number.
func statusName(v string) (string, bool) {
	switch v {
	case "RUNNING", "1":
		return "RUNNING", true
	case "SCHEDULED", "2":
		return "SCHEDULED", true
	case "FINISHED", "3":
		return "FINISHED", true
	case "FAILED", "4":
		return "FAILED", true
	case "KILLED", "5":
		return "KILLED", true
	}
	return "", false
}
