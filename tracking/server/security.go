package server

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Texts of the refusals, as MLflow writes them; its clients look for them.
const (
	invalidHost  = "Invalid Host header - possible DNS rebinding attack detected"
	crossOrigin  = "Cross-origin request blocked"
	wildcardHost = "*"
)

// refuseForeign answers requests that a page of another site could make a
// browser send: an unknown Host (DNS rebinding), or a write with a foreign
// Origin. It tells whether it answered.
func (s *Server) refuseForeign(w http.ResponseWriter, r *http.Request) bool {
	text := ""
	switch path := r.URL.Path; {
	case path != "/health" && path != "/version" && !s.hostAllowed(r.Host):
		text = invalidHost
	case strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/ajax-api/"):
		if !s.originAllowed(r) {
			text = crossOrigin
		}
	}
	if text == "" {
		return false
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, text)
	return true
}

// hostAllowed accepts localhost, loopback and private addresses with any port,
// and what the options add. Unlike MLflow's pattern "10.*" it wants a real
// address there: 10.example.com is a name anybody can register.
func (s *Server) hostAllowed(host string) bool {
	if slices.Contains(s.opts.AllowedHosts, wildcardHost) || slices.Contains(s.opts.AllowedHosts, host) {
		return host != ""
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") || name == "0.0.0.0" || slices.Contains(s.opts.AllowedHosts, name) {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && (ip.IsLoopback() || ip.IsPrivate())
}

// originAllowed lets reads and requests without an Origin pass.
func (s *Server) originAllowed(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch:
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	return origin == "" || s.originKnown(origin)
}

// localOrigin tells whether a page comes from this machine.
func localOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	return false
}
