package s3

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"ctrx/storage"
)

// eightParts is content that goes up in eight parts of different content.
func eightParts() (text string, d storage.Digest) {
	var b strings.Builder
	for i := range 8 {
		b.WriteString(strings.Repeat(fmt.Sprintf("part %d of an object\n", i), partSize)[:partSize])
	}
	sum := md5.Sum([]byte(b.String()))
	return b.String(), storage.Digest(hex.EncodeToString(sum[:]))
}

// seen collects the requests of a server that tests look at.
type seen struct {
	mu    sync.Mutex
	parts []string // part numbers that were stored
	gets  []string // ranges that were asked for
}

func (s *seen) note(list *[]string, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, what)
}

func (s *seen) take(list *[]string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := *list
	*list = nil
	slices.Sort(out)
	return out
}

// partNumber is that of a request that sends a part, or "".
func partNumber(r *http.Request) string {
	if r.Method != http.MethodPut {
		return ""
	}
	return r.URL.Query().Get("partNumber")
}

// TestKilledPush kills a process that uploads 64 MiB after it has sent some
// parts. The next push sends only the others.
func TestKilledPush(t *testing.T) {
	if dir := os.Getenv("CTRX_TEST_PUSH"); dir != "" {
		pushFrom(t, dir, os.Getenv("CTRX_TEST_URL"))
		return
	}
	t.Parallel()
	if testing.Short() {
		t.Skip("64 MiB twice")
	}
	var log seen
	enough := make(chan struct{})
	var once sync.Once
	killed, let := false, 0 // how many parts were let through
	url, _ := fakeServer(t, false, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := partNumber(r)
			if n == "" {
				h.ServeHTTP(w, r)
				return
			}
			log.mu.Lock()
			let++
			hold := !killed && let > 3
			log.mu.Unlock()
			if hold {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done() // its process is about to end
				return
			}
			h.ServeHTTP(w, r)
			log.note(&log.parts, n)
			log.mu.Lock()
			defer log.mu.Unlock()
			if len(log.parts) >= 3 {
				once.Do(func() { close(enough) })
			}
		})
	})
	b := open(t, remoteConfig(url))
	makeBucket(t, b)
	dir := t.TempDir()
	text, d := eightParts()
	storeIn(t, filepath.Join(dir, "cache"), d, text)

	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledPush$")
	cmd.Env = append(os.Environ(), "CTRX_TEST_PUSH="+dir, "CTRX_TEST_URL="+url)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-enough:
	case <-time.After(10 * time.Minute):
		t.Error("the process sent no parts")
	}
	cmd.Process.Kill()
	_ = cmd.Wait()
	log.mu.Lock()
	killed = true
	log.mu.Unlock()
	first := log.take(&log.parts)
	if _, err := b.Stat(t.Context(), d.Key()); err == nil {
		t.Fatal("half an object is visible")
	}
	pushFrom(t, dir, url)
	second := log.take(&log.parts)
	all := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(first), second...))))
	again := slices.ContainsFunc(second, func(n string) bool { return slices.Contains(first[:min(3, len(first))], n) })
	if len(first) < 3 || strings.Join(all, "") != "12345678" || again {
		t.Errorf("the killed process sent the parts %v, the next one %v", first, second)
	}
	var out strings.Builder
	if err := b.Get(t.Context(), d.Key(), &out); err != nil || out.String() != text {
		t.Errorf("the remote has %d bytes, %v", out.Len(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "uploads", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func storeIn(t *testing.T, cacheDir string, d storage.Digest, text string) {
	t.Helper()
	c := storage.OpenCache(cacheDir, storage.CacheOptions{})
	defer c.Close()
	if err := c.Put(t.Context(), d, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

// pushFrom pushes the object of eightParts.
func pushFrom(t *testing.T, dir, url string) {
	t.Helper()
	_, d := eightParts()
	c := storage.OpenCache(filepath.Join(dir, "cache"), storage.CacheOptions{})
	defer c.Close()
	b := open(t, remoteConfig(url))
	b.Journal(filepath.Join(dir, "uploads"))
	if got, err := storage.Push(t.Context(), storage.TransferOptions{Cache: c, Remote: b, Objects: []storage.Digest{d}}); err != nil || got.Files != 1 {
		t.Fatalf("push: %+v, %v", got, err)
	}
}

// TestForgottenUpload has a journal whose upload the store does not know any
// more, one of another size, one that is torn, and an old one.
func TestForgottenUpload(t *testing.T) {
	t.Parallel()
	var log seen
	url, _ := fakeServer(t, false, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n := partNumber(r); n != "" {
				log.note(&log.parts, n)
			}
			h.ServeHTTP(w, r)
		})
	})
	b := open(t, remoteConfig(url))
	makeBucket(t, b)
	dir := t.TempDir()
	text := strings.Repeat("0123456789abcdef", 2*partSize/16) + "end"
	size := int64(len(text))
	interrupted := func() string {
		t.Helper()
		b := open(t, remoteConfig(url))
		b.Journal(dir)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		err := b.Put(ctx, "runs/x", &stopAfter{Reader: strings.NewReader(text), left: partSize + 1, stop: stop}, size)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted: %v", err)
		}
		left, _ := filepath.Glob(filepath.Join(dir, "*"+uploadSuffix))
		if len(left) != 1 {
			t.Fatalf("journal %v", left)
		}
		log.take(&log.parts)
		return left[0]
	}
	again := func(what string, want string) {
		t.Helper()
		b := open(t, remoteConfig(url))
		b.Journal(dir)
		if err := b.Put(t.Context(), "runs/x", strings.NewReader(text), size); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := strings.Join(log.take(&log.parts), ""); got != want {
			t.Errorf("%s: sent the parts %s, want %s", what, got, want)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
			t.Errorf("%s: left behind %v", what, left)
		}
	}
	name := interrupted()
	head, err := lockUploadLog(name)
	if err != nil || head == nil {
		t.Fatal(err)
	}
	id := head.head.ID
	head.close()
	if err := b.abortUpload(t.Context(), "some/prefix/runs/x", id); err != nil {
		t.Fatal(err)
	}
	again("aborted by somebody else", "123")

	name = interrupted()
	if err := os.WriteFile(name, []byte(`{"endpoint":"`), 0o666); err != nil {
		t.Fatal(err)
	}
	again("torn", "123")

	name = interrupted()
	held, err := lockUploadLog(name)
	if err != nil || held == nil {
		t.Fatal(err)
	}
	other := open(t, remoteConfig(url))
	other.Journal(dir)
	if err := other.Put(t.Context(), "runs/x", strings.NewReader(text), size); err != nil {
		t.Errorf("while another process has the journal: %v", err)
	}
	held.close()
	log.take(&log.parts)

	sweeper := open(t, remoteConfig(url))
	sweeper.Journal(dir)
	hour := time.Now().Add(-time.Hour)
	if left, err := sweeper.Leftovers(t.Context(), hour); err != nil || len(left) > 0 {
		t.Errorf("left behind a moment ago: %v, %v", left, err)
	}
	day := time.Now().Add(-2 * abandonedAfter)
	if err := os.Chtimes(name, day, day); err != nil {
		t.Fatal(err)
	}
	left, err := sweeper.Leftovers(t.Context(), hour)
	if err != nil || len(left) != 1 || left[0].Key != "some/prefix/runs/x" || left[0].Size != size {
		t.Fatalf("left behind a day ago: %v, %v", left, err)
	}
	elsewhere := remoteConfig(url)
	elsewhere["url"] = "s3://another/bucket"
	foreign := open(t, elsewhere)
	foreign.Journal(dir)
	if of, err := foreign.Leftovers(t.Context(), hour); err != nil || len(of) > 0 {
		t.Errorf("of another bucket: %v, %v", of, err)
	}
	if err := sweeper.Sweep(t.Context(), left[0].Key); err != nil {
		t.Fatal(err)
	}
	again("swept", "123")

	name = interrupted()
	old := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	again("old: it was taken back", "123")
	out, err := b.client.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: b.bucket()})
	if err != nil || len(out.Uploads) > 1 { // the torn one is not known by name any more
		t.Errorf("%d unfinished uploads, %v", len(out.Uploads), err)
	}
}

// stopAfter calls stop when so many bytes were read.
type stopAfter struct {
	*strings.Reader
	left int
	stop func()
}

func (s *stopAfter) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if s.left -= n; s.left <= 0 {
		s.stop()
	}
	return n, err
}
