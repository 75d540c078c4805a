package remote

import (
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/storage/local"
	"ctrx/storage/s3"
)

func none(string) string { return "" }

func access() Access { return Access{Env: none} }

func TestOpenLocal(t *testing.T) {
	base := t.TempDir()
	for _, raw := range []string{filepath.Join(base, "r"), "r", "./x/../r", "file://" + filepath.ToSlash(base) + "/r"} {
		b, err := Open(t.Context(), "r", map[string]string{"url": raw}, base, access())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Put(t.Context(), "runs/x", strings.NewReader(raw), int64(len(raw))); err != nil {
			t.Fatal(err)
		}
		other := local.Open(filepath.Join(base, "r"), local.Options{})
		if n, err := other.Stat(t.Context(), "runs/x"); err != nil || n != int64(len(raw)) {
			t.Errorf("%s: not stored in %s: %v", raw, base, err)
		}
	}
	home := func(k string) string { return map[string]string{"HOME": base}[k] }
	if got := localDir("~/r", "/elsewhere", home); got != filepath.Join(base, "r") {
		t.Error(got)
	}
}

func TestOpenS3(t *testing.T) {
	b, err := Open(t.Context(), "r", map[string]string{"url": "s3://bucket/a", "endpointurl": "http://127.0.0.1:1", "access_key_id": "k", "secret_access_key": "s"}, t.TempDir(), access())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := b.(*s3.Backend); !ok {
		t.Errorf("%T", b)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, config := range map[string]map[string]string{
		"no url":   {},
		"scheme":   {"url": "gs://bucket/x"},
		"ssh":      {"url": "ssh://-oProxyCommand=id/x"},
		"http":     {"url": "https://host/x", "method": "DELETE"},
		"bucket":   {"url": "s3://"},
		"worktree": {"url": "s3://b", "worktree": "true"},
	} {
		_, err := Open(t.Context(), "r", config, "", access())
		if errs.KindOf(err) != errs.ProjectFile || errs.HintOf(err) == "" {
			t.Errorf("%s: %v, hint %q", name, err, errs.HintOf(err))
		}
	}
}
