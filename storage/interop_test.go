package storage

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"ctrx/internal/testreq"
)

// dvcRepo is a repository of the real dvc, without Git.
type dvcRepo struct {
	t   *testing.T
	dir string
}

func newDVCRepo(t *testing.T, config string) dvcRepo {
	t.Helper()
	testreq.Need(t, testreq.DVC)
	r := dvcRepo{t, t.TempDir()}
	// what `dvc init --no-scm` makes, without the seconds that it takes
	tree(t, r.dir, map[string]string{".dvc/config": "[core]\n    no_scm = True\n" + config})
	return r
}

func (r dvcRepo) run(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "dvc", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "DVC_NO_ANALYTICS=1", "DVC_SITE_CACHE_DIR="+filepath.Join(r.t.TempDir(), "site"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("dvc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (r dvcRepo) path(rel string) string { return filepath.Join(r.dir, filepath.FromSlash(rel)) }

// track writes the .dvc file that `dvc add` would write.
func (r dvcRepo) track(name string, t Tree) {
	r.t.Helper()
	text := fmt.Sprintf("outs:\n- md5: %s\n  size: %d\n", t.Digest, t.Size)
	if t.IsDir() {
		text += fmt.Sprintf("  nfiles: %d\n", t.NFiles)
	}
	if t.IsExec {
		text += "  isexec: true\n"
	}
	tree(r.t, r.dir, map[string]string{name + ".dvc": text + "  hash: md5\n  path: " + name + "\n"})
}

// TestDVCAcceptsCommit lets dvc judge what Commit leaves, for each link type.
func TestDVCAcceptsCommit(t *testing.T) {
	for _, link := range []LinkType{Copy, Hardlink, Symlink} {
		t.Run(string(link), func(t *testing.T) {
			r := newDVCRepo(t, "[cache]\n    type = "+string(link)+"\n")
			tree(t, r.dir, map[string]string{"f": "file", "x": "tool", "target": "linked"})
			want := map[string]string{"l": "linked"}
			for _, name := range oddNames() {
				// Those with control characters are refused where files are written.
				if utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl) {
					want[name] = name
				}
			}
			tree(t, r.path("d"), want)
			os.Remove(r.path("d/l"))
			symlink(t, r.path("target"), r.path("d/l"))
			if err := os.Chmod(r.path("x"), 0o755); err != nil {
				t.Fatal(err)
			}
			c := OpenCache(r.path(".dvc/cache"), CacheOptions{Links: []LinkType{link}})
			defer c.Close()
			for _, name := range []string{"f", "x", "d"} {
				r.track(name, commit(t, c, r.path(name)))
			}
			if out := r.run("status"); !strings.Contains(out, "up to date") {
				t.Errorf("dvc status: %s", out)
			}
			for _, name := range []string{"f", "x", "d"} {
				if err := os.RemoveAll(r.path(name)); err != nil {
					t.Fatal(err)
				}
			}
			r.run("checkout", "-q")
			if got := files(t, r.path("d")); !maps.Equal(got, want) {
				t.Errorf("dvc checkout made %q", got)
			}
			if m := mode(t, r.path("x")); link == Copy && m&0o100 == 0 {
				t.Errorf("x has mode %v", m)
			}
			// and it is what our own checkout would make
			for _, name := range []string{"f", "d"} {
				tr := hash(t, r.path(name))
				got, err := c.Checkout(t.Context(), r.path(name), tr.Digest, CheckoutOptions{Root: r.dir, Relink: true})
				if err != nil || got.Any() || got.Relinked > 0 {
					t.Errorf("checkout after dvc: %+v, %v", got, err)
				}
			}
		})
	}
}

// TestCheckoutOfDVC brings back what the real dvc stored.
func TestCheckoutOfDVC(t *testing.T) {
	r := newDVCRepo(t, "")
	want := map[string]string{"a": "1", "sub.x": "2", "sub/b": "3", "é/\U0001F600": "4", "same": "1"}
	tree(t, r.path("d"), want)
	r.run("add", "-q", "d")
	tr := hash(t, r.path("d"))
	text := files(t, r.dir)["d.dvc"]
	if !strings.Contains(text, string(tr.Digest)) || !strings.Contains(text, fmt.Sprintf("size: %d\n", tr.Size)) {
		t.Fatalf("digest %s is not in\n%s", tr.Digest, text)
	}
	if err := os.RemoveAll(r.path("d")); err != nil {
		t.Fatal(err)
	}
	c := OpenCache(r.path(".dvc/cache"), CacheOptions{})
	defer c.Close()
	if _, err := c.Checkout(t.Context(), r.path("d"), tr.Digest, CheckoutOptions{Root: r.dir}); err != nil {
		t.Fatal(err)
	}
	if got := files(t, r.path("d")); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	var status map[string]any
	if err := json.Unmarshal([]byte(r.run("status", "--json")), &status); err != nil || len(status) != 0 {
		t.Errorf("dvc status: %v, %v", status, err)
	}
}
