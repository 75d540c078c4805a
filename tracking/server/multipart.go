package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/tracking/wire"
)

// PartStore is an ObjectStore whose clients may send the parts of a large
// object to the bucket themselves, and read from there. An upload or object
// that is not there gives an error that wraps fs.ErrNotExist.
type PartStore interface {
	// BeginParts gives an address for each part, which takes it by a PUT.
	BeginParts(ctx context.Context, key string, parts int) (upload string, urls []string, err error)
	// CompleteParts makes the object; etags are by number of the part, from 1.
	CompleteParts(ctx context.Context, key, upload string, etags map[int]string) error
	AbortParts(ctx context.Context, key, upload string) error
	// PresignGet gives an address to read an object from as a file of that name.
	PresignGet(ctx context.Context, key, name string, valid time.Duration) (url string, size int64, err error)
}

// readValid is how long an address to read from may be used, as in MLflow.
const readValid = 5 * time.Minute

// parts is the store that takes parts, or nil: the artifacts are in a folder,
// or the bucket cannot do it, or nobody would see how large they are.
func (s *Server) parts() PartStore {
	if s.opts.MaxUpload > 0 {
		return nil
	}
	p, _ := s.opts.Objects.(PartStore)
	return p
}

// serveParts answers 2.0/mlflow-artifacts/mpu/...; rest is what follows mpu/.
func (s *Server) serveParts(w http.ResponseWriter, r *http.Request, rest string) error {
	call, folder, _ := strings.Cut(rest, "/")
	if call != "create" && call != "complete" && call != "abort" {
		return notFoundError(r)
	}
	if r.Method != http.MethodPost {
		return methodError(r)
	}
	if err := checkContentType(r); err != nil {
		return err
	}
	folder, err := safePath(folder)
	if err != nil {
		return err
	}
	var in partsQuery
	r.Body = http.MaxBytesReader(w, r.Body, maxJSON)
	if err := decode(r, &in); err != nil {
		return err
	}
	if err := in.check(call); err != nil {
		return err
	}
	// Only the name counts of the file on the client's disk.
	name, err := safePath(path.Base(in.Path.value))
	if err != nil || name == "" {
		return invalid("Invalid path")
	}
	store, key := s.parts(), path.Join(folder, name)
	if store == nil {
		return refuse(wire.NotImplemented, "Multipart upload is not supported for the current artifact repository")
	}
	answer, err := in.send(r.Context(), store, key, call)
	if errors.Is(err, fs.ErrNotExist) {
		return refuse(wire.ResourceDoesNotExist, "No upload of '%s' with id '%s' is known", key, in.Upload.value)
	}
	if errs.KindOf(err) == errs.Usage {
		return invalid("%v", err)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// partsQuery is the body of the three calls of an upload in parts.
type partsQuery struct {
	Path   text    `json:"path"`
	Parts  integer `json:"num_parts"`
	Upload text    `json:"upload_id"`
	Sent   *[]struct {
		Number integer `json:"part_number"`
		ETag   text    `json:"etag"`
	} `json:"parts"`
}

func (in partsQuery) check(call string) error {
	if err := firstError(in.Path.required("path"), in.Parts.optional("num_parts"), in.Upload.optional("upload_id")); err != nil {
		return err
	}
	if call == "complete" && in.Sent == nil {
		return missing("parts")
	}
	return nil
}

// send asks the store to do a call, create, complete or abort, for the object key.
func (in partsQuery) send(ctx context.Context, store PartStore, key, call string) (any, error) {
	switch call {
	case "create":
		return beginParts(ctx, store, key, int(in.Parts.value))
	case "complete":
		etags := map[int]string{}
		for _, p := range *in.Sent {
			etags[int(p.Number.value)] = p.ETag.value
		}
		return empty{}, store.CompleteParts(ctx, key, in.Upload.value, etags)
	}
	return empty{}, store.AbortParts(ctx, key, in.Upload.value)
}

// partsAnswer is the answer of mpu/create.
type partsAnswer struct {
	Upload      string       `json:"upload_id"`
	Credentials []credential `json:"credentials,omitempty"`
}

// credential is where a part goes.
type credential struct {
	URL    string `json:"url"`
	Number int    `json:"part_number"`
}

func beginParts(ctx context.Context, store PartStore, key string, n int) (any, error) {
	upload, urls, err := store.BeginParts(ctx, key, n)
	out := partsAnswer{Upload: upload}
	for i, u := range urls {
		out.Credentials = append(out.Credentials, credential{u, i + 1})
	}
	return out, err
}

// sendPresigned answers 2.0/mlflow-artifacts/presigned/PATH.
func (s *Server) sendPresigned(w http.ResponseWriter, r *http.Request, name string) error {
	if r.Method != http.MethodGet {
		return methodError(r)
	}
	name, err := safePath(name)
	if err != nil {
		return err
	}
	store := s.parts()
	if store == nil {
		return refuse(wire.NotImplemented, "Multipart download is not supported for the current artifact repository")
	}
	url, size, err := store.PresignGet(r.Context(), name, path.Base(name), readValid)
	if errors.Is(err, fs.ErrNotExist) || name == "" {
		return refuse(wire.ResourceDoesNotExist, "No such artifact: '%s'", name)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Size    int64             `json:"file_size"`
	}{url, map[string]string{}, size})
	return nil
}
