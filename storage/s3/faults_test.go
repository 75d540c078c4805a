package s3

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/storage"
	"ctrx/storage/backendtest"
)

// badDay is a server of which every third request about an object goes wrong,
// each time in another way, the first time that it is asked.
type badDay struct {
	mu    sync.Mutex
	n     int
	asked map[string]bool
	on    bool
	kinds map[string]int // what went wrong
}

func (d *badDay) next(r *http.Request) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	what := r.Method + r.URL.String() + r.Header.Get("Range")
	if !d.on || !strings.Contains(r.URL.Path, "/some/") || d.asked[what] {
		return ""
	}
	d.asked[what] = true
	d.n++
	if d.n%3 != 0 {
		return ""
	}
	kinds := []string{"slow down", "drop", "cut", "wrong"}
	if r.Method != http.MethodGet {
		kinds = kinds[:2]
	}
	kind := kinds[d.n/3%len(kinds)]
	d.kinds[kind]++
	return kind
}

func (d *badDay) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch d.next(r) {
		case "slow down":
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
		case "drop":
			panic(http.ErrAbortHandler)
		case "cut":
			h.ServeHTTP(&cutter{ResponseWriter: w, left: 3}, r)
			panic(http.ErrAbortHandler)
		case "wrong":
			h.ServeHTTP(&spoiler{ResponseWriter: w}, r)
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// spoiler turns a bit of the first byte.
type spoiler struct {
	http.ResponseWriter
	done bool
}

func (s *spoiler) Write(p []byte) (int, error) {
	if !s.done && len(p) > 0 {
		s.done = true
		p = append([]byte{p[0] ^ 1}, p[1:]...)
	}
	return s.ResponseWriter.Write(p)
}

// TestBadDay pushes and fetches over a server on a bad day. Whatever a call
// says, both sides are sound after it, and a few calls finish the work.
func TestBadDay(t *testing.T) {
	t.Parallel()
	d := &badDay{asked: map[string]bool{}, kinds: map[string]int{}}
	url, _ := fakeServer(t, false, d.wrap)
	b := open(t, remoteConfig(url))
	makeBucket(t, b)
	b.Journal(filepath.Join(t.TempDir(), "uploads"))
	here, dir, file := backendtest.Stored(t, 30)
	bigText := strings.Repeat("0123456789abcdef", 2*partSize/16) + "more"
	big := storage.Digest(md5Hex(bigText))
	if err := here.Put(t.Context(), big, strings.NewReader(bigText)); err != nil {
		t.Fatal(err)
	}
	o := storage.TransferOptions{Cache: here, Remote: b, Objects: []storage.Digest{dir, file, big}, Jobs: 8, Retry: storage.Retry{Attempts: 2, First: time.Millisecond}}
	d.on = true
	finish := func(verb string, move func() (storage.Transfer, error)) {
		t.Helper()
		for n := 1; ; n++ {
			_, err := move()
			checked, e := storage.CheckRemote(t.Context(), o, false)
			if verb == "push" && (e != nil || len(checked.Findings) > 0) && err == nil {
				t.Fatalf("%s %d: the remote has %+v, %v", verb, n, checked.Findings, e)
			}
			local, e := o.Cache.Check(t.Context(), storage.CheckOptions{})
			if e != nil || len(local.Findings) > 0 {
				t.Fatalf("%s %d: the cache has %+v, %v", verb, n, local.Findings, e)
			}
			if err == nil {
				return
			}
			if failed := storage.TransferErrors(err); len(failed) != 1 || n == 5 {
				t.Fatalf("%s %d: %v", verb, n, err)
			}
		}
	}
	finish("push", func() (storage.Transfer, error) { return storage.Push(t.Context(), o) })
	o.Cache = backendtest.NewCache(t)
	finish("fetch", func() (storage.Transfer, error) { return storage.Fetch(t.Context(), o) })
	for _, want := range o.Objects {
		if ok, err := o.Cache.HasTree(t.Context(), want); !ok || err != nil {
			t.Errorf("%s did not arrive: %v", want, err)
		}
	}
	for _, kind := range []string{"slow down", "drop", "cut", "wrong"} {
		if d.kinds[kind] == 0 {
			t.Errorf("nothing went wrong by %q: %v", kind, d.kinds)
		}
	}
}

// TestServerGone has a server that goes away during a push: the call ends soon,
// says what to do, and a later one finishes.
func TestServerGone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	puts, gone := 0, false
	url, _ := fakeServer(t, false, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/some/") {
				puts++
			}
			down := gone && puts > 5
			mu.Unlock()
			if down {
				w.WriteHeader(http.StatusForbidden)
				io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>the keys have expired</Message></Error>")
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	b := open(t, remoteConfig(url))
	makeBucket(t, b)
	here, dir, _ := backendtest.Stored(t, 40)
	o := storage.TransferOptions{Cache: here, Remote: b, Objects: []storage.Digest{dir}, Jobs: 4, Name: "vk", Paths: map[storage.Digest]string{dir: "data/raw"}}
	mu.Lock()
	gone = true
	mu.Unlock()
	_, err := storage.Push(t.Context(), o)
	failed, ok := errors.AsType[*storage.TransferError](err)
	if !ok || errs.KindOf(err) != errs.Auth || failed.Remote != "vk" || len(failed.Failed) > 8 || !strings.HasPrefix(failed.Failed[0].Path, "data/raw/") ||
		!strings.Contains(errs.HintOf(err), "AWS_SECRET_ACCESS_KEY") {
		t.Fatalf("push: %v, hint %q", err, errs.HintOf(err))
	}
	if _, err := b.Stat(t.Context(), dir.Key()); err == nil {
		t.Error("the folder is there without its files")
	}
	mu.Lock()
	gone = false
	mu.Unlock()
	got, err := storage.Push(t.Context(), o)
	if err != nil || got.Dirs != 1 || got.Files > 36 {
		t.Errorf("the next push: %+v, %v", got, err)
	}
}

func md5Hex(text string) string { return fmt.Sprintf("%x", md5.Sum([]byte(text))) }
