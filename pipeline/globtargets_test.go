package pipeline

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ctrx/internal/errs"
)

func TestGlobTargets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.dvc", "b.dvc", ".hidden.dvc", "sub/c.dvc", "sub/deep/d.dvc", ".dvc/x.dvc"} {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	p := &Project{Root: dir, Dir: "."}
	for _, c := range []struct {
		targets, want []string
	}{
		{[]string{"*.dvc"}, []string{"a.dvc", "b.dvc"}},
		{[]string{"[b-z].dvc", "?.dvc"}, []string{"b.dvc", "a.dvc"}},
		{[]string{".*.dvc"}, []string{".hidden.dvc"}},
		{[]string{"sub/*.dvc"}, []string{"sub/c.dvc"}},
		{[]string{"**/*.dvc"}, []string{"a.dvc", "b.dvc", "sub/c.dvc", "sub/deep/d.dvc"}},
		{[]string{"sub/**"}, []string{"sub", "sub/c.dvc", "sub/deep", "sub/deep/d.dvc"}},
		{[]string{"sub/../a*"}, []string{"sub/../a.dvc"}},
		{[]string{"a.dvc"}, []string{"a.dvc"}},
		{[]string{"none*", "a*"}, []string{"a.dvc"}},
		{nil, nil},
	} {
		if got, err := p.globTargets(c.targets); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, %v", c.targets, got, err)
		}
	}
	abs := filepath.ToSlash(dir)
	if got, err := p.globTargets([]string{abs + "/a*"}); err != nil || !slices.Equal(got, []string{abs + "/a.dvc"}) {
		t.Errorf("an absolute pattern: %q, %v", got, err)
	}
	for target, kind := range map[string]errs.Kind{"none*": errs.NotFound, "[": errs.Usage} {
		if got, err := p.globTargets([]string{target}); errs.KindOf(err) != kind {
			t.Errorf("%s: %q, %v", target, got, err)
		}
	}
}
