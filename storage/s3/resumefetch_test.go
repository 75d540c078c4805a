package s3

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"ctrx/storage"
	"ctrx/storage/backendtest"
)

// TestResumedFetch breaks the connection for good in the middle of an object.
// The next fetch asks for the rest only, unless the object was replaced.
func TestResumedFetch(t *testing.T) {
	t.Parallel()
	var log seen
	broken := true
	url, _ := fakeServer(t, false, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if at := r.Header.Get("Range"); r.Method == http.MethodGet && at != "" {
				log.mu.Lock()
				fail := broken && !strings.HasPrefix(at, "bytes=0-") && !strings.HasPrefix(at, fmt.Sprintf("bytes=%d-", partSize))
				log.mu.Unlock()
				log.note(&log.gets, at)
				if fail {
					http.Error(w, "<Error><Code>SlowDown</Code></Error>", http.StatusServiceUnavailable)
					return
				}
			}
			h.ServeHTTP(w, r)
		})
	})
	b := open(t, remoteConfig(url))
	b.client = awss3.New(b.client.Options(), func(o *awss3.Options) { o.Retryer = aws.NopRetryer{} })
	makeBucket(t, b)
	text := strings.Repeat("0123456789abcdef", 3*partSize/16) + "end"
	sum := md5.Sum([]byte(text))
	d := storage.Digest(hex.EncodeToString(sum[:]))
	put := func() {
		t.Helper()
		if err := b.Put(t.Context(), d.Key(), strings.NewReader(text), int64(len(text))); err != nil {
			t.Fatal(err)
		}
	}
	put()
	for _, replaced := range []bool{false, true} {
		cache := backendtest.NewCache(t)
		o := storage.TransferOptions{Cache: cache, Remote: b, Objects: []storage.Digest{d}, Retry: storage.Retry{Attempts: 1}}
		broken = true
		if _, err := storage.Fetch(t.Context(), o); err == nil {
			t.Fatal("fetched from a broken server")
		}
		partial := filepath.Join(cache.Dir(), "files", "md5", ".ctrx-partial", string(d))
		info, err := os.Stat(partial)
		if err != nil || info.Size() != 2*partSize {
			t.Fatalf("kept: %v, %v", info, err)
		}
		if ok, _ := cache.Has(t.Context(), d); ok {
			t.Fatal("half an object is in the cache")
		}
		want := fmt.Sprintf("bytes=%d-", 2*partSize)
		if replaced {
			// The same content in other parts has another ETag.
			if err := os.WriteFile(partial+".etag", []byte("another-one"), 0o666); err != nil {
				t.Fatal(err)
			}
			want = "bytes=0-"
		}
		log.take(&log.gets)
		broken = false
		got, err := storage.Fetch(t.Context(), o)
		if err != nil || got.Files != 1 || got.Bytes != int64(len(text)) {
			t.Fatalf("fetch: %+v, %v", got, err)
		}
		asked := log.take(&log.gets)
		if first := asked[0]; !strings.HasPrefix(first, want) {
			t.Errorf("replaced %v: asked for %v", replaced, asked)
		}
		if err := os.RemoveAll(partial); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Dir(partial)); err == nil {
			t.Error("the folder of partial objects is left")
		}
	}
	// All of it came before the process was killed: there is nothing to ask for.
	broken = false
	for _, c := range []struct {
		content string
		gets    int
	}{{text, 0}, {text + "x", 5}} { // one that asks for what comes after the end
		cache := backendtest.NewCache(t)
		dir := filepath.Join(cache.Dir(), "files", "md5", ".ctrx-partial")
		err := errors.Join(os.MkdirAll(dir, 0o777), os.WriteFile(filepath.Join(dir, string(d)), []byte(c.content), 0o666),
			os.WriteFile(filepath.Join(dir, string(d)+".etag"), []byte("some-etag"), 0o666))
		if err != nil {
			t.Fatal(err)
		}
		log.take(&log.gets)
		got, err := storage.Fetch(t.Context(), storage.TransferOptions{Cache: cache, Remote: b, Objects: []storage.Digest{d}, Retry: storage.Retry{Attempts: 1}})
		if err != nil || got.Files != 1 || got.Bytes != int64(len(text)) {
			t.Errorf("%d bytes were there: %+v, %v", len(c.content), got, err)
		}
		if asked := log.take(&log.gets); len(asked) != c.gets {
			t.Errorf("%d bytes were there: asked for %v", len(c.content), asked)
		}
	}
	// What came is damaged: it is found out, and got anew.
	cache := backendtest.NewCache(t)
	o := storage.TransferOptions{Cache: cache, Remote: b, Objects: []storage.Digest{d}, Retry: storage.Retry{Attempts: 1}}
	broken = true
	storage.Fetch(t.Context(), o)
	partial := filepath.Join(cache.Dir(), "files", "md5", ".ctrx-partial", string(d))
	f, err := os.OpenFile(partial, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("damage"), 100)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	broken = false
	if got, err := storage.Fetch(t.Context(), o); err != nil || got.Files != 1 {
		t.Errorf("fetch after damage: %+v, %v", got, err)
	}
}

