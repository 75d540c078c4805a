package server

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// A browser logs in to a server with a token by a link that works once: the link
// can stand in a terminal or a log without giving the token away. The browser
// gets a cookie in its place, which the server knows as long as it runs. Who has
// no such link is asked for a user and a password, see refuseStranger.

const (
	loginPath   = "/login"
	loginCookie = "ctrx_session"
	loginTime   = 10 * time.Minute // how long a link can be used
)

// logins knows the links that were given out and the browsers that used them,
// each by the hash of its secret. It is safe for concurrent use.
type logins struct {
	mu       sync.Mutex
	links    map[string]time.Time // until when
	sessions map[string]bool
}

// Login makes the path of a page that logs a browser in: "/login?code=...". It
// can be used once, within ten minutes. Without a token it is "/".
func (s *Server) Login() (string, error) {
	if s.opts.Token == "" {
		return "/", nil
	}
	code, err := s.secret()
	if err != nil {
		return "", err
	}
	s.logins.mu.Lock()
	defer s.logins.mu.Unlock()
	if s.logins.links == nil {
		s.logins.links, s.logins.sessions = map[string]time.Time{}, map[string]bool{}
	}
	s.logins.links[hashed(code)] = s.opts.Now().Add(loginTime)
	return loginPath + "?code=" + code, nil
}

// secret makes 128 random bits.
func (s *Server) secret() (string, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(s.opts.Rand, b); err != nil {
		return "", fmt.Errorf("make a secret: %w", err)
	}
	return hex.EncodeToString(b), nil
}

func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return string(sum[:])
}

// take uses up a link.
func (l *logins) take(code string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := hashed(code)
	until, ok := l.links[key]
	delete(l.links, key)
	return ok && now.Before(until)
}

func (l *logins) begin(session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions[hashed(session)] = true
}

// loggedIn tells whether a request brings the cookie of a browser that logged in.
func (l *logins) loggedIn(r *http.Request) bool {
	cookie, err := r.Cookie(loginCookie)
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions[hashed(cookie.Value)]
}

// login answers the link: it gives the browser its cookie and leads to the page.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if s.opts.Token != "" && !s.logins.loggedIn(r) {
		if !s.logins.take(r.URL.Query().Get("code"), s.opts.Now()) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusForbidden)
			_, err := io.WriteString(w, "This link was used already, or is too old. Open the address of the server without /login and give the token as password, or start the server again for a new link.\n")
			return err
		}
		session, err := s.secret()
		if err != nil {
			return err
		}
		s.logins.begin(session)
		http.SetCookie(w, &http.Cookie{Name: loginCookie, Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil})
	}
	http.Redirect(w, r, "./", http.StatusSeeOther)
	return nil
}
