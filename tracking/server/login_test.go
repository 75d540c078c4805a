package server

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A link logs one browser in, once, and gives away neither the token nor itself.
func TestLogin(t *testing.T) {
	now := time.UnixMilli(1000)
	s := New(Options{DB: filepath.Join(t.TempDir(), "mlflow.db"), Artifacts: t.TempDir(), Token: "s3cret", Now: func() time.Time { return now }})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ask := func(path string, cookies ...*http.Cookie) *http.Response {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1"+path, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result()
	}
	link := func() string {
		t.Helper()
		path, err := s.Login()
		if err != nil || !strings.HasPrefix(path, "/login?code=") || strings.Contains(path, "s3cret") {
			t.Fatalf("%q, %v", path, err)
		}
		return path
	}
	const list = "/api/2.0/mlflow/experiments/get?experiment_id=0"
	path := link()
	in := ask(path)
	if len(in.Cookies()) != 1 || in.StatusCode != http.StatusSeeOther || in.Header.Get("Location") != "/" {
		t.Fatalf("%d %v", in.StatusCode, in.Header)
	}
	cookie := in.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || strings.Contains(path, cookie.Value) || strings.Contains(cookie.Value, "s3cret") {
		t.Errorf("cookie %v", cookie)
	}
	old := link()
	now = now.Add(loginTime)
	for _, c := range []struct {
		what, path string
		cookies    []*http.Cookie
		status     int
	}{
		{"without the cookie", list, nil, 401},
		{"with it", list, []*http.Cookie{cookie}, 200},
		{"another cookie", list, []*http.Cookie{{Name: loginCookie, Value: "x"}}, 401},
		{"the link again", path, nil, 403},
		{"the link again in the same browser", path, []*http.Cookie{cookie}, 303},
		{"a link that is too old", old, nil, 403},
		{"no code", "/login", nil, 403},
	} {
		if got := ask(c.path, c.cookies...); got.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.what, got.StatusCode, c.status)
		}
	}
	open := New(Options{DB: filepath.Join(t.TempDir(), "mlflow.db")})
	if path, err := open.Login(); path != "/" || err != nil {
		t.Errorf("without a token: %q, %v", path, err)
	}
}
