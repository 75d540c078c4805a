package ssh

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/testreq"
	"ctrx/internal/testserver"
	"ctrx/storage"
	"ctrx/storage/backendtest"
	"ctrx/storage/local"
)

// start starts a server in this process.
func start(t *testing.T) *testserver.SSH {
	t.Helper()
	s, err := testserver.StartSSH(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// open opens the folder dir of the server with more settings.
func open(t *testing.T, s *testserver.SSH, dir string, more ...string) *Backend {
	t.Helper()
	config := map[string]string{"url": s.URL(dir)}
	for i := 0; i < len(more); i += 2 {
		config[more[i]] = more[i+1]
	}
	set, err := Parse("r", config, t.TempDir(), s.Env)
	if err != nil {
		t.Fatal(err)
	}
	b := Open(set)
	t.Cleanup(func() { b.Close() })
	return b
}

func TestContract(t *testing.T) {
	t.Parallel()
	s := start(t)
	backendtest.Run(t, func(t *testing.T) storage.Backend { return open(t, s, filepath.Join(t.TempDir(), "remote")) })
}

// TestContractOpenSSH runs the suite against a real sshd.
func TestContractOpenSSH(t *testing.T) {
	t.Parallel()
	testreq.Need(t, testreq.SSH)
	s, err := testserver.StartSSHD(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	backendtest.Run(t, func(t *testing.T) storage.Backend { return open(t, s, filepath.Join(t.TempDir(), "remote")) })
}

// TestSameLayout has a folder remote read what was put by SSH, and the other way
// round.
func TestSameLayout(t *testing.T) {
	s, dir := start(t), t.TempDir()
	far, near := open(t, s, dir), local.Open(dir, local.Options{})
	put := func(b storage.Backend, key string) {
		if err := b.Put(t.Context(), key, strings.NewReader(key), int64(len(key))); err != nil {
			t.Fatal(err)
		}
	}
	put(far, "runs/far")
	put(near, "runs/near")
	for _, b := range []storage.Backend{far, near} {
		for _, key := range []string{"runs/far", "runs/near"} {
			var out bytes.Buffer
			if err := b.Get(t.Context(), key, &out); err != nil || out.String() != key {
				t.Errorf("%T: %q, %v", b, out.String(), err)
			}
		}
	}
}

// TestLeftovers has what a dead upload left seen and removed, and nothing else.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	s, dir := start(t), t.TempDir()
	b := open(t, s, dir)
	if err := b.Put(t.Context(), "files/md5/d4/1d8cd98f00b204e9800998ecf8427e", strings.NewReader(""), 0); err != nil {
		t.Fatal(err)
	}
	const dead, fresh = "files/md5/d4/.ctrx-0123456789abcdef.tmp", "files/md5/d4/.ctrx-fedcba9876543210.tmp"
	old := time.Now().Add(-48 * time.Hour)
	for _, key := range []string{dead, fresh} {
		if err := os.WriteFile(filepath.Join(dir, key), []byte("part"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(dir, dead), old, old); err != nil {
		t.Fatal(err)
	}
	left, err := b.Leftovers(t.Context(), time.Now().Add(-time.Hour))
	if err != nil || len(left) != 1 || left[0].Key != dead || left[0].Size != 4 {
		t.Fatalf("%v, %v", left, err)
	}
	if err := b.Sweep(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, dead)); err == nil {
		t.Error("it is still there")
	}
	if _, err := os.Lstat(filepath.Join(dir, fresh)); err != nil {
		t.Errorf("what an upload may be writing to: %v", err)
	}
}

// TestReconnects cuts the connection before and in the middle of calls.
func TestReconnects(t *testing.T) {
	s := start(t)
	b := open(t, s, t.TempDir())
	// More than a client asks for ahead, so that a cut comes before the end.
	text := strings.Repeat("0123456789abcdef", 1<<20)
	put := func() error { return b.Put(t.Context(), "runs/x", strings.NewReader(text), int64(len(text))) }
	if err := put(); err != nil {
		t.Fatal(err)
	}
	s.Cut()
	if _, err := b.Stat(t.Context(), "runs/x"); err != nil && !storage.IsTransient(err) {
		t.Errorf("after a cut: %v", err)
	}
	if n, err := b.Stat(t.Context(), "runs/x"); err != nil || n != int64(len(text)) {
		t.Errorf("the next call: %d, %v", n, err)
	}
	cutter := writerFunc(func(p []byte) (int, error) { s.Cut(); return len(p), nil })
	if err := b.Get(t.Context(), "runs/x", cutter); !storage.IsTransient(err) || errs.KindOf(err) != errs.Unreachable {
		t.Errorf("cut while reading: %v", err)
	}
	var out bytes.Buffer
	if err := b.Get(t.Context(), "runs/x", &out); err != nil || out.String() != text {
		t.Errorf("the next call: %d bytes, %v", out.Len(), err)
	}
	err := b.Put(t.Context(), "runs/x", &cuttingReader{strings.NewReader(strings.Repeat("y", 1<<20)), s.Cut}, 1<<20)
	if !storage.IsTransient(err) {
		t.Errorf("cut while writing: %v", err)
	}
	out.Reset()
	if err := b.Get(t.Context(), "runs/x", &out); err != nil || out.String() != text {
		t.Errorf("an upload that broke changed the object: %d bytes, %v", out.Len(), err)
	}
}

// TestGoesOn cuts a fetch off in the middle: the next one asks for the rest only,
// and for all of it if another file lies there.
func TestGoesOn(t *testing.T) {
	s := start(t)
	dir := t.TempDir()
	b := open(t, s, dir)
	text := strings.Repeat("0123456789abcdef", 3<<20)
	sum := md5.Sum([]byte(text))
	d := storage.Digest(hex.EncodeToString(sum[:]))
	if err := b.Put(t.Context(), d.Key(), strings.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	for _, replaced := range []bool{false, true} {
		c := storage.OpenCache(t.TempDir(), storage.CacheOptions{})
		defer c.Close()
		tap := &tapped{Backend: b, cutAfter: int64(len(text)) / 2, cut: s.Cut}
		fetch := func() error {
			_, err := storage.Fetch(t.Context(), storage.TransferOptions{Cache: c, Remote: tap, Objects: []storage.Digest{d}, Jobs: 1, Retry: storage.Retry{Attempts: 1}})
			return err
		}
		if err := fetch(); err == nil {
			t.Fatal("a fetch over a connection that broke")
		}
		if replaced {
			before := time.Now().Add(-time.Hour)
			if err := os.Chtimes(filepath.Join(dir, filepath.FromSlash(d.Key())), before, before); err != nil {
				t.Fatal(err)
			}
		}
		tap.cutAfter, tap.got = 0, 0
		if err := fetch(); err != nil {
			t.Fatal(err)
		}
		if tap.from == 0 || replaced != (tap.got == int64(len(text))) || tap.got == 0 {
			t.Errorf("replaced %v: asked from %d, %d bytes of %d came again", replaced, tap.from, tap.got, len(text))
		}
		if has, err := c.Has(t.Context(), d); !has || err != nil {
			t.Errorf("the object is not whole: %v", err)
		}
	}
}

// tapped counts what comes, and can cut the connection after so many bytes.
type tapped struct {
	*Backend
	cutAfter  int64
	cut       func()
	got, from int64
}

func (b *tapped) Get(ctx context.Context, key string, w io.Writer) error {
	return b.Backend.Get(ctx, key, &tapWriter{b, w, w.(storage.Announced)})
}

func (b *tapped) GetFrom(ctx context.Context, key, etag string, offset int64, w io.Writer) error {
	b.from = offset
	return b.Backend.GetFrom(ctx, key, etag, offset, &tapWriter{b, w, w.(storage.Announced)})
}

type tapWriter struct {
	b *tapped
	w io.Writer
	storage.Announced
}

func (w *tapWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.b.got += int64(n)
	if w.b.cutAfter > 0 && w.b.got >= w.b.cutAfter {
		w.b.cut()
	}
	return n, err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type cuttingReader struct {
	*strings.Reader
	cut func()
}

func (r *cuttingReader) Read(p []byte) (int, error) {
	if r.Len() < 1<<19 {
		r.cut()
	}
	return r.Reader.Read(p)
}

func TestUnknownHost(t *testing.T) {
	s := start(t)
	known := filepath.Join(s.Home, ".ssh", "known_hosts")
	line, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	stat := func() error {
		_, err := open(t, s, t.TempDir()).Stat(t.Context(), "runs/x")
		return err
	}
	if err := os.Remove(known); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("ssh-keyscan -p %d 127.0.0.1 >> %s", s.Port, known)
	if err := stat(); errs.KindOf(err) != errs.Auth || !strings.Contains(err.Error(), "SHA256:") || !strings.Contains(errs.HintOf(err), want) {
		t.Errorf("unknown host: %v, hint %q", err, errs.HintOf(err))
	}
	// Another server's key under this one's name.
	other := start(t)
	key, err := os.ReadFile(filepath.Join(other.Home, ".ssh", "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := string(line[:bytes.IndexByte(line, ' ')]) + string(key[bytes.IndexByte(key, ' '):])
	if err := os.WriteFile(known, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := stat(); errs.KindOf(err) != errs.Auth || !strings.Contains(err.Error(), "another key") || !strings.Contains(errs.HintOf(err), "ssh-keygen -R") {
		t.Errorf("wrong key: %v, hint %q", err, errs.HintOf(err))
	}
	// As the user's own settings may say.
	if err := os.WriteFile(filepath.Join(s.Home, ".ssh", "config"), []byte("Host *\n  StrictHostKeyChecking accept-new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := stat(); errs.KindOf(err) != errs.Auth {
		t.Errorf("accept-new took a changed key: %v", err)
	}
	if err := os.Remove(known); err != nil {
		t.Fatal(err)
	}
	if err := stat(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("accept-new: %v", err)
	}
	if now, err := os.ReadFile(known); err != nil || string(now) != string(line) {
		t.Errorf("accept-new wrote %q, %v", now, err)
	}
}

func TestLogin(t *testing.T) {
	s := start(t)
	dir := t.TempDir()
	key := filepath.Join(s.Home, ".ssh", "id_ed25519")
	elsewhere := filepath.Join(t.TempDir(), "key")
	if err := os.Rename(key, elsewhere); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, s, dir).Stat(t.Context(), "runs/x")
	if errs.KindOf(err) != errs.Auth || errors.Is(err, fs.ErrNotExist) || !strings.Contains(errs.HintOf(err), "keyfile") {
		t.Errorf("without a key: %v, hint %q", err, errs.HintOf(err))
	}
	for name, config := range map[string][]string{
		"keyfile":  {"keyfile", elsewhere},
		"password": {"password", testserver.SSHPassword},
	} {
		if _, err := open(t, s, dir, config...).Stat(t.Context(), "runs/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, config := range map[string][]string{
		"no such keyfile": {"keyfile", filepath.Join(dir, "none")},
		"wrong password":  {"password", "guess"},
		"not asked":       {"ask_password", "true"},
		"kerberos":        {"gss_auth", "true"},
	} {
		_, err := open(t, s, dir, config...).Stat(t.Context(), "runs/x")
		if errs.KindOf(err) != errs.Auth || errs.HintOf(err) == "" || strings.Contains(err.Error(), "guess") {
			t.Errorf("%s: %v, hint %q", name, err, errs.HintOf(err))
		}
		if name == "kerberos" && !strings.Contains(err.Error(), "gss_auth is not supported") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := open(t, s, dir, "ask_password", "true")
	asked := 0
	b.pool.set.Ask = func(context.Context, string) (string, error) { asked++; return testserver.SSHPassword, nil }
	if _, err := b.Stat(t.Context(), "runs/x"); !errors.Is(err, fs.ErrNotExist) || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// TestUserConfig reaches a server by an alias, and through another one.
func TestUserConfig(t *testing.T) {
	s, jump := start(t), start(t)
	config := fmt.Sprintf(`Match exec "exit 0"
  Port 1
Host data
  HostName %[1]s
  Port %[2]d
  User somebody
Host gate
  HostName %[1]s
  Port %[3]d
  IdentityFile %[4]s
Host behind
  HostName %[1]s
  Port %[2]d
  ProxyJump gate
Host odd
  ProxyCommand nc %%h %%p
`, s.Host, s.Port, jump.Port, filepath.Join(jump.Home, ".ssh", "id_ed25519"))
	if err := os.WriteFile(filepath.Join(s.Home, ".ssh", "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	both, err := os.ReadFile(filepath.Join(jump.Home, ".ssh", "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(s.Home, ".ssh", "known_hosts"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(both); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"data", "behind"} {
		set, err := Parse("r", map[string]string{"url": "ssh://" + alias + filepath.ToSlash(t.TempDir())}, "", s.Env)
		if err != nil {
			t.Fatal(err)
		}
		b := Open(set)
		if err := b.Put(t.Context(), "runs/x", strings.NewReader("x"), 1); err != nil {
			t.Errorf("%s: %v", alias, err)
		}
		b.Close()
	}
	set, err := Parse("r", map[string]string{"url": "ssh://odd/x"}, "", s.Env)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(set).Stat(t.Context(), "runs/x")
	if errs.KindOf(err) != errs.ProjectFile || !strings.Contains(err.Error(), "ProxyCommand") {
		t.Errorf("ProxyCommand: %v", err)
	}
}

// TestUserOfTheProcess: without USER and LOGNAME it is the user that runs ctrx,
// and an error where the system does not name one.
func TestUserOfTheProcess(t *testing.T) {
	me, unnamed := user.Current()
	home := t.TempDir()
	env := func(key string) string {
		if key == "HOME" {
			return home
		}
		return ""
	}
	h, err := userConfig{}.resolve(Settings{Name: "r", Env: env}, "host", 0, "")
	switch {
	case unnamed != nil && errs.KindOf(err) != errs.ProjectFile:
		t.Errorf("user %q, %v", h.user, err)
	case unnamed == nil && (err != nil || h.user != me.Username):
		t.Errorf("user %q, %v", h.user, err)
	}
	_, err = userConfig{}.resolve(Settings{Name: "r", Env: env}, "ho st", 0, "me")
	if errs.KindOf(err) != errs.ProjectFile || !strings.Contains(errs.HintOf(err), "ctrx remote modify r url") {
		t.Errorf("a bad host: %v, hint %q", err, errs.HintOf(err))
	}
}

func TestParse(t *testing.T) {
	env := func(string) string { return "" }
	for raw, want := range map[string]Settings{
		"ssh://host":                     {Host: "host"},
		"ssh://host/srv/data":            {Host: "host", Path: "/srv/data"},
		"ssh://me@host:2222/srv":         {Host: "host", Port: 2222, User: "me", Path: "/srv"},
		"ssh://me:pa@ss@[::1]:22/a b%20": {Host: "::1", Port: 22, User: "me", Password: "pa@ss", Path: "/a b%20"},
		"ssh://[fe80::1]/x":              {Host: "fe80::1", Path: "/x"},
		"SSH://host/x@y:1":               {Host: "host", Path: "/x@y:1"},
	} {
		s, err := Parse("r", map[string]string{"url": raw}, "", env)
		if err != nil || s.Host != want.Host || s.Port != want.Port || s.User != want.User || s.Path != want.Path || s.Password != want.Password {
			t.Errorf("%s: %+v, %v", raw, s, err)
		}
		if strings.Contains(s.URL(), "pa@ss") {
			t.Errorf("a secret is in %s", s.URL())
		}
	}
	for _, config := range []map[string]string{
		{"url": "ssh://"}, {"url": "ssh:///path"}, {"url": "ssh://-oProxyCommand=x/path"}, {"url": "ssh://a b/x"}, {"url": "ssh://$(id)/x"},
		{"url": "ssh://host:0/x"}, {"url": "ssh://host:x/x"}, {"url": "ssh://h\nost/x"}, {"url": "ssh://host/x\ny"}, {"url": "ssh://`id`@host/x"},
		{"url": "ssh://h/x", "port": "70000"}, {"url": "ssh://h/x", "timeout": "soon"}, {"url": "ssh://h/x", "max_sessions": "2"},
		{"url": "ssh://h/x", "allow_agent": "maybe"}, {"url": "ssh://h/x", "version_aware": "true"},
	} {
		if _, err := Parse("r", config, "", env); errs.KindOf(err) != errs.ProjectFile || errs.HintOf(err) == "" {
			t.Errorf("%v: %v", config, err)
		}
	}
	s, err := Parse("r", map[string]string{"url": "ssh://me@h:1/x", "user": "you", "port": "2", "timeout": "7", "max_sessions": "5", "keyfile": "k"}, "/base", env)
	if err != nil || s.User != "you" || s.Port != 2 || s.Timeout != 7*time.Second || s.Sessions != 3 || filepath.ToSlash(s.KeyFile) != "/base/k" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestUnreachable(t *testing.T) {
	s := start(t)
	b := open(t, s, t.TempDir())
	s.Stop()
	_, err := b.Stat(t.Context(), "runs/x")
	if errs.KindOf(err) != errs.Unreachable || !strings.Contains(errs.HintOf(err), fmt.Sprintf("ssh -p %d someone@127.0.0.1", s.Port)) {
		t.Errorf("nothing there: %v, hint %q", err, errs.HintOf(err))
	}
	// A server that takes the connection and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	set, err := Parse("r", map[string]string{"url": "ssh://me@" + l.Addr().String() + "/x", "timeout": "1"}, "", s.Env)
	if err != nil {
		t.Fatal(err)
	}
	set.Timeout = 50 * time.Millisecond
	if _, err := Open(set).Stat(t.Context(), "runs/x"); errs.KindOf(err) != errs.Unreachable || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("silent server: %v", err)
	}
}

// TestHangingServer ends a call on a connection that has gone silent.
func TestHangingServer(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := open(t, s, t.TempDir())
	text := strings.Repeat("x", 1<<20)
	if err := b.Put(t.Context(), "runs/x", strings.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	hang := make(chan struct{})
	defer close(hang)
	err := b.Get(ctx, "runs/x", writerFunc(func(p []byte) (int, error) { cancel(reason); return len(p), nil }))
	if !errors.Is(err, reason) {
		t.Errorf("Get: %v", err)
	}
	if err := b.Get(t.Context(), "runs/x", io.Discard); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// FuzzParse has a repository's config say where a remote is: what is taken for a
// host or user can be nothing but a name, for ssh and for a shell.
func FuzzParse(f *testing.F) {
	for _, url := range []string{"ssh://me@host:22/srv/data", "ssh://me:pass@[::1]/x", "ssh://-oProxyCommand=id/x", "ssh://a@b@c:1:2//x", "ssh://", "SSH://h"} {
		f.Add(url, "someone", "22", "30")
	}
	f.Fuzz(func(t *testing.T, url, user, port, seconds string) {
		s, err := Parse("r", map[string]string{"url": url, "user": user, "port": port, "timeout": seconds}, "/base", func(string) string { return "" })
		if err != nil {
			return
		}
		for _, name := range []string{s.Host, s.User} {
			if strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \t\r\n\x00\"'`$;&|<>()\\") {
				t.Errorf("%q is taken for a name", name)
			}
		}
		if s.Host == "" || s.Port < 0 || s.Port > 65535 || s.Timeout <= 0 || strings.ContainsAny(s.Path, "\r\n\x00") {
			t.Errorf("%q: %+v", url, s)
		}
	})
}
