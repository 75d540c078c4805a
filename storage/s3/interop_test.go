package s3

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/testreq"
	"ctrx/storage"
	"ctrx/storage/backendtest"
)

// TestDVCSharesBucket lets the real dvc pull what Push stored on a real server,
// and Fetch bring what dvc pushed.
func TestDVCSharesBucket(t *testing.T) {
	t.Parallel()
	testreq.Need(t, testreq.DVC, testreq.S3)
	url := versitygw(t)
	b := open(t, remoteConfig(url))
	makeBucket(t, b)
	here, dir, file := backendtest.Stored(t, 3)
	push := storage.TransferOptions{Cache: here, Remote: b, Objects: []storage.Digest{dir, file}}
	if _, err := storage.Push(t.Context(), push); err != nil {
		t.Fatal(err)
	}
	repo := t.TempDir()
	for name, text := range map[string]string{
		".dvc/config": "[core]\n    no_scm = True\n    remote = r\n['remote \"r\"']\n    url = s3://bucket/some/prefix\n    endpointurl = " + url +
			"\n    region = ru-msk\n    access_key_id = " + testKey + "\n    secret_access_key = " + testSecret + "\n",
		"d.dvc": fmt.Sprintf("outs:\n- md5: %s\n  hash: md5\n  path: d\n", dir),
		"f.dvc": fmt.Sprintf("outs:\n- md5: %s\n  hash: md5\n  path: f\n", file),
		"mine":  strings.Repeat("made here\n", 2<<20), // for dvc, an upload in parts
	} {
		path := filepath.Join(repo, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	dvc := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "dvc", args...)
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "DVC_NO_ANALYTICS=1", "DVC_SITE_CACHE_DIR="+filepath.Join(repo, ".dvc", "site"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("dvc %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	dvc("pull", "-q")
	h := storage.NewHasher(nil, 0, nil)
	for name, want := range map[string]storage.Digest{"d": dir, "f": file} {
		got, err := h.Hash(t.Context(), filepath.Join(repo, name), nil)
		if err != nil || got.Digest != want {
			t.Errorf("dvc pulled %s as %s, %v", name, got.Digest, err)
		}
	}
	dvc("add", "-q", "mine")
	dvc("push", "-q", "mine")
	mine, err := h.Hash(t.Context(), filepath.Join(repo, "mine"), nil)
	if err != nil {
		t.Fatal(err)
	}
	there := backendtest.NewCache(t)
	got, err := storage.Fetch(t.Context(), storage.TransferOptions{Cache: there, Remote: b, Objects: []storage.Digest{mine.Digest}})
	if ok, _ := there.Has(t.Context(), mine.Digest); err != nil || got.Files != 1 || !ok {
		t.Errorf("fetch of what dvc pushed: %+v, %v", got, err)
	}
}
