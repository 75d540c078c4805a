package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"ctrx/internal/event"
	"ctrx/internal/testserver"
	"ctrx/storage/remote"
)

// tripping is a web server that calls trip, once, after so many bytes of one
// answer, and then sends no more of it.
type tripping struct {
	folder http.Handler
	after  int

	mu     sync.Mutex
	trip   func()
	ranges []string
}

func (s *tripping) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	trip := s.trip
	s.mu.Unlock()
	if trip == nil || r.Method != http.MethodGet {
		s.folder.ServeHTTP(w, r)
		return
	}
	s.folder.ServeHTTP(&trippingWriter{w, s, r.Context(), 0}, r)
}

// set says what the next long answer does.
func (s *tripping) set(trip func()) (ranges []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ranges, s.ranges, s.trip = s.ranges, nil, trip
	return ranges
}

type trippingWriter struct {
	http.ResponseWriter
	s   *tripping
	ctx context.Context
	n   int
}

func (w *trippingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n += n
	if w.n < w.s.after || err != nil {
		return n, err
	}
	w.s.mu.Lock()
	trip := w.s.trip
	w.s.trip = nil
	w.s.mu.Unlock()
	if trip == nil {
		return n, nil
	}
	trip()
	<-w.ctx.Done() // the reader went
	return n, io.ErrClosedPipe
}

// TestResumedDownloads interrupts downloads of a large file; the same call again
// asks for the rest, and until then nothing has the file's name.
func TestResumedDownloads(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	work := t.TempDir()
	store := filepath.Join(work, "store")
	server := &tripping{folder: &testserver.WebFolder{Dir: store}, after: 18 << 20}
	web := httptest.NewServer(server)
	defer web.Close()
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(store, "big"), content)
	source := filepath.Join(work, "source")
	write(filepath.Join(source, ".dvc", "config"), []byte("[core]\n    remote = web\n['remote \"web\"']\n    url = "+web.URL+"\n"))
	write(filepath.Join(source, "big.dvc"), []byte("outs:\n- md5: b6b64c5717af7d9fa35958bb5ff62366\n  size: 20971520\n  hash: md5\n  path: big\n"))
	write(filepath.Join(store, "files/md5/b6/b64c5717af7d9fa35958bb5ff62366"), content)
	if out, err := exec.Command("git", "init", "-q", source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	project := filepath.Join(work, "project")
	if err := os.Mkdir(project, 0o777); err != nil {
		t.Fatal(err)
	}
	open := OpenOptions{Dir: project, Env: []string{"HOME=" + work}, Sink: event.Discard, Now: time.Now}
	if err := Init(t.Context(), InitOptions{Dir: project, NoSCM: true, Sink: event.Discard}); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(project, "got")
	for name, get := range map[string]func(ctx context.Context) error{
		"get-url": func(ctx context.Context) error {
			return GetURL(ctx, remote.Place{URL: web.URL + "/big"}, ImportOptions{Out: "got"}, remote.Access{}, project)
		},
		"import-url": func(ctx context.Context) error {
			p, err := Open(ctx, open)
			if err != nil {
				return err
			}
			_, err = p.ImportURL(ctx, ImportOptions{URL: web.URL + "/big", Out: "got", Force: true})
			return errors.Join(err, p.Close())
		},
		"get": func(ctx context.Context) error {
			f, err := OpenForeign(ctx, ForeignOptions{OpenOptions: open, URL: source, CloneDir: filepath.Join(work, "clones")})
			if err != nil {
				return err
			}
			_, _, err = f.Get(ctx, GetOptions{Path: "big", Out: "got"})
			return errors.Join(err, f.Close())
		},
	} {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		server.set(stop)
		if err := get(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s, interrupted: %v", name, err)
		}
		if _, err := os.Lstat(to); err == nil {
			t.Errorf("%s: a part of the file has its name", name)
		}
		server.set(nil)
		if err := get(t.Context()); err != nil {
			t.Fatalf("%s, again: %v", name, err)
		}
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		asked := server.set(nil)
		if !slices.ContainsFunc(asked, func(r string) bool { return r != "" }) {
			t.Errorf("%s: it did not go on where it was: %q", name, asked)
		}
		if err := os.Remove(to); err != nil {
			t.Fatal(err)
		}
		left, err := filepath.Glob(filepath.Join(project, ".ctrx*"))
		if inTmp, _ := filepath.Glob(filepath.Join(project, ".dvc/tmp/ctrx/.ctrx*")); err != nil || len(left)+len(inTmp) > 0 {
			t.Errorf("%s: left %v %v, %v", name, left, inTmp, err)
		}
	}
}
