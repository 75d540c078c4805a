package storage_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ctrx/storage"
	"ctrx/storage/local"
)

// deadly is a Backend that ends its process by force at the given step: a call,
// its end, or a piece of content on its way.
type deadly struct {
	storage.Backend
	at    int64
	steps atomic.Int64
}

func (d *deadly) step() {
	if d.steps.Add(1) == d.at {
		p, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = p.Kill()
		}
		if err != nil {
			panic(err)
		}
		select {} // until the signal arrives
	}
}

func (d *deadly) Stat(ctx context.Context, key string) (int64, error) {
	d.step()
	return d.Backend.Stat(ctx, key)
}

func (d *deadly) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	d.step()
	return d.Backend.List(ctx, prefix)
}

func (d *deadly) Get(ctx context.Context, key string, w io.Writer) error {
	d.step()
	defer d.step()
	return d.Backend.Get(ctx, key, &dyingWriter{w: w, d: d})
}

func (d *deadly) Put(ctx context.Context, key string, r io.ReadSeeker, size int64) error {
	d.step()
	defer d.step()
	return d.Backend.Put(ctx, key, &dyingReader{ReadSeeker: r, d: d}, size)
}

func (d *deadly) Flush(ctx context.Context) error {
	d.step()
	defer d.step()
	return d.Backend.(storage.Flusher).Flush(ctx)
}

type dyingReader struct {
	io.ReadSeeker
	d *deadly
	n int64
}

// every is how much content makes a step.
const every = 4 << 20

func (r *dyingReader) Read(p []byte) (int, error) {
	if r.n%every == 0 {
		r.d.step()
	}
	n, err := r.ReadSeeker.Read(p)
	r.n += int64(n)
	return n, err
}

type dyingWriter struct {
	w io.Writer
	d *deadly
	n int64
}

func (w *dyingWriter) Write(p []byte) (int, error) {
	if w.n%every == 0 {
		w.d.step()
	}
	n, err := w.w.Write(p)
	w.n += int64(n)
	return n, err
}

// killedDigests are what TestKilledTransfers moves: a folder with small files
// and one that is flushed by itself, and a file of its own.
func killedContent(t *testing.T, c *storage.Cache, dir string) []storage.Digest {
	t.Helper()
	content := map[string]string{"d/big": strings.Repeat("0123456789abcdef", 9<<16), "d/a": "a", "d/sub/b": "b", "d/c": "", "f": "file"}
	for name, text := range content {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var ds []storage.Digest
	for _, name := range []string{"d", "f"} {
		tree, err := c.Hasher().Hash(t.Context(), filepath.Join(dir, name), nil)
		if err == nil {
			err = c.Commit(t.Context(), filepath.Join(dir, name), tree, storage.CommitOptions{NoRelink: true})
		}
		if err != nil {
			t.Fatal(err)
		}
		ds = append(ds, tree.Digest)
	}
	return ds
}

// TestKilledTransfers kills a process at the steps of a push and of a fetch.
// After each the cache and the remote are sound, and the next call finishes.
func TestKilledTransfers(t *testing.T) {
	if spec := os.Getenv("CTRX_TEST_TRANSFER"); spec != "" {
		killedChild(t, spec)
		return
	}
	t.Parallel()
	for _, verb := range []string{"push", "fetch"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			full := filepath.Join(t.TempDir(), "full")
			c := storage.OpenCache(full, storage.CacheOptions{})
			defer c.Close()
			ds := killedContent(t, c, t.TempDir())
			stride := int64(1) // CTRX_TEST_EVERY_STEP: the test takes a process for each
			if os.Getenv("CTRX_TEST_EVERY_STEP") == "" {
				stride = 2
			}
			survived := false
			for at := int64(1); !survived && at < 200; at += stride {
				dir := t.TempDir()
				cacheDir, remoteDir := full, filepath.Join(dir, "remote")
				if verb == "fetch" {
					cacheDir, remoteDir = filepath.Join(dir, "cache"), full
				}
				survived = runKilled(t, verb, at, cacheDir, remoteDir, ds)
				judge(t, fmt.Sprintf("%s killed at step %d", verb, at), cacheDir, remoteDir)
				if !survived {
					transferOnce(t, verb, 0, cacheDir, remoteDir, ds)
				}
				judgeWhole(t, fmt.Sprintf("%s after one that was killed at step %d", verb, at), cacheDir, remoteDir, ds)
			}
			if !survived {
				t.Error("there are more steps than expected")
			}
		})
	}
}

// runKilled runs a transfer in a process of its own that dies at a step. It
// tells whether the process came to its end.
func runKilled(t *testing.T, verb string, at int64, cacheDir, remoteDir string, ds []storage.Digest) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledTransfers$")
	cmd.Env = append(os.Environ(), "CTRX_TEST_TRANSFER="+strings.Join([]string{verb, strconv.FormatInt(at, 10), cacheDir, remoteDir, string(ds[0]), string(ds[1])}, "\n"))
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil || err != nil && strings.Contains(string(out), "FAIL") {
		t.Fatalf("%s: %v\n%s", verb, err, out)
	}
	return err == nil
}

func killedChild(t *testing.T, spec string) {
	f := strings.Split(spec, "\n")
	at, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	transferOnce(t, f[0], at, f[2], f[3], []storage.Digest{storage.Digest(f[4]), storage.Digest(f[5])})
}

func transferOnce(t *testing.T, verb string, at int64, cacheDir, remoteDir string, ds []storage.Digest) {
	t.Helper()
	c := storage.OpenCache(cacheDir, storage.CacheOptions{})
	defer c.Close()
	b := local.Open(remoteDir, local.Options{})
	defer b.Close()
	o := storage.TransferOptions{Cache: c, Remote: &deadly{Backend: b, at: at}, Objects: ds, Jobs: 2}
	move := storage.Push
	if verb == "fetch" {
		move = storage.Fetch
	}
	if _, err := move(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// judge hashes everything that is visible on both sides. What is whole but not
// yet marked so, and unfinished files, are what a dead process may leave.
func judge(t *testing.T, what, cacheDir, remoteDir string) {
	t.Helper()
	for _, dir := range []string{cacheDir, remoteDir} {
		c := storage.OpenCache(dir, storage.CacheOptions{})
		checked, err := c.Check(t.Context(), storage.CheckOptions{Before: time.Now().Add(-time.Hour)})
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for _, f := range checked.Findings {
			if f.What != storage.WrongMode {
				t.Errorf("%s: %s %s: %s", what, f.Path, f.What, f.Detail)
			}
		}
		c.Close()
	}
}

func judgeWhole(t *testing.T, what, cacheDir, remoteDir string, ds []storage.Digest) {
	t.Helper()
	judge(t, what, cacheDir, remoteDir)
	for _, dir := range []string{cacheDir, remoteDir} {
		c := storage.OpenCache(dir, storage.CacheOptions{})
		for _, d := range ds {
			if ok, err := c.HasTree(t.Context(), d); !ok || err != nil {
				t.Errorf("%s: %s lacks %s: %v", what, dir, d, err)
			}
		}
		c.Close()
	}
}
