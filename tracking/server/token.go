package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net/http"
	"slices"
	"strings"

	"ctrx/tracking/wire"
)

// refuseStranger answers 401 to a request without the token. It tells whether
// it answered.
func (s *Server) refuseStranger(w http.ResponseWriter, r *http.Request) bool {
	if s.opts.Token == "" || r.URL.Path == "/health" || r.URL.Path == "/version" || r.URL.Path == loginPath || s.known(r) || s.logins.loggedIn(r) {
		return false
	}
	// Basic, so that a browser asks its user.
	w.Header().Set("WWW-Authenticate", `Basic realm="ctrx", charset="UTF-8"`)
	writeError(w, &apiError{code: wire.Unauthenticated, message: "This tracking server wants a token: set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD with the token as password"})
	return true
}

// known compares in a time that does not depend on the content.
func (s *Server) known(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		if _, given, ok = r.BasicAuth(); !ok {
			return false
		}
	}
	want, got := sha256.Sum256([]byte(s.opts.Token)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// preflight adds what lets a page of an allowed origin read the answers, and
// answers the question that its browser asks first. It tells whether it
// answered.
func (s *Server) preflight(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	allowed := origin != "" && s.originKnown(origin)
	if origin != "" {
		w.Header().Add("Vary", "Origin")
	}
	if allowed {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	if !allowed {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, crossOrigin)
		return true
	}
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS, PATCH")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	w.Header().Set("Access-Control-Max-Age", "600")
	_, _ = io.WriteString(w, "OK")
	return true
}

// originKnown accepts pages of this machine and those that the options name.
func (s *Server) originKnown(origin string) bool {
	if slices.Contains(s.opts.AllowedOrigins, origin) || slices.Contains(s.opts.AllowedOrigins, wildcardHost) {
		return true
	}
	return localOrigin(origin)
}