// TestScatteredFetch holds back one range while those after it arrive, and takes
// away what is on the disk then, as a killed process leaves it; then the range is
// refused. Both times the next fetch goes on behind what is there in order, and past
// a range that breaks off.
func TestScatteredFetch(t *testing.T) {
	t.Parallel()
	const held = 4 // the range that is held back
	const cut = 6  // one that breaks off, once
	var log seen
	var broken, cutDone atomic.Bool
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	url, _ := fakeServer(t, false, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			at := r.Header.Get("Range")
			if r.Method != http.MethodGet || at == "" {
				h.ServeHTTP(w, r)
				return
			}
			log.note(&log.gets, at)
			if broken.Load() && strings.HasPrefix(at, fmt.Sprintf("bytes=%d-", held*partSize)) {
				<-hold
				http.Error(w, "<Error><Code>SlowDown</Code></Error>", http.StatusServiceUnavailable)
				return
			}
			if strings.HasPrefix(at, fmt.Sprintf("bytes=%d-", cut*partSize)) && !broken.Load() && cutDone.CompareAndSwap(false, true) {
				w = &breakingWriter{w, 1 << 20}
			}
			h.ServeHTTP(w, r)
		})
	})
	t.Cleanup(release)
	b := open(t, remoteConfig(url))
	b.client = awss3.New(b.client.Options(), func(o *awss3.Options) { o.Retryer = aws.NopRetryer{} })
	makeBucket(t, b)
	text, d := eightParts()
	if err := b.Put(t.Context(), d.Key(), strings.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	options := func(cache *storage.Cache) storage.TransferOptions {
		return storage.TransferOptions{Cache: cache, Remote: b, Objects: []storage.Digest{d}, Retry: storage.Retry{Attempts: 1}}
	}
	partial := func(cache *storage.Cache) string {
		return filepath.Join(cache.Dir(), "files", "md5", ".ctrx-partial", string(d))
	}
	interrupted, killed := backendtest.NewCache(t), backendtest.NewCache(t)

	broken.Store(true)
	failed := make(chan error, 1)
	go func() {
		_, err := storage.Fetch(t.Context(), options(interrupted))
		failed <- err
	}()
	for n := 0; ; n++ { // until the end of the object is there, and what comes before the range is noted
		info, err := os.Stat(partial(interrupted))
		noted, _ := os.ReadFile(partial(interrupted) + ".etag")
		if err == nil && info.Size() == int64(len(text)) && strings.HasSuffix(string(noted), fmt.Sprintf("\n%d", (held-1)*partSize)) {
			break
		}
		if n == 6000 {
			t.Fatalf("after a minute: %v, %v, %q", info, err, noted)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := os.CopyFS(filepath.Dir(partial(killed)), os.DirFS(filepath.Dir(partial(interrupted)))); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-failed; err == nil {
		t.Fatal("fetched from a broken server")
	}
	if info, err := os.Stat(partial(interrupted)); err != nil || info.Size() != held*partSize {
		t.Fatalf("kept: %v, %v", info, err)
	}

	broken.Store(false)
	for name, cache := range map[string]*storage.Cache{"interrupted": interrupted, "killed": killed} {
		log.take(&log.gets)
		if got, err := storage.Fetch(t.Context(), options(cache)); err != nil || got.Files != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if there, err := os.ReadFile(cache.Path(d)); err != nil || string(there) != text { // what was hashed is not read from there
			t.Errorf("%s: %d bytes of other content, %v", name, len(there), err)
		}
		for _, at := range log.take(&log.gets) {
			var first int64
			if _, err := fmt.Sscanf(at, "bytes=%d-", &first); err != nil || first < (held-1)*partSize || name == "interrupted" && first < held*partSize {
				t.Errorf("%s: asked for %s again", name, at)
			}
		}
	}
}
