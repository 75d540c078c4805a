package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/tracking/wire"
)

// apiError is a refusal with MLflow's error code; the HTTP status follows from
// the code.
type apiError struct {
	code    string
	message string
	status  int // 0: from the code

	errorClass string // "": from the code
	page       string // an HTML page that is the answer instead
}

func (e *apiError) Error() string { return e.message }

func refuse(code, format string, args ...any) error {
	return &apiError{code: code, message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return refuse(wire.InvalidParameterValue, format, args...)
}

const seeDocs = " See the API docs for more information about request parameters."

func missing(param string) error {
	return invalid("Missing value for required parameter '%s'.%s", param, seeDocs)
}

func tooLong(what string, limit int) error {
	return invalid("'%s' exceeds the maximum length of %d characters", what, limit)
}

// notFoundError is the answer where no call has that path. Clients below /api/
// get the page that a real server sends, the interface in a browser, which
// reads every answer, gets JSON.
func notFoundError(r *http.Request) error {
	return &apiError{code: wire.EndpointNotFound, message: fmt.Sprintf("No API found for '%s %s'", r.Method, r.URL.Path),
		page: errorPage(r, "404 Not Found", "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.")}
}

// methodError likewise where the path knows other methods only.
func methodError(r *http.Request) error {
	return &apiError{code: wire.EndpointNotFound, status: http.StatusMethodNotAllowed,
		message: fmt.Sprintf("The method %s is not allowed for '%s'", r.Method, r.URL.Path),
		page:    errorPage(r, "405 Method Not Allowed", "The method is not allowed for the requested URL.")}
}

func errorPage(r *http.Request, title, text string) string {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return ""
	}
	_, name, _ := strings.Cut(title, " ")
	return fmt.Sprintf("<!doctype html>\n<html lang=en>\n<title>%s</title>\n<h1>%s</h1>\n<p>%s</p>\n", title, name, text)
}

func (e *apiError) httpStatus() int {
	if e.status != 0 {
		return e.status
	}
	switch e.code {
	case wire.InvalidParameterValue, wire.ResourceAlreadyExists, "BAD_REQUEST":
		return http.StatusBadRequest
	case wire.ResourceDoesNotExist, wire.EndpointNotFound:
		return http.StatusNotFound
	case wire.PermissionDenied:
		return http.StatusForbidden
	case wire.Unauthenticated:
		return http.StatusUnauthorized
	case wire.NotImplemented:
		return http.StatusNotImplemented
	case wire.TemporarilyUnavail:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// class gives MLflow's finer classification of a code.
func (e *apiError) class() (sqlState, class string) {
	switch e.code {
	case wire.ResourceDoesNotExist, wire.EndpointNotFound:
		return "KAM00", "RESOURCE_NOT_FOUND"
	case wire.InvalidParameterValue, "BAD_REQUEST":
		return "KAM00", "INVALID_PARAMETER_VALUE"
	case wire.ResourceAlreadyExists, wire.PermissionDenied:
		return "KAM00", e.code
	case wire.NotImplemented:
		return "", ""
	}
	return "XXM00", "CLIENT_INTERNAL_ERROR"
}

// asAPIError turns any failure of a handler into an answer.
func asAPIError(err error) *apiError {
	var api *apiError
	if errors.As(err, &api) {
		return api
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &apiError{code: wire.InvalidParameterValue, status: http.StatusRequestEntityTooLarge,
			message: fmt.Sprintf("The request body is larger than %d bytes", tooLarge.Limit)}
	}
	var db *sqlite.Error
	if errors.As(err, &db) {
		switch db.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return &apiError{code: wire.TemporarilyUnavail, message: "The tracking database is locked by another process: " + err.Error()}
		case sqlite3.SQLITE_FULL:
			return &apiError{code: wire.TemporarilyUnavail, message: "No space is left where the tracking database is: " + err.Error()}
		case sqlite3.SQLITE_CONSTRAINT:
			return &apiError{code: "BAD_REQUEST", message: err.Error()}
		}
	}
	if full := fsx.FullDisk(err); full != err { //nolint:errorlint // it wraps what is a full disk
		return &apiError{code: wire.TemporarilyUnavail, message: full.Error()}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &apiError{code: wire.ResourceDoesNotExist, message: err.Error()}
	}
	message := err.Error()
	if hint := errs.HintOf(err); hint != "" {
		message += " (" + hint + ")"
	}
	return &apiError{code: wire.InternalError, message: message}
}

func writeError(w http.ResponseWriter, err error) {
	e := asAPIError(err)
	if e.page != "" {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(e.httpStatus())
		_, _ = io.WriteString(w, e.page)
		return
	}
	state, class := e.class()
	if e.errorClass != "" {
		state, class = "KAM04", e.errorClass
	}
	writeJSON(w, e.httpStatus(), wire.Error{Code: e.code, Message: e.message, SQLState: state, ErrorClass: class})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := wire.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

// checkContentType refuses what a real server refuses: a POST must say that it
// is JSON.
func checkContentType(r *http.Request) error {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return invalid("Bad Request. Content-Type header is missing.")
	}
	if t, _, err := mime.ParseMediaType(header); err != nil || !strings.EqualFold(t, "application/json") {
		return invalid("Bad Request. Content-Type must be one of ['application/json'].")
	}
	return nil
}

// pythonJSON writes a value as json.dumps does, for messages that quote input:
// ASCII only.
func pythonJSON(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		return `"?"`
	}
	var b strings.Builder
	for _, r := range string(data) {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(b.String())
}
